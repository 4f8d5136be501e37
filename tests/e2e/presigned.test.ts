// Addresses that need nothing else: by curl, as whoever was given one would use it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { refusal } from "../api.ts";
import { killSandbox, makeSandbox, pathOf, postOk, shell } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const run = promisify(execFile);
const scratch = mkdtempSync(join(tmpdir(), "syla-presigned-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Presigned {
  readonly url: string;
  readonly method: string;
  readonly expiresAt: string;
}

async function presign(id: string, more: object): Promise<Presigned & { whole: string }> {
  const signed = await postOk<Presigned>(platform(), pathOf(id, "/files:presign"), more);
  return { ...signed, whole: new URL(signed.url, platform().url).href };
}

test("curl uploads and downloads a file, with nothing but the address", async () => {
  const { id } = await makeSandbox(platform());
  const from = join(scratch, "from");
  writeFileSync(from, Buffer.alloc(5_000_000, "ä"));
  const up = await presign(id, { path: "in/file", operation: "WRITE" });
  assert.equal(up.method, "PUT");
  await run("curl", ["-sSf", "-T", from, up.whole]);
  assert.match((await shell(platform(), id, "sha256sum in/file")).stdout, /^[0-9a-f]{64}/);
  const down = await presign(id, { path: "in/file", operation: "READ", expiresIn: "60s" });
  const leftMs = Date.parse(down.expiresAt) - Date.now();
  assert.ok(leftMs > 30_000 && leftMs <= 60_000);
  await run("curl", ["-sSf", "-o", join(scratch, "to"), down.whole]);
  assert.deepEqual(readFileSync(join(scratch, "to")), readFileSync(from));
  const { headers } = await fetch(down.whole);
  assert.match(headers.get("content-disposition") ?? "", /^attachment; filename="file"/);
  const part = await fetch(down.whole, { headers: { range: "bytes=0-1" } });
  assert.deepEqual([part.status, await part.text()], [206, "ä"]);
});

test("an address is good for its operation, its file and its time alone", async () => {
  const { id } = await makeSandbox(platform());
  await shell(platform(), id, "echo content > file");
  const read = await presign(id, { path: "file", operation: "READ" });
  const write = await presign(id, { path: "file", operation: "WRITE" });
  await refusal(await fetch(read.whole, { method: "PUT", body: "x" }), 403, "presigned_refused");
  await refusal(await fetch(write.whole), 403, "presigned_refused");
  const [, payload = "", signature = ""] = /([^/.]+)\.([^.]+)$/.exec(read.url) ?? [];
  const said = Buffer.from(payload, "base64url").toString();
  const forged = Buffer.from(said.replace("file", "eile")).toString("base64url");
  const altered = [
    `${forged}.${signature}`,
    `${payload}.${signature.slice(0, -2)}AA`,
    `${payload}.${signature.slice(1)}`,
    `${payload}x.${signature}`,
    `${payload}.`,
    "x",
  ];
  for (const token of altered) {
    const response = await fetch(`${platform().url}/files/${token}`);
    await refusal(response, 403, "presigned_refused");
  }
  const short = await presign(id, { path: "file", operation: "READ", expiresIn: "1s" });
  await eventually("it expires", async () => (await fetch(short.whole)).status === 403);
  assert.equal((await fetch(read.whole)).status, 200);
});

test("an address has a bound on the size of the file, if it was given one", async () => {
  const { id } = await makeSandbox(platform());
  const write = await presign(id, { path: "f", operation: "WRITE", maxBytes: "10" });
  const large = await fetch(write.whole, { method: "PUT", body: "x".repeat(11) });
  await refusal(large, 413, "payload_too_large");
  assert.equal((await shell(platform(), id, "ls -A")).stdout, "");
  assert.equal((await fetch(write.whole, { method: "PUT", body: "x".repeat(10) })).status, 200);
  const read = await presign(id, { path: "f", operation: "READ", maxBytes: "9" });
  await refusal(await fetch(read.whole), 400, "file_too_large");
});

test("an address ends with its sandbox", async () => {
  const { id } = await makeSandbox(platform());
  await shell(platform(), id, "echo content > file");
  const read = await presign(id, { path: "file", operation: "READ" });
  const write = await presign(id, { path: "file", operation: "WRITE" });
  assert.equal(await (await fetch(read.whole)).text(), "content\n");
  await killSandbox(platform(), id);
  await refusal(await fetch(read.whole), 410, "sandbox_ended");
  await refusal(await fetch(write.whole, { method: "PUT", body: "x" }), 410, "sandbox_ended");
});

test("what cannot be signed is refused", async () => {
  const { id } = await makeSandbox(platform());
  const refusedBody = async (body: object) => {
    const response = await fetch(`${platform().url}${pathOf(id, "/files:presign")}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    await refusal(response, 400, "invalid_request");
  };
  await refusedBody({ path: "f" });
  await refusedBody({ path: "f", operation: "DELETE" });
  await refusedBody({ path: "", operation: "READ" });
  await refusedBody({ path: "f", operation: "READ", expiresIn: "1000000s" });
  await refusedBody({ path: "f", operation: "READ", maxBytes: "-1" });
});
