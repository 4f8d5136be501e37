// What goes between the bytes of an archive and the jail: in which order it is unpacked, and that what a jail says of
// its own folder leads nobody out of theirs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { type ArchiveKind, packFolder, unpackFolder } from "./archive.ts";
import { entriesOf, packed, pieces, type Simple, simple, unpacked } from "./tar-fixture.ts";
import { ArchiveError } from "./tar-header.ts";

const folderOf = (entries: readonly Simple[]) => ({ pack: () => entriesOf(entries) });

async function unpackSteps(tar: Uint8Array, kind: ArchiveKind): Promise<readonly string[]> {
  const told: string[] = [];
  const box = {
    unpack: async (
      _path: string,
      steps: Parameters<Parameters<typeof unpackFolder>[0]["unpack"]>[1],
    ) => {
      for await (const { kind: step, entry } of steps)
        told.push(`${step} ${entry.path.toString()}`);
    },
  };
  await unpackFolder(box, "/work", kind, pieces(tar, 1000));
  return told;
}

function refused(promise: Promise<unknown>, why: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof ArchiveError, String(error));
    assert.match(error.message, why);
    return true;
  });
}

test("packFolder() makes an archive, packed or not, that unpackFolder() takes", async () => {
  const entries = [simple("a", { content: "x".repeat(200_000) }), simple("b")];
  for (const kind of ["tar", "gzip"] as const) {
    const parts = await Array.fromAsync(packFolder(folderOf(entries), "/work", kind));
    assert.deepEqual(await unpackSteps(Buffer.concat(parts), "detect"), ["make a", "make b"]);
    assert.deepEqual(await unpackSteps(Buffer.concat(parts), kind), ["make a", "make b"]);
  }
  assert.deepEqual(await unpacked(packFolder(folderOf(entries), "/work", "tar")), entries);
});

test("links are made last, and folders get what they are to be when all is in them", async () => {
  const tar = await packed([
    simple("l", { type: "symlink", target: "/etc" }),
    simple("d", { type: "directory", mode: 0o500 }),
    simple("d/e", { type: "directory", mode: 0o500 }),
    simple("d/e/f"),
    simple("h", { type: "hardlink", target: "d/e/f" }),
    simple("l/passwd"),
  ]);
  const made = ["make d", "make d/e", "make d/e/f", "make l/passwd", "make l", "make h"];
  assert.deepEqual(await unpackSteps(tar, "tar"), [...made, "finish d/e", "finish d"]);
});

test("what a jail says of its folder leads nobody out of theirs", async () => {
  const link = simple("l", { type: "symlink", target: "/etc" });
  for (const [entries, why] of [
    [[simple("../up")], /leads upwards/],
    [[simple("/etc/passwd")], /absolute/],
    [[simple("a/./b")], /no path of it/],
    [[simple("")], /no path of it/],
    [[link, simple("l/passwd")], /behind a link/],
    [[link, simple("l/deep/er")], /behind a link/],
  ] as const) {
    await refused(Array.fromAsync(packFolder(folderOf(entries), "/work", "tar")), why);
  }
  const beside = [link, simple("lx/passwd")];
  await Array.fromAsync(packFolder(folderOf(beside), "/work", "tar"));
});

test("what is held to the end is bounded, and so is the number of entries", async () => {
  const target = "t".repeat(4000);
  const link = (_: unknown, n: number) => simple(`l${n}`, { type: "symlink", target });
  const links = await packed(Array.from({ length: 5000 }, link));
  await refused(unpackSteps(links, "tar"), /too many links and folders/);
  const one = (await packed([simple("same")])).subarray(0, 512);
  const many = Buffer.alloc(100_002 * 512).fill(one, 0, 100_001 * 512);
  await refused(unpackSteps(gzipSync(many, { level: 1 }), "detect"), /more than 100000 entries/);
});

test("damage of the packing is the archive's, and a source that fails is not", async () => {
  const packedTar = gzipSync(await packed([simple("a", { content: "x".repeat(5000) })]));
  const broken = Buffer.from(packedTar);
  broken.fill(0, 40, 60);
  await refused(unpackSteps(broken, "detect"), /gzip|tar/);
  await refused(unpackSteps(packedTar.subarray(0, -4), "detect"), /gzip/);
  async function* failing() {
    yield packedTar.subarray(0, 20);
    throw new RangeError("The client has left.");
  }
  const box = {
    unpack: async (_path: string, steps: AsyncIterable<unknown>) => {
      await Array.fromAsync(steps);
    },
  };
  await assert.rejects(unpackFolder(box, "/work", "detect", failing()), RangeError);
});
