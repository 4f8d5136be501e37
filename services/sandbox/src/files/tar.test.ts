// The reader and the writer of tar against each other, against the host's own tar, and against archives that were made
// to do harm.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { changedHeader, packed, pieces, type Simple, simple, unpacked } from "./tar-fixture.ts";
import { ArchiveError } from "./tar-header.ts";

const scratch = mkdtempSync(join(tmpdir(), "syla-tar-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

function folder(name: string): string {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function tarOf(from: string, ...options: string[]): Buffer {
  return execFileSync("tar", ["-c", "-f", "-", ...options, "-C", from, "."]);
}

async function refused(tar: Buffer, why: RegExp): Promise<void> {
  await assert.rejects(unpacked(pieces(tar, 700)), (error) => {
    assert.ok(error instanceof ArchiveError, String(error));
    assert.match(error.message, why);
    return true;
  });
}

const part = fc.stringMatching(/^[a-zA-Z0-9_äß -]{1,60}$/).filter((text) => text.trim() !== "");
const path = fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join("/"));
const entry: fc.Arbitrary<Simple> = fc.record({
  type: fc.constantFrom("file", "directory", "symlink", "hardlink"),
  path,
  mode: fc.integer({ min: 0, max: 0o777 }),
  mtimeSeconds: fc.integer({ min: -1_000_000, max: 2 ** 33 - 1 }),
  target: path,
  content: fc.string({ unit: "binary-ascii", maxLength: 2000 }),
});

test("what the writer writes the reader reads, in pieces of any length", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.nat(3000), async (given, length) => {
      const entries = given.map((one) => ({
        ...one,
        target: one.type === "symlink" || one.type === "hardlink" ? one.target : "",
        content: one.type === "file" ? one.content : "",
      }));
      const tar = await packed(entries);
      assert.equal(tar.length % 512, 0);
      assert.deepEqual(await unpacked(pieces(tar, length + 1)), entries);
    }),
    { numRuns: 150 },
  );
});

test("no bytes make the reader do anything but read or refuse", async () => {
  const good = await packed([simple("a/b", { content: "x".repeat(700) }), simple("c")]);
  const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(damage, fc.nat(good.length), async (changes, length) => {
      const tar = Buffer.from(good);
      for (const [at, byte] of changes) tar[at] = byte;
      await unpacked(pieces(tar.subarray(0, length), 512)).catch((error: unknown) => {
        assert.ok(error instanceof ArchiveError, String(error));
      });
    }),
    { numRuns: 300 },
  );
});

const longName = `${"long".repeat(30)}/${"name".repeat(50)}`;

for (const format of ["v7", "ustar", "gnu", "pax"]) {
  test(`the reader reads what the host's tar writes as ${format}`, async () => {
    const from = folder(`from-${format}`);
    const hasLong = format === "gnu" || format === "pax";
    mkdirSync(join(from, hasLong ? longName : "sub"), { recursive: true });
    const inside = hasLong ? `${longName}/${"file".repeat(40)}` : "sub/file";
    writeFileSync(join(from, inside), "x".repeat(1500), { mode: 0o751 });
    utimesSync(join(from, inside), 1_600_000_000, 1_600_000_000);
    symlinkSync(hasLong ? longName : "sub", join(from, "link"));
    const found = await unpacked(pieces(tarOf(from, `--format=${format}`), 10_000));
    const file = found.find(({ type }) => type === "file");
    assert.deepEqual(
      [file?.path, file?.mode, file?.mtimeSeconds, file?.content],
      [inside, 0o751, 1_600_000_000, "x".repeat(1500)],
    );
    const link = found.find(({ type }) => type === "symlink");
    assert.deepEqual([link?.path, link?.target], ["link", hasLong ? longName : "sub"]);
  });
}

test("the host's tar unpacks what the writer writes", async () => {
  const into = folder("into");
  const inside = `${longName}/${"file".repeat(40)}`;
  const tar = await packed([
    simple(longName, { type: "directory", mode: 0o755 }),
    simple(inside, { content: "content", mode: 0o640, mtimeSeconds: 1_500_000_000 }),
    simple("ümlaut", { content: "ü" }),
    simple("empty"),
    simple("link", { type: "symlink", target: inside }),
  ]);
  execFileSync("tar", ["-x", "-p", "-f", "-", "-C", into], { input: tar });
  const stats = lstatSync(join(into, inside));
  assert.deepEqual([stats.mode & 0o777, stats.mtimeMs], [0o640, 1_500_000_000_000]);
  assert.equal(readFileSync(join(into, inside), "utf8"), "content");
  assert.equal(readlinkSync(join(into, "link")), inside);
  assert.ok(readdirSync(into).includes("ümlaut"));
});

test("paths that lead out of the folder are refused, however they are written", async () => {
  await refused(await packed([simple("/etc/passwd")]), /absolute/);
  await refused(await packed([simple("a/../../b")]), /upwards/);
  await refused(await packed([simple("..")]), /upwards/);
  await refused(await packed([simple(`${"a/".repeat(60)}../b`)]), /upwards/);
  await refused(
    await packed([simple("x", { type: "hardlink", target: "/etc/shadow" })]),
    /absolute/,
  );
  await refused(await packed([simple("x", { type: "hardlink", target: "../x" })]), /upwards/);
  await refused(await packed([simple("a".repeat(300))]), /too long/);
  await refused(await packed([simple("x", { type: "symlink", target: "" })]), /leads nowhere/);
  const dots = await unpacked(pieces(await packed([simple("./a/./b//c")]), 512));
  assert.equal(dots[0]?.path, "a/b/c");
});

test("devices, pipes, files with holes and what is not known are refused", async () => {
  const tar = await packed([simple("thing")]);
  for (const letter of ["3", "4", "6", "S", "V", "Z"]) {
    await refused(
      changedHeader(tar, (block) => block.write(letter, 156)),
      /'thing' in it/,
    );
  }
  const from = folder("holes");
  writeFileSync(join(from, "sparse"), "");
  truncateSync(join(from, "sparse"), 2 ** 20);
  await refused(tarOf(from, "--format=gnu", "-S"), /holes/);
  await refused(tarOf(from, "--format=pax", "-S"), /holes/);
});

test("what is damaged, cut off or no tar is refused", async () => {
  const tar = await packed([simple("a", { content: "x".repeat(600) })]);
  for (const length of [1, 511, 512, 600, 1024, 1536, 2000]) {
    const cut = tar.subarray(0, Math.min(length, tar.length));
    if (cut.length < tar.length - 1024 + 512) await refused(cut, /ends in the middle/);
  }
  await refused(Buffer.from("PK\x03\x04".padEnd(600, "z")), /no tar/);
  await refused(
    changedHeader(tar, (block) => block.write("zzz", 124)),
    /a number/,
  );
  await refused(
    changedHeader(tar, (block) => block.fill(0xff, 124, 136)),
    /a size/,
  );
  await refused(Buffer.concat([tar, Buffer.alloc(20 * 1024 ** 2)]), /after its end/);
});

test("headers that say more are bounded", async () => {
  const tar = await packed([simple(`${"d".repeat(200)}/${"n".repeat(200)}`)]);
  const long = changedHeader(tar, (block) => block.write("77777777777\0", 124));
  await refused(long, /too long/);
  const broken = changedHeader(tar, () => undefined);
  broken.write("99999", 512);
  await refused(broken, /pax header/);
});

test("a file that changes its size while it is packed ends the archive with an error", async () => {
  const { writeTar } = await import("./tar-write.ts");
  async function* entries() {
    async function* content() {
      yield Buffer.from("short");
    }
    const none = Buffer.alloc(0);
    const file = { type: "file", path: Buffer.from("f"), mode: 0o644, mtimeSeconds: 0 } as const;
    yield { ...file, target: none, sizeBytes: 10, content: content() };
  }
  await assert.rejects(async () => {
    for await (const piece of writeTar(entries())) assert.ok(piece.length > 0);
  }, ArchiveError);
});
