import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { createLog } from "@syla/kit/log";
import { boxStarter } from "../files/box-start.ts";
import { type JailFixture, MIB, openFixture } from "../jail/fixture.ts";
import { isPrivileged, TREE_UID } from "../jail/root.ts";
import { Blobs } from "./blobs.ts";
import { packTree, unpackTree } from "./tree-copy.ts";
import { Trees, type TreesOptions } from "./trees.ts";

// Elsewhere there are none, as the last test here shows.
const skip =
  isPrivileged() && process.env["SYLA_TEST_SLOTS"] !== "fresh"
    ? false
    : "not root: there are no zygotes";
const limits = { rlimits: false, limits: { memoryBytes: 256e6, pids: 64 } };
const log = createLog({ level: "silent", name: "test" });
let fixture: JailFixture;
let directory: string;
let blobs: Blobs;
let content: Buffer;

before(async () => {
  fixture = await openFixture();
  content = await packed(
    String.raw`mkdir -p a/b; echo one > a/one; ln a/one a/b/other; ln -s ../../etc/passwd out; touch $'new\nline' ./-rf
    head -c 100000 /dev/urandom > random; echo t > /tmp/t; mkdir locked; echo in > locked/in; chmod 0 locked
    d=deep; for i in $(seq 200); do d=$d/x; done; mkdir -p $d; echo bottom > $d/f`,
  );
});
after(() => fixture.close());
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "trees-test-"));
  blobs = await openBlobs();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const openBlobs = (held: string[] = []): Promise<Blobs> =>
  Blobs.open(
    { directory: join(directory, "blobs"), bytesMax: 20 * MIB, blobBytesMax: 10 * MIB },
    held,
  );

/** All files of a jail in which this was done. */
async function packed(code: string): Promise<Buffer> {
  const jail = fixture.open({ diskInodes: 2000 });
  try {
    await jail.ready;
    const start = boxStarter(jail.keep(), limits);
    const channel = start(["/bin/bash", "-c", code], { input: false }, { output: () => {} });
    channel.grant("stderr", 100_000);
    await channel.released;
    const pieces: Buffer[] = [];
    await packTree(start, async (piece) => void pieces.push(piece));
    return Buffer.concat(pieces);
  } finally {
    await jail.close();
  }
}

async function keep(bytes: Buffer): Promise<string> {
  const draft = await blobs.draft();
  try {
    await draft.write(bytes);
    return (await draft.keep()).digest;
  } finally {
    await draft.close();
  }
}

async function openTrees(more: Partial<TreesOptions> = {}): Promise<Trees> {
  const trees = await Trees.open({
    ...{ directory: join(directory, "trees"), agentPath: fixture.agentPath, blobs, log },
    possible: fixture.forks,
    unpack: async (path, bytes) => {
      const jail = fixture.open({ tree: { path, use: "make" } });
      try {
        await jail.ready;
        await unpackTree(boxStarter(jail.keep(), limits), bytes, 1000);
      } finally {
        await jail.close();
      }
    },
    ...more,
  });
  blobs.onRemove((digest) => trees.forget(digest));
  return trees;
}

const lying = (): string[] => readdirSync(join(directory, "trees"));

test(
  "Trees.make() makes what a blob says, nobody's and once, which stays while it is named or used",
  { skip },
  async () => {
    const trees = await openTrees();
    const digest = await keep(content);
    const bytesBefore = blobs.bytes;
    assert.equal(trees.use("0".repeat(64)), undefined);
    await Promise.all([trees.make(digest), trees.make(digest)]);
    const [name = "", ...others] = lying();
    assert.deepEqual([name.slice(0, 65), others], [`${digest}.`, []]);
    assert.equal(blobs.bytes - bytesBefore, Number(name.slice(65)));
    const [one, two] = [trees.use(digest), trees.use(digest)];
    const path = join(directory, "trees", name);
    assert.deepEqual([one?.path, two?.path], [path, path]);
    assert.equal(readFileSync(join(path, "work/a/b/other"), "utf8"), "one\n");
    assert.equal(readlinkSync(join(path, "work/out")), "../../etc/passwd");
    assert.equal(
      execFileSync("find", [path, "-mindepth", "1", "!", "-uid", String(TREE_UID)]).length,
      0,
    );
    assert.equal(lstatSync(join(path, "work/a/one")).nlink, 2);
    assert.equal(lstatSync(join(directory, "trees")).mode & 0o777, 0o700);
    await blobs.release(digest);
    one?.release();
    one?.release();
    assert.equal(trees.use(digest)?.path, path, "who has it named, and uses it");
    assert.deepEqual(lying(), [name]);
    two?.release();
    trees.use(digest)?.release();
    await trees.close();
    assert.deepEqual(lying(), [name], "one of three has not released it");
  },
);

test("a tree that nobody names or uses is removed, and its room given back", { skip }, async () => {
  const trees = await openTrees();
  const digest = await keep(content);
  await trees.make(digest);
  const used = trees.use(digest);
  await blobs.release(digest);
  assert.equal(lying().length, 1);
  used?.release();
  await trees.close();
  assert.deepEqual([lying(), blobs.bytes], [[], 0]);
});

test(
  "Trees.open() keeps what is named, and removes what is not, however deep and odd it is",
  { skip },
  async () => {
    const first = await openTrees();
    const [digest, other] = [await keep(content), await keep(await packed("echo other > f"))];
    await first.make(digest);
    await first.make(other);
    await first.close();
    const half = join(directory, "trees", ".half");
    mkdirSync(half);
    const deep =
      "import os\nfor n in range(2000): os.mkdir('d' * 200); os.chdir('d' * 200)\nopen('f', 'w')";
    execFileSync("python3", ["-c", deep], { cwd: half });
    symlinkSync("/", join(half, "root"));
    mkdirSync(join(half, ".0/.1"), { recursive: true });
    writeFileSync(join(directory, "trees", "stray"), "");
    const path = first.use(digest)?.path;
    blobs = await openBlobs([digest]);
    const bytesBefore = blobs.bytes;
    const second = await openTrees();
    assert.deepEqual(
      lying().map((name) => join(directory, "trees", name)),
      [path],
    );
    assert.equal(second.use(digest)?.path, path);
    assert.ok(blobs.bytes > bytesBefore);
  },
);

test(
  "a stream that is refused, or has more entries than a disk may have, is no tree and leaves nothing",
  { skip },
  async () => {
    const trees = await openTrees();
    const made = [
      await keep(Buffer.from("SYLA-FS1r\0\0\0\0")),
      await keep(await packed("for n in $(seq 990); do : > $n; done")),
      await keep(await packed("for n in $(seq 998); do : > $n; done; mkdir a b c")),
    ];
    const bytesBefore = blobs.bytes;
    for (const digest of made) await trees.make(digest);
    assert.deepEqual(
      lying().map((name) => name.slice(0, 64)),
      [made[1]],
    );
    assert.ok(
      blobs.bytes - bytesBefore >= 992 * 4096,
      "an empty file and a folder count as a block",
    );
  },
);

for (const [what, spoil] of [
  ["a file of another owner", (path: string) => writeFileSync(join(path, "f"), "")],
  [
    "a set-id bit",
    (path: string) => {
      writeFileSync(join(path, "f"), "");
      chownSync(join(path, "f"), TREE_UID, TREE_UID);
      chmodSync(join(path, "f"), 0o4755);
    },
  ],
  [
    "a device",
    (path: string) => {
      execFileSync("mknod", [join(path, "f"), "c", "0", "0"]);
      chownSync(join(path, "f"), TREE_UID, TREE_UID);
    },
  ],
  ["a folder that is gone", (path: string) => rmSync(path, { recursive: true })],
] as const) {
  test(`a tree with ${what} is none`, { skip }, async () => {
    const trees = await openTrees({
      unpack: async (path) => spoil(join(path, "work")),
    });
    const digest = await keep(content);
    const bytesBefore = blobs.bytes;
    await trees.make(digest);
    assert.deepEqual([lying(), trees.use(digest), blobs.bytes], [[], undefined, bytesBefore]);
    await trees.close();
  });
}

test(
  "a tree takes its room of what snapshots and templates have, and without it there is none",
  { skip },
  async () => {
    blobs = await Blobs.open(
      { directory: join(directory, "small"), bytesMax: 400_000, blobBytesMax: 300_000 },
      [],
    );
    const trees = await openTrees();
    const digest = await keep(content);
    const bytesBefore = blobs.bytes;
    await trees.make(digest);
    assert.deepEqual([lying(), trees.use(digest), blobs.bytes], [[], undefined, bytesBefore]);
    await trees.close();
  },
);

test("where jails cannot be handed a disk, or the host cannot make one, there are no trees", async () => {
  const never = async () => assert.fail("nothing is unpacked");
  for (const more of [{ possible: false }, { possible: true, agentPath: "/bin/false" }]) {
    const trees = await openTrees({ ...more, unpack: never });
    const digest = await keep(content);
    await trees.make(digest);
    assert.equal(trees.use(digest), undefined);
    await trees.close();
  }
});
