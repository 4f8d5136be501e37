import assert from "node:assert/strict";
import { constants } from "node:os";
import { after, before, test } from "node:test";
import { Box, type StartBox } from "../files/box.ts";
import { boxStarter } from "../files/box-start.ts";
import { type JailFixture, openFixture } from "../jail/fixture.ts";
import type { Channel } from "../jail/channels.ts";
import { CopyError, packTree, unpackTree } from "./tree-copy.ts";

const { errno } = constants;
const entriesMax = 10_000;
let fixture: JailFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

interface Place {
  readonly start: StartBox;
  readonly box: Box;
  /** Runs a program in the same jail to its end, and answers what it printed. */
  shell(code: string): Promise<string>;
}

async function inJail<T>(
  run: (place: Place) => Promise<T>,
  options: Parameters<JailFixture["open"]>[0] = {},
): Promise<T> {
  const jail = fixture.open(options);
  try {
    await jail.ready;
    const start = boxStarter(jail.keep(), {
      rlimits: false,
      limits: { memoryBytes: 256e6, pids: 64 },
    });
    const shell = async (code: string) => {
      const parts: Buffer[] = [];
      const channel = start(
        ["/bin/bash", "-c", `exec 2>&1; ${code}`],
        { input: false },
        {
          output: (_output, data) => void parts.push(data),
        },
      );
      channel.grant("stdout", 1_000_000);
      await channel.released;
      return Buffer.concat(parts).toString("utf8");
    };
    return await run({ start, box: new Box(start), shell });
  } finally {
    await jail.close();
  }
}

// The records of ../agent/tree.c.
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const text = (value: string) => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
const letter = (value: string) => Buffer.from(value, "latin1");
const mtime = u64(0n);
const root = (number = 0, mode = 0o755) => [letter("r"), u32(number), u32(mode), mtime];
const folder = (name: string, mode = 0o755) => [letter("d"), u32(mode), mtime, text(name)];
const file = (name: string, content = "forged", mode = 0o644) => [
  ...[letter("f"), u32(mode), mtime, u64(BigInt(content.length)), text(name)],
  ...[u32(content.length), u64(0n), letter(content), u32(0)],
];
const link = (name: string, target: string) => [letter("l"), mtime, text(name), text(target)];
const hardLink = (name: string, path: string) => [letter("h"), text(name), text(path)];
const left = letter(".");
const end = letter("\0");
const magic = letter("SYLA-FS1");

async function* stream(...parts: readonly (Buffer | readonly Buffer[])[]) {
  yield Buffer.concat([magic, ...parts.flat()]);
}

function refused(number: number) {
  return (error: unknown) => {
    assert.ok(error instanceof CopyError, String(error));
    assert.equal(error.errno, number, error.message);
    return true;
  };
}

const outside = "find /work /tmp /dev/shm -mindepth 1 | sort | head -20; ls -la /proc/1/root";

for (const [what, error, parts] of [
  ["a name that leads up", errno.EPROTO, [root(), file("..")]],
  ["a folder that is the one above", errno.EPROTO, [root(), folder(".."), file("f")]],
  ["a name with a slash", errno.EPROTO, [root(), file("../tmp/f")]],
  ["an absolute name", errno.EPROTO, [root(), file("/tmp/f")]],
  ["a name that is no name", errno.EPROTO, [root(), file(".")]],
  ["a name with NUL", errno.EPROTO, [root(), file("f\0g")]],
  ["a name without an end", errno.EPROTO, [root(), letter("f"), u32(0), mtime, mtime, u32(1e9)]],
  ["another root", errno.EPROTO, [root(7), file("f")]],
  ["a root in a root", errno.EPROTO, [root(), root(1), file("f")]],
  ["nothing to be in", errno.EPROTO, [file("f")]],
  ["more left than entered", errno.EPROTO, [root(), left, left]],
  ["a link that is entered", errno.EEXIST, [root(), link("out", "/tmp"), folder("out")]],
  ["a link that is written through", errno.EEXIST, [root(), link("f", "/tmp/f"), file("f")]],
  [
    "a hard link by a link",
    errno.ENOTDIR,
    [root(1), file("f"), left, root(), link("out", "/tmp"), hardLink("g", "out/f")],
  ],
  ["a hard link that leads up", errno.EPROTO, [root(), hardLink("g", "../etc/passwd")]],
  ["a hard link to a system file", errno.EPROTO, [root(), hardLink("g", "/etc/passwd")]],
  ["a hard link to a folder", errno.EPERM, [root(), folder("d"), left, hardLink("g", "d")]],
  [
    "bytes behind a file's end",
    errno.EPROTO,
    [root(), file("f").slice(0, 3), u64(1n), text("f"), u32(2), u64(0n), letter("xx")],
  ],
  [
    "an offset beyond all",
    errno.EPROTO,
    [root(), file("f").slice(0, 3), u64(8n), text("f"), u32(2), u64(2n ** 64n - 1n), letter("xx")],
  ],
  [
    "a size that there is not",
    errno.EFBIG,
    [root(), file("f").slice(0, 3), u64(2n ** 64n - 1n), text("f"), u32(0)],
  ],
  [
    "folders that go too deep",
    errno.ELOOP,
    [root(), ...Array.from({ length: 300 }, () => folder("d"))],
  ],
  ["a record that there is not", errno.EPROTO, [root(), letter("x")]],
  ["an end that does not come", errno.ENODATA, [root(), folder("d")]],
  ["an end in the middle", errno.EPROTO, [root(), folder("d"), end]],
] as const) {
  test(`unpackTree() refuses ${what}, and nothing of it is outside its folders`, () =>
    inJail(async ({ start, shell }) => {
      const content = stream(...parts);
      await assert.rejects(unpackTree(start, content, entriesMax), refused(error));
      // In the jail of whoever made the stream up, in folders that are theirs.
      const there = await shell(outside);
      assert.match(there, /^((\/work\/(f|d|out)(\/d)*|\/tmp\/f)\n)*(total|ls: )/, there);
      assert.equal(await shell("cat /etc/passwd | wc -l; stat -c %h /etc/passwd"), "3\n1\n");
    }));
}

test("unpackTree() gives nobody powers, and ends where the disk does", () =>
  inJail(
    async ({ start, shell }) => {
      const many = Array.from({ length: 2000 }, (_, index) => file(String(index), "x"));
      await assert.rejects(
        unpackTree(start, stream(root(), ...many), entriesMax),
        refused(errno.ENOSPC),
      );
      await shell("rm -rf /work/*");
      const set = stream(root(), file("set", "#!/bin/sh\nid -u", 0o6755), left, end);
      await unpackTree(start, set, entriesMax);
      assert.equal(await shell("stat -c %a /work/set; /work/set"), "755\n1000\n");
    },
    { diskInodes: 1000 },
  ));

test("unpackTree() makes no more files, folders and links than it was told, whatever the disk would hold", () =>
  inJail(async ({ start, shell }) => {
    const parts = [root(), file("a"), folder("b"), left, link("c", "a"), hardLink("d", "a")];
    await assert.rejects(unpackTree(start, stream(...parts, file("e")), 4), refused(errno.ENOSPC));
    assert.equal(await shell("ls"), "a\nb\nc\nd\n");
    await shell("rm -rf /work/*");
    await unpackTree(start, stream(...parts, left, end), 4);
    assert.equal(await shell("ls"), "a\nb\nc\nd\n");
  }));

test("what is no stream at all is refused", () =>
  inJail(async ({ start }) => {
    const junk = async function* () {
      yield Buffer.alloc(100_000, "junk");
    };
    await assert.rejects(unpackTree(start, junk(), entriesMax), refused(errno.EPROTO));
    const nothing = async function* () {};
    await assert.rejects(unpackTree(start, nothing(), entriesMax), refused(errno.ENODATA));
  }));

test("packTree() gives what unpackTree() takes, again and again the same", async () => {
  const pack = async ({ start }: Place) => {
    const pieces: Buffer[] = [];
    const report = await packTree(start, async (piece) => void pieces.push(piece));
    return { report, bytes: Buffer.concat(pieces) };
  };
  const first = await inJail(async (place) => {
    const { shell } = place;
    await shell(
      "mkdir -p a/b; seq 100000 > a/n; ln a/n a/b/m; ln -s n a/l; mkfifo p; sleep 100 >/dev/null 2>&1 &",
    );
    return pack(place);
  });
  assert.deepEqual(first.report, { entries: 5, skipped: 1, processes: 1, still: true });
  const again = async function* () {
    yield first.bytes;
  };
  await inJail(async (place) => {
    await unpackTree(place.start, again(), entriesMax);
    assert.equal(
      await place.shell("tail -1 a/b/m; stat -c %h a/n; cat a/l | wc -l"),
      "100000\n2\n100000\n",
    );
  });
});

test("packTree() leaves what it stopped running, whatever becomes of the copy", () =>
  inJail(async ({ start, shell }) => {
    await shell("sleep 100 >/dev/null 2>&1 & head -c 8000000 /dev/urandom > f");
    const states = "ps -C sleep -o stat= | cut -c1";
    const full = new Error("no room");
    await assert.rejects(
      packTree(start, async () => {
        throw full;
      }),
      full,
    );
    assert.equal(await shell(states), "S\n");
    // Killed, as the kernel does when there is no memory left; then there may be none for another process either.
    let started = 0;
    let packing: Channel | undefined;
    const once: StartBox = (...given) => {
      started += 1;
      return (packing = start(...given));
    };
    const killed = packTree(once, async () => packing?.signal(constants.signals.SIGKILL, true));
    await assert.rejects(killed, CopyError);
    assert.equal(started, 1);
    assert.equal(await shell(states), "S\n");
    await shell("d=/work; for i in $(seq 300); do d=$d/d; mkdir $d 2>/dev/null; done");
    await assert.rejects(
      packTree(start, async () => {}),
      refused(errno.ELOOP),
    );
    assert.equal(await shell(states), "S\n");
  }));
