// What comes out of a jail as a whole: files with their modes and names, or nothing at all.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type JailFixture, MIB, openFixture, runIn } from "./fixture.ts";
import { FrameError } from "./frames.ts";
import { TreeCollection } from "./tree.ts";

let jails: JailFixture;
before(async () => (jails = await openFixture()));
after(() => jails.close());

const wanted = { name: ".program", bytesMax: MIB, entriesMax: 50 };

/** What a script leaves, as path, mode and size, or undefined. */
async function leftBy(script: string, bounds: Partial<typeof wanted> = {}) {
  const jail = jails.open();
  const { outcome, stderr } = await runIn(jail, ["/bin/sh", "-ec", script]);
  assert.equal(outcome.success, true, stderr);
  const files = await jail.collectTree({ ...wanted, ...bounds });
  assert.equal(jail.alive, true);
  assert.equal((await runIn(jail, ["/bin/echo", "on"])).stdout, "on\n", "the jail goes on");
  await jail.close();
  return files?.map(({ path, mode, content }) => `${path} ${mode?.toString(8)} ${content.length}`);
}

test("Jail.collectTree() brings a file out, or a folder with all files in it", async () => {
  assert.deepEqual(await leftBy("printf hello > .program; chmod 755 .program"), [".program 755 5"]);
  const folder = `mkdir -p .program/a/b .program/empty; cd .program; printf x > a/b/X.class
    : > none; printf secret > 'an "odd" ü
name'; head -c 300000 /dev/zero > large; chmod 640 large; chmod 711 a/b/X.class`;
  assert.deepEqual(
    (await leftBy(folder))?.toSorted(),
    [
      '.program/an "odd" ü\nname 644 6',
      ".program/a/b/X.class 711 1",
      ".program/large 640 300000",
      ".program/none 644 0",
    ].toSorted(),
  );
  assert.deepEqual(await leftBy("mkdir .program"), []);
});

test("Jail.collectTree() brings nothing out where there is anything else", async () => {
  const scripts: Readonly<Record<string, string>> = {
    "nothing there": ":",
    "a link": "ln -s /etc/passwd .program",
    "a link to a folder": "ln -s /etc .program",
    "a link below": "mkdir .program; printf x > .program/x; ln -s x .program/y",
    "a link out of it": "mkdir .program; ln -s /proc/self/environ .program/y",
    "a pipe": "mkdir .program; mkfifo .program/pipe",
    "a socket":
      "mkdir .program; /usr/bin/python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('.program/s')\"",
    "a file not to be read": "mkdir .program; printf x > .program/x; chmod 0 .program/x",
    "a folder not to be read": "mkdir -p .program/x; chmod 0 .program/x",
    "a name that is not UTF-8": "mkdir .program; printf x > \"$(printf '.program/\\377')\"",
    "too many bytes": "mkdir .program; head -c 700000 /dev/zero | tee .program/a > .program/b",
    "a sparse file": "truncate -s 9223372036854775807 .program",
    "too many files": "mkdir .program; cd .program; for i in $(seq 50); do : > $i; done",
    "too many folders": "mkdir .program; cd .program; for i in $(seq 50); do mkdir $i; done",
    "too deep": "d=.program; for i in $(seq 40); do d=$d/a; done; mkdir -p $d; : > $d/f",
    "a path too long":
      "n=$(head -c 250 /dev/zero | tr '\\0' n); mkdir -p .program/$n/$n/$n; : > .program/$n/$n/$n/$n",
  };
  for (const [what, script] of Object.entries(scripts)) {
    assert.equal(await leftBy(script), undefined, what);
  }
  const exact = "mkdir .program; cd .program; for i in $(seq 49); do : > $i; done";
  assert.equal((await leftBy(exact))?.length, 49);
  const full = { bytesMax: 1000 };
  assert.equal((await leftBy("head -c 1000 /dev/zero > .program", full))?.length, 1);
  assert.equal(await leftBy("head -c 1001 /dev/zero > .program", full), undefined);
});

test("Jail.collectTree() names one thing in /work, and nothing elsewhere", async () => {
  const script = "mkdir -p a; printf x > a/b";
  assert.deepEqual(await leftBy(script, { name: "a" }), ["a/b 644 1"]);
  for (const name of ["a/b", "..", ".", "", "/etc", "../etc"]) {
    assert.equal(await leftBy(script, { name }), undefined, name);
  }
  const jail = jails.open();
  assert.throws(() => jail.collectTree({ ...wanted, name: "a\0b" }), FrameError);
  await jail.close();
  assert.equal(await jail.collectTree(wanted), undefined);
});

test("TreeCollection believes no agent that says what was not asked for", () => {
  const file = { type: "treeFile", path: ".program/x", mode: 0o644, bytes: 2 } as const;
  const data = { type: "treeData", data: Buffer.from("ab") } as const;
  const end = { type: "treeEnd", errno: 0 } as const;
  const take = (...frames: Parameters<TreeCollection["take"]>[0][]) => {
    const collection = new TreeCollection({ ...wanted, bytesMax: 4, entriesMax: 2 }, () => {});
    return frames.map((frame) => collection.take(frame));
  };
  assert.deepEqual(take(file, data, end), ["more", "more", "done"]);
  assert.equal(take({ ...file, path: "main.c" }).at(-1), "wrong");
  assert.equal(take({ ...file, path: ".programs" }).at(-1), "wrong");
  assert.equal(take(data).at(-1), "wrong");
  assert.equal(take(file, data, data).at(-1), "wrong");
  assert.equal(take(file, end).at(-1), "wrong");
  assert.equal(take(file, file).at(-1), "wrong");
  assert.equal(take({ ...file, bytes: 5 }).at(-1), "wrong");
  const empty = { ...file, bytes: 0 };
  assert.equal(take(empty, empty, empty).at(-1), "wrong");
  assert.equal(take({ type: "artifactEnd", index: 0, truncated: false }).at(-1), "wrong");
});
