// E2B's official SDK, unmodified, against the whole platform: files.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FileNotFoundError, InvalidArgumentError, NotEnoughSpaceError } from "e2b";
import { parseObject, pointAt, tokenOf, withSandbox } from "../e2b-sdk.ts";
import { getOk, pathOf, type Process } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
beforeEach(() => pointAt(platform()));

test("files are written and read as text, bytes and streams", async () => {
  await withSandbox(async ({ files, commands }) => {
    const info = await files.write("notes/ä.txt", "grüß\n");
    assert.deepEqual(
      [info.name, info.path, info.type],
      ["ä.txt", "/home/user/notes/ä.txt", "file"],
    );
    assert.equal(await files.read("notes/ä.txt"), "grüß\n");
    assert.equal(
      (await commands.run("cat ~/notes/ä.txt /work/notes/ä.txt")).stdout,
      "grüß\ngrüß\n",
    );
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256);
    await files.write("/tmp/data.bin", bytes.buffer);
    assert.deepEqual(await files.read("/tmp/data.bin", { format: "bytes" }), bytes);
    const blob = await files.read("/tmp/data.bin", { format: "blob" });
    assert.equal(blob.size, bytes.length);
    const stream = await files.read("/tmp/data.bin", { format: "stream" });
    let length = 0;
    for await (const part of stream) length += part.length;
    assert.equal(length, bytes.length);
    await files.write("streamed.bin", new Blob([bytes]).stream());
    assert.deepEqual(await files.read("streamed.bin", { format: "bytes" }), bytes);
    await files.write("packed.txt", "x".repeat(10_000), { gzip: true });
    assert.equal((await files.read("packed.txt", { gzip: true })).length, 10_000);
    const several = await files.write([
      { path: "several/one", data: "1" },
      { path: "/home/user/several/two", data: new Uint8Array([50]).buffer },
    ]);
    assert.deepEqual(
      several.map(({ path }) => path),
      ["/home/user/several/one", "/home/user/several/two"],
    );
    assert.equal(await files.read("several/two"), "2");
    await files.write("empty", "");
    assert.equal(await files.read("empty"), "");
    assert.equal((await files.read("empty", { format: "bytes" })).length, 0);
    await assert.rejects(files.read("none"), FileNotFoundError);
    await assert.rejects(files.read("several"), InvalidArgumentError);
    await assert.rejects(files.write("several", "x"), InvalidArgumentError);
  });
});

test("files of any size come and go piece by piece", async () => {
  await withSandbox(async ({ files, commands }) => {
    const large = new Uint8Array(24 * 1024 ** 2).map(
      (_, index) => (index * 31 + (index >> 12)) % 256,
    );
    await commands.run(
      "mkdir sub; echo old > sub/target; chmod 600 sub/target; ln -s target sub/link",
    );
    const written = await files.write([
      { path: "before", data: "1" },
      { path: "sub/link", data: large.buffer },
      { path: "after", data: "2" },
    ]);
    assert.deepEqual(
      written.map(({ path }) => path),
      ["/home/user/before", "/home/user/sub/link", "/home/user/after"],
    );
    const listed = await commands.run(
      "stat -c '%a %s %F' sub/target sub/link; ls sub; cat before after",
    );
    const target = `600 ${large.length} regular file`;
    assert.equal(listed.stdout, `${target}\n777 6 symbolic link\nlink\ntarget\n12`);
    assert.ok(Buffer.from(await files.read("sub/link", { format: "bytes" })).equals(large));
    await files.write("streamed", new Blob([large]).stream());
    assert.equal((await files.getInfo("streamed")).size, large.length);
    await assert.rejects(files.write("sub", large.buffer), InvalidArgumentError);
    assert.deepEqual(await commands.list(), []);
    const leaving = new AbortController();
    const stream = await files.read("streamed", { format: "stream", signal: leaving.signal });
    await stream.getReader().read();
    leaving.abort();
    await commands.run("head -c 300M /dev/zero > fill || true");
    await assert.rejects(files.write("more", large.buffer), NotEnoughSpaceError);
    await assert.rejects(files.write("more", "x".repeat(3_000_000)), NotEnoughSpaceError);
    assert.equal((await commands.run("ls")).stdout, "after\nbefore\nfill\nstreamed\nsub\n");
  });
});

test("an upload whose client leaves is undone", async () => {
  await withSandbox(async ({ files, commands, sandboxId }) => {
    const leaving = new AbortController();
    const endless = new ReadableStream<Uint8Array>({
      pull: async (stream) => {
        await sleep(5);
        if (leaving.signal.aborted) return stream.error(leaving.signal.reason);
        stream.enqueue(new Uint8Array(65_536));
      },
    });
    const writing = files.write("half", endless, { signal: leaving.signal });
    const ls = async () => (await commands.run("ls")).stdout;
    await eventually("it is on its way", async () => (await ls()).startsWith("half."));
    leaving.abort();
    await assert.rejects(writing);
    await eventually("nothing of it is left", async () => (await ls()) === "");
    const path = pathOf(sandboxId, "/processes");
    const { processes } = await getOk<{ processes: Process[] }>(platform(), path);
    assert.ok(processes.every(({ running }) => !running));
  });
});

test("what lies where is listed, made, moved and removed", async () => {
  await withSandbox(async ({ files, commands }) => {
    await files.write("a/b/c.txt", "12345");
    await commands.run("ln -s b/c.txt a/link; chmod 640 a/b/c.txt");
    const paths = async (path: string, depth?: number) => {
      const found = await files.list(path, depth === undefined ? {} : { depth });
      return found.map((entry) => `${entry.type} ${entry.path}`);
    };
    assert.deepEqual(await paths("a"), ["dir /home/user/a/b", "symlink /home/user/a/link"]);
    assert.deepEqual(await paths("/home/user", 3), [
      "dir /home/user/a",
      "dir /home/user/a/b",
      "file /home/user/a/b/c.txt",
      "symlink /home/user/a/link",
    ]);
    assert.deepEqual(await paths("/work"), ["dir /work/a"]);
    await assert.rejects(paths("none"), FileNotFoundError);
    await assert.rejects(paths("a/b/c.txt"), InvalidArgumentError);
    const info = await files.getInfo("a/b/c.txt");
    const { name, path, size, mode, permissions, owner, type } = info;
    assert.deepEqual(
      [name, path, size, mode, permissions, owner, type],
      ["c.txt", "/home/user/a/b/c.txt", 5, 0o640, "-rw-r-----", "user", "file"],
    );
    assert.ok(Math.abs(Date.now() - (info.modifiedTime?.getTime() ?? 0)) < 60_000);
    assert.equal((await files.getInfo("a/link")).symlinkTarget, "b/c.txt");
    assert.equal((await files.getInfo("~")).path, "/home/user");
    assert.equal(await files.makeDir("d/e"), true);
    assert.equal(await files.makeDir("d/e"), false);
    const moved = await files.rename("a/b/c.txt", "d/e/f.txt");
    assert.deepEqual([moved.path, moved.size], ["/home/user/d/e/f.txt", 5]);
    assert.deepEqual(
      [await files.exists("a/b/c.txt"), await files.exists("d/e/f.txt")],
      [false, true],
    );
    await assert.rejects(files.rename("none", "other"), FileNotFoundError);
    await files.remove("d");
    await files.remove("d");
    assert.equal(await files.exists("d/e"), false);
    await assert.rejects(files.getInfo("d"), FileNotFoundError);
  });
});

test("changes in a folder are told, to who follows and to who asks", async () => {
  await withSandbox(async (sandbox) => {
    const { files, commands } = sandbox;
    await files.makeDir("w/deep");
    const seen: string[] = [];
    const entries: string[] = [];
    const watch = await files.watchDir(
      "w",
      ({ name, type, entry }) => {
        seen.push(`${type} ${name}`);
        if (entry !== undefined) entries.push(entry.path);
      },
      { recursive: true, includeEntry: true },
    );
    const token = tokenOf(sandbox);
    const poll = async (method: string, body: object) => {
      const response = await fetch(`${platform().url}/filesystem.Filesystem/${method}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "E2b-Sandbox-Id": sandbox.sandboxId,
          "X-Access-Token": token,
        },
        body: JSON.stringify(body),
      });
      return { status: response.status, json: parseObject(await response.json()) };
    };
    const { watcherId } = (await poll("CreateWatcher", { path: "w", recursive: true })).json;
    await commands.run("cd w; echo 1 > f; chmod 600 f; mv f deep/g; rm deep/g; touch end");
    await eventually("the end is told", async () => seen.includes("create end"));
    for (const event of [
      "create f",
      "write f",
      "chmod f",
      "rename f",
      "create deep/g",
      "remove deep/g",
    ]) {
      assert.ok(seen.includes(event), `${event} in ${seen.join(", ")}`);
    }
    assert.ok(entries.includes("/home/user/w/end"));
    await watch.stop();
    const { events } = (await poll("GetWatcherEvents", { watcherId })).json;
    assert.ok(JSON.stringify(events).includes('{"name":"deep/g","type":"EVENT_TYPE_REMOVE"}'));
    assert.deepEqual((await poll("GetWatcherEvents", { watcherId })).json, { events: [] });
    assert.equal((await poll("RemoveWatcher", { watcherId })).status, 200);
    assert.equal((await poll("GetWatcherEvents", { watcherId })).status, 404);
    await assert.rejects(
      files.watchDir("none", () => undefined),
      FileNotFoundError,
    );
    await assert.rejects(
      files.watchDir("w/end", () => undefined),
      InvalidArgumentError,
    );
  });
});

test("a signed address reads or writes one file, until it is over", async () => {
  await withSandbox(async (sandbox) => {
    const upload = await sandbox.uploadUrl("up.txt", { useSignatureExpiration: 60 });
    const form = new FormData();
    form.append("file", new Blob(["by hand"]), "up.txt");
    assert.equal((await fetch(upload, { method: "POST", body: form })).status, 200);
    const download = await sandbox.downloadUrl("up.txt");
    assert.equal(await (await fetch(download)).text(), "by hand");
    const other = download.replace("up.txt", "other.txt");
    const late = await sandbox.downloadUrl("up.txt", { useSignatureExpiration: -1 });
    for (const refused of [other, upload, late, `${platform().url}/files?path=up.txt`]) {
      assert.equal((await fetch(refused)).status, 401);
    }
  });
});
