import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { constants } from "node:os";
import { Box, type Change, FileError } from "./box.ts";
import type { Channels } from "../jail/channels.ts";
import { type JailFixture, openFixture } from "../jail/fixture.ts";
import { DEFAULT_ENVIRONMENT } from "../jail/step.ts";
import type { ProcessRequest } from "../jail/keep-frames.ts";

let fixture: JailFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

const request = (argv: readonly string[], input: boolean): ProcessRequest => ({
  argv,
  env: { ...DEFAULT_ENVIRONMENT },
  directory: "/work",
  ...{ fileBytes: 0, addressBytes: 0, cpuSeconds: 0, openFiles: 1024, processes: 0 },
  ...{ input, terminal: undefined, words: false, fork: false },
});

interface Place {
  readonly box: Box;
  /** Runs a program in the same jail to its end. */
  shell(code: string): Promise<void>;
}

async function inJail(run: (place: Place) => Promise<void>): Promise<void> {
  const jail = fixture.open();
  try {
    await jail.ready;
    const channels = jail.keep();
    const box = new Box((argv, { input }, listener) =>
      channels.start(request(argv, input), listener),
    );
    await run({ box, shell: (code) => shell(channels, code) });
  } finally {
    await jail.close();
  }
}

function shell(channels: Channels, code: string): Promise<void> {
  return new Promise((resolve) => {
    channels.start(request(["/bin/bash", "-c", code], false), {
      output: () => {},
      exited: () => resolve(),
    });
  });
}

function refused(errno: number) {
  return (error: unknown) => {
    assert.ok(error instanceof FileError, String(error));
    assert.equal(error.errno, errno);
    return true;
  };
}

async function contentOf(box: Box, path: string, bytesMax = 1e9): Promise<Buffer> {
  const { content } = await box.read(path, bytesMax);
  const parts: Buffer[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts);
}

const bytes = (text: string) => Buffer.from(text);

test("files of every size and name come back as they were written, with their modes", () =>
  inJail(async ({ box }) => {
    const large = Buffer.alloc(5_000_000, "0123456789");
    const [first] = await box.write([
      { path: "deep/in/a folder/ñ\n.txt", content: bytes("one"), mode: 0 },
      { path: "/work/large", content: large, mode: 0o600 },
      { path: "empty", content: bytes(""), mode: 0o755 },
    ]);
    assert.deepEqual(
      { type: first?.type, mode: first?.mode, sizeBytes: first?.sizeBytes },
      { type: "file", mode: 0o644, sizeBytes: 3 },
    );
    assert.equal((await contentOf(box, "deep/in/a folder/ñ\n.txt")).toString(), "one");
    assert.ok((await contentOf(box, "large")).equals(large));
    assert.equal((await contentOf(box, "large", 100)).length, 100);
    assert.equal((await box.stat("empty")).mode, 0o755);
    assert.ok(Math.abs((await box.stat("empty")).modifiedMs - Date.now()) < 60_000);
  }));

test("a file is written whole or not at all, keeps its mode, and a link stays one", () =>
  inJail(async ({ box, shell: run }) => {
    await run("echo old > kept; chmod 751 kept; ln -s kept link");
    await box.write([{ path: "link", content: bytes("new"), mode: 0 }]);
    assert.equal((await box.stat("link")).type, "symlink");
    assert.equal((await box.stat("link")).target, "kept");
    assert.equal((await box.stat("kept")).mode, 0o751);
    const tooLarge = { path: "kept", content: Buffer.alloc(20_000_000), mode: 0 };
    const next = { path: "next", content: bytes("fine"), mode: 0 };
    await assert.rejects(box.write([tooLarge, next]), refused(constants.errno.ENOSPC));
    assert.equal((await contentOf(box, "kept")).toString(), "new");
    assert.equal((await contentOf(box, "next")).toString(), "fine");
    const { entries } = await box.list(".", 1, 100);
    assert.deepEqual(
      entries.map(({ path }) => path),
      ["./kept", "./link", "./next"],
    );
  }));

test("a folder is listed to a depth and to a number, links not followed", () =>
  inJail(async ({ box, shell: run }) => {
    await run("mkdir -p a/b/c; touch a/1 a/b/2 a/b/c/3; ln -s /usr a/usr; mkfifo a/pipe");
    const paths = async (depth: number, most = 100) => {
      const { entries, truncated } = await box.list("/work/a", depth, most);
      return [
        entries.map(({ path, type }) => `${path.slice("/work/a/".length)} ${type}`),
        truncated,
      ];
    };
    assert.deepEqual(await paths(1), [
      ["1 file", "b directory", "pipe other", "usr symlink"],
      false,
    ]);
    assert.deepEqual((await paths(128))[0], [
      ...[
        "1 file",
        "b directory",
        "b/2 file",
        "b/c directory",
        "b/c/3 file",
        "pipe other",
        "usr symlink",
      ],
    ]);
    assert.equal((await paths(9, 3))[1], true);
    await assert.rejects(box.list("/work/none", 1, 9), refused(constants.errno.ENOENT));
  }));

test("folders are made, things moved and removed, and what is wrong with a path is said", () =>
  inJail(async ({ box, shell: run }) => {
    assert.equal((await box.makeDirectory("x/y")).type, "directory");
    assert.equal((await box.makeDirectory("x/y")).path, "x/y");
    await box.write([{ path: "x/y/file", content: bytes("1"), mode: 0 }]);
    assert.equal((await box.move("x/y", "moved/z")).type, "directory");
    assert.equal((await contentOf(box, "moved/z/file")).toString(), "1");
    await run("ln -s /usr/bin moved/z/bin; chmod 500 moved");
    await run("chmod 700 moved");
    await box.remove("moved");
    assert.deepEqual(
      (await box.list("/work", 5, 100)).entries.map(({ path }) => path),
      ["/work/x"],
    );
    assert.equal((await box.stat("/usr/bin/env")).type, "file");
    await assert.rejects(box.remove("moved"), refused(constants.errno.ENOENT));
    await assert.rejects(box.remove("/usr/bin/env"), refused(constants.errno.EROFS));
    await assert.rejects(box.stat("nothing"), refused(constants.errno.ENOENT));
    await assert.rejects(box.read("/dev/zero", 10), refused(constants.errno.EINVAL));
    await assert.rejects(box.read("/etc", 10), refused(constants.errno.EISDIR));
    await assert.rejects(box.read("/proc/1/mem", 10), refused(constants.errno.EACCES));
    await assert.rejects(
      box.write([{ path: "/etc/passwd", content: bytes(""), mode: 0 }]),
      refused(constants.errno.EROFS),
    );
  }));

test("a watch tells changes below a folder, moves as one, and folders that come", () =>
  inJail(async ({ box, shell: run }) => {
    await run("mkdir -p w/old/deep; touch w/file");
    const stop = new AbortController();
    const seen: string[] = [];
    const begun = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const show = ({ type, path, newPath }: Change) =>
      [type, path, newPath]
        .map((text) => text.replace("/work/w/", ""))
        .join(" ")
        .trim();
    const watching = (async () => {
      for await (const change of box.watch("w", true, stop.signal)) {
        if (change.type === "begun") begun.resolve();
        else seen.push(show(change));
        if (change.path.endsWith("/end")) done.resolve();
      }
    })();
    await begun.promise;
    await run(
      "echo 1 >> w/file; echo 2 >> w/file; mv w/file w/old/moved; chmod 600 w/old/moved; mv w/old w/new",
    );
    await run(
      "echo 3 > w/new/deep/late; mkdir -p w/more/and; touch w/more/and/file; rm w/new/moved; mv w/new/deep /tmp/",
    );
    await run("sleep 0.1; touch w/end");
    await done.promise;
    stop.abort();
    await assert.rejects(watching, FileError);
    const has = (wanted: string) =>
      assert.ok(seen.includes(wanted), `${wanted} in ${seen.join(", ")}`);
    for (const wanted of [
      ...["written file", "moved file old/moved", "attributes old/moved", "moved old new"],
      ...["created new/deep/late", "written new/deep/late", "created more", "created more/and"],
      ...["created more/and/file", "removed new/moved", "removed new/deep"],
    ]) {
      has(wanted);
    }
    await assert.rejects(async () => {
      for await (const change of box.watch("none", true, new AbortController().signal))
        assert.fail(show(change));
    }, refused(constants.errno.ENOENT));
  }));
