import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { SylaError } from "@syla/kit/error";
import { Blobs } from "./blobs.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "syla-blobs-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (held: string[] = [], more: object = {}) =>
  Blobs.open({ directory, bytesMax: 100_000, blobBytesMax: 50_000, ...more }, held);

async function keep(blobs: Blobs, content: string): Promise<string> {
  const draft = await blobs.draft();
  try {
    await draft.write(Buffer.from(content));
    return (await draft.keep()).digest;
  } finally {
    await draft.close();
  }
}

async function read(blobs: Blobs, digest: string): Promise<string | undefined> {
  const content = await blobs.read(digest);
  if (content === undefined) return undefined;
  const parts: Buffer[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function refused(code: string) {
  return (error: unknown) => error instanceof SylaError && error.code === code;
}

test("a blob is kept under its hash, once, for as long as somebody holds it", async () => {
  const blobs = await open();
  const digest = await keep(blobs, "content");
  assert.equal(await keep(blobs, "content"), digest);
  assert.deepEqual(readdirSync(directory), [digest]);
  const reading = await blobs.read(digest);
  await blobs.release(digest);
  assert.equal(await read(blobs, digest), "content");
  await blobs.release(digest);
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(await read(blobs, digest), undefined);
  const parts: Buffer[] = [];
  for await (const part of reading ?? []) parts.push(part);
  assert.equal(
    Buffer.concat(parts).toString("utf8"),
    "content",
    "who reads it reads it to its end",
  );
  assert.equal(blobs.bytes, 0);
});

test("a start keeps what is named, and removes what is not or was not whole", async () => {
  const first = await open();
  const named = await keep(first, "named");
  const unnamed = await keep(first, "unnamed");
  const half = await first.draft();
  await half.write(Buffer.from("half"));
  writeFileSync(join(directory, "stray"), "");
  const absent = "0".repeat(64);
  const second = await open([named, named, absent]);
  assert.deepEqual(readdirSync(directory), [named]);
  assert.deepEqual(
    [await read(second, unnamed), await read(second, absent)],
    [undefined, undefined],
  );
  await second.release(absent);
  await second.release(named);
  assert.equal(readFileSync(join(directory, named), "utf8"), "named");
  await second.release(named);
  assert.deepEqual(readdirSync(directory), []);
  await half.close();
});

test("one blob and all together are bounded, whoever writes at the same time", async () => {
  const blobs = await open();
  const [one, two, three] = [await blobs.draft(), await blobs.draft(), await blobs.draft()];
  await one.write(Buffer.alloc(40_000));
  await assert.rejects(one.write(Buffer.alloc(10_001)), refused("snapshot_too_large"));
  await two.write(Buffer.alloc(45_000, 1));
  await assert.rejects(three.write(Buffer.alloc(20_000)), refused("snapshots_full"));
  await one.close();
  await three.write(Buffer.alloc(20_000));
  await Promise.all([two.close(), three.close()]);
  assert.equal(blobs.bytes, 0);
  assert.deepEqual(readdirSync(directory), []);
});
