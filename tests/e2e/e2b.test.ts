// E2B's official SDK, unmodified, against the whole platform.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, test } from "node:test";
import {
  AuthenticationError,
  CommandExitError,
  FileNotFoundError,
  InvalidArgumentError,
  Sandbox,
  SandboxNotFoundError,
  TimeoutError,
} from "e2b";
import { killSandbox, makeSandbox } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

beforeEach(() => {
  const { url, data } = platform();
  const file = join(data, "api-key");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  process.env["E2B_API_KEY"] = readFileSync(file, "utf8").trim().replace("syla_", "e2b_");
  process.env["E2B_API_URL"] = url;
  process.env["E2B_SANDBOX_URL"] = url;
});

// The SDK keeps it to itself.
function tokenOf(sandbox: Sandbox): string {
  return String(Reflect.get(sandbox, "envdAccessToken"));
}

function parseObject(value: unknown): Readonly<Record<string, unknown>> {
  return value as Readonly<Record<string, unknown>>;
}

/** A sandbox for one test. */
async function withSandbox(work: (sandbox: Sandbox) => Promise<void>, more = {}): Promise<void> {
  const sandbox = await Sandbox.create(more);
  try {
    await work(sandbox);
  } finally {
    await sandbox.kill();
  }
}

test("a sandbox is made, found, prolonged, paused, gone on with and killed", async () => {
  const metadata = { user: "ada", "a b": "c&d=ü" };
  const sandbox = await Sandbox.create("base", { metadata, timeoutMs: 60_000 });
  const info = await sandbox.getInfo();
  assert.equal(info.state, "running");
  assert.equal(info.templateId, "base");
  assert.deepEqual(info.metadata, metadata);
  assert.equal(info.endAt.getTime() - info.startedAt.getTime(), 60_000);
  assert.ok(info.cpuCount > 0 && info.memoryMB > 0);
  assert.equal(await sandbox.isRunning(), true);
  await sandbox.setTimeout(120_000);
  const later = (await sandbox.getInfo()).endAt.getTime();
  assert.ok(later > info.endAt.getTime() + 50_000);
  const [metrics] = await sandbox.getMetrics();
  assert.ok(metrics !== undefined && metrics.memTotal > 0 && metrics.cpuUsedPct >= 0);
  await sandbox.commands.run("echo kept > /tmp/note");
  assert.equal(await sandbox.pause(), true);
  assert.equal(await sandbox.pause(), false);
  assert.equal((await sandbox.getInfo()).state, "paused");
  assert.equal(await sandbox.isRunning(), false);
  const again = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 90_000 });
  assert.equal((await again.getInfo()).state, "running");
  assert.equal((await again.commands.run("cat /tmp/note")).stdout, "kept\n");
  assert.equal(await again.kill(), true);
  assert.equal(await sandbox.kill(), false);
  assert.equal(await sandbox.isRunning(), false);
  await assert.rejects(sandbox.getInfo(), SandboxNotFoundError);
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), SandboxNotFoundError);
  await assert.rejects(sandbox.commands.run("true"), SandboxNotFoundError);
  await assert.rejects(sandbox.files.read("x"), TimeoutError);
});

test("sandboxes are listed page by page, by metadata and state", async () => {
  const group = `g${Date.now()}`;
  const made: Sandbox[] = [];
  for (const n of ["1", "2", "3"]) made.push(await Sandbox.create({ metadata: { group, n } }));
  const metadata = { group };
  const pages = Sandbox.list({ limit: 2, query: { metadata } });
  const first = await pages.nextItems();
  assert.deepEqual([first.length, pages.hasNext], [2, true]);
  const second = await pages.nextItems();
  assert.deepEqual([second.length, pages.hasNext], [1, false]);
  assert.deepEqual(
    [...first, ...second].map((sandbox) => sandbox.metadata["n"]),
    ["3", "2", "1"],
  );
  await made[0]?.pause();
  await made[1]?.kill();
  const states = async (state: ("running" | "paused")[]) => {
    const found = await Sandbox.list({ query: { metadata, state } }).nextItems();
    return found.map(({ sandboxId }) => sandboxId);
  };
  assert.deepEqual(await states(["paused"]), [made[0]?.sandboxId]);
  assert.deepEqual(await states(["running"]), [made[2]?.sandboxId]);
  assert.deepEqual(await states(["running", "paused"]), [made[2]?.sandboxId, made[0]?.sandboxId]);
  for (const sandbox of made) await sandbox.kill();
});

test("without the key, or a sandbox's token, nothing is done", async () => {
  const { url } = platform();
  const stranger = `e2b_${"0".repeat(64)}`;
  await assert.rejects(Sandbox.create({ apiKey: stranger }), AuthenticationError);
  const none = await fetch(`${url}/v2/sandboxes`);
  assert.deepEqual(
    [none.status, await none.json()],
    [401, { code: 401, message: "Unauthorized, please check your credentials." }],
  );
  const other = await Sandbox.create();
  await withSandbox(async ({ sandboxId }) => {
    const call = (headers: Record<string, string>, path = "/process.Process/List") =>
      fetch(`${url}${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "E2b-Sandbox-Id": sandboxId,
          "E2b-Sandbox-Port": "49983",
          ...headers,
        },
        body: "{}",
      });
    for (const token of ["", "x", tokenOf(other)]) {
      const refused = await call({ "X-Access-Token": token });
      assert.equal(refused.status, 401);
      assert.match(await refused.text(), /"code":"unauthenticated"/);
    }
    const elsewhere = await call({ "E2b-Sandbox-Port": "49999" }, "/execute");
    assert.equal(elsewhere.status, 501);
  });
  await other.kill();
});

test("what cannot be had is refused in E2B's words", async () => {
  await assert.rejects(Sandbox.create("my-template"), /404: template 'my-template' not found/);
  const lifecycle = { onTimeout: "pause" } as const;
  await assert.rejects(Sandbox.create({ lifecycle }), /400: autoPause is not supported/);
  await assert.rejects(Sandbox.create({ network: { denyOut: ["8.8.8.8"] } }), /400: network/);
  await assert.rejects(Sandbox.create({ timeoutMs: 90_000_000 }), /400: Timeout cannot be greater/);
  await withSandbox(async (sandbox) => {
    await assert.rejects(sandbox.fork(), /501: Syla has no forks/);
    await assert.rejects(sandbox.createSnapshot(), /501: Syla has no snapshots/);
    await assert.rejects(
      sandbox.updateNetwork({ denyOut: ["8.8.8.8"] }),
      /501: Syla has no network/,
    );
    await assert.rejects(sandbox.commands.run("id", { user: "ada" }), AuthenticationError);
  });
});

test("a sandbox of Syla's own API is one of E2B's, and the other way round", async () => {
  const { id } = await makeSandbox(platform());
  const sandbox = await Sandbox.connect(id);
  assert.equal((await sandbox.commands.run("echo $((6*7))")).stdout, "42\n");
  await killSandbox(platform(), id);
  assert.equal(await sandbox.isRunning(), false);
});

test("a command runs at home, with its variables, and its exit is told", async () => {
  await withSandbox(
    async ({ commands, sandboxId }) => {
      const ran = await commands.run(
        "pwd; echo $HOME $FROM_SANDBOX $MINE $E2B_SANDBOX_ID; echo err >&2",
        {
          envs: { MINE: 'it\'s "quoted"\n$(id)' },
        },
      );
      const expected = `/home/user\n/home/user a b it's "quoted" $(id) ${sandboxId}\n`;
      assert.deepEqual([ran.exitCode, ran.stdout, ran.stderr], [0, expected, "err\n"]);
      await commands.run("mkdir -p ~/deep/er");
      for (const [cwd, path] of [
        ["/tmp", "/tmp"],
        ["deep/er", "/home/user/deep/er"],
        ["/home/user/deep", "/home/user/deep"],
      ] as const) {
        assert.equal((await commands.run("pwd", { cwd, user: "root" })).stdout, `${path}\n`);
      }
      await assert.rejects(commands.run("pwd", { cwd: "/none" }), InvalidArgumentError);
      await assert.rejects(commands.run("echo out; exit 7"), (error: unknown) => {
        assert.ok(error instanceof CommandExitError);
        const { exitCode, stdout, error: message } = error;
        assert.deepEqual([exitCode, stdout, message], [7, "out\n", "exit status 7"]);
        return true;
      });
      await assert.rejects(commands.run("kill -TERM $$"), (error: unknown) => {
        assert.ok(error instanceof CommandExitError);
        assert.deepEqual([error.exitCode, error.error], [-1, "signal: terminated"]);
        return true;
      });
    },
    { envs: { FROM_SANDBOX: "a b" } },
  );
});

test("output comes as it is made, and no character is cut", async () => {
  await withSandbox(async ({ commands }) => {
    const out: string[] = [];
    const err: string[] = [];
    const slowly =
      String.raw`printf 'a\xe2\x82'; sleep 0.2; printf '\xacb'; sleep 0.2; printf '\xf0\x9f' >&2; ` +
      String.raw`sleep 0.2; printf '\x98\x80' >&2`;
    const times: number[] = [];
    const ran = await commands.run(slowly, {
      onStdout: (text) => void (out.push(text), times.push(performance.now())),
      onStderr: (text) => void err.push(text),
    });
    assert.deepEqual([ran.stdout, ran.stderr], ["a€b", "😀"]);
    assert.deepEqual([out, err], [["a", "€b"], ["😀"]]);
    assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > 100);
    const wide = await commands.run("python3 -c \"print('€😀' * 200000, end='')\"");
    assert.equal(wide.stdout, "€😀".repeat(200_000));
  });
});

test("a command in the background is written to, listed, followed by another reader and killed", async () => {
  await withSandbox(async ({ commands, sandboxId }) => {
    const cat = await commands.run("cat", { background: true, stdin: true });
    assert.ok(
      (await commands.list()).some(({ pid, args }) => pid === cat.pid && args.at(-1) === "cat"),
    );
    await commands.sendStdin(cat.pid, "héllo ");
    await cat.sendStdin("wörld");
    await eventually("it has said so", async () => cat.stdout === "héllo wörld");
    await commands.closeStdin(cat.pid);
    assert.equal((await cat.wait()).exitCode, 0);

    const counter = await commands.run("for i in $(seq 1 40); do echo line $i; sleep 0.02; done", {
      background: true,
    });
    await eventually("it has begun", async () => counter.stdout.includes("line 5\n"));
    await counter.disconnect();
    const stranger = await Sandbox.connect(sandboxId);
    const seen: string[] = [];
    const followed = await stranger.commands.connect(counter.pid, {
      onStdout: (text) => void seen.push(text),
    });
    const all = Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`).join("");
    assert.equal((await followed.wait()).stdout, all);
    assert.equal(seen.join(""), all);
    const late = await stranger.commands.connect(counter.pid);
    assert.equal((await late.wait()).stdout, all);

    const sleeper = await commands.run("sleep 100", { background: true });
    assert.equal(await commands.kill(sleeper.pid), true);
    await assert.rejects(sleeper.wait(), (error: unknown) => {
      return error instanceof CommandExitError && error.error === "signal: killed";
    });
    assert.equal(await commands.kill(sleeper.pid), false);
    assert.equal(await sleeper.kill(), false);
    assert.deepEqual(await commands.list(), []);
  });
});

test("a command that takes longer than its timeout is ended", async () => {
  await withSandbox(async ({ commands }) => {
    await assert.rejects(commands.run("sleep 30", { timeoutMs: 500 }), TimeoutError);
    await eventually("it is gone", async () => (await commands.list()).length === 0);
    assert.equal((await commands.run("sleep 0.1; echo on", { timeoutMs: 0 })).stdout, "on\n");
  });
});

test("a terminal is typed into, resized, followed and killed", async () => {
  await withSandbox(async ({ pty, sandboxId }) => {
    let screen = "";
    const decoder = new TextDecoder();
    const onData = (data: Uint8Array) => void (screen += decoder.decode(data, { stream: true }));
    const shell = await pty.create({ cols: 90, rows: 30, onData, envs: { MINE: "yes" } });
    const type = (text: string) => pty.sendInput(shell.pid, new TextEncoder().encode(text));
    await type("stty size; echo $MINE; pwd\n");
    await eventually("it has its size", async () => screen.includes("30 90"));
    await eventually("it is at home", async () => screen.includes("yes\r\n/home/user\r\n"));
    await pty.resize(shell.pid, { cols: 70, rows: 20 });
    await type("stty size\n");
    await eventually("it has the other", async () => screen.includes("20 70"));
    await shell.disconnect();
    const stranger = await Sandbox.connect(sandboxId);
    let other = "";
    const follower = await stranger.pty.connect(shell.pid, {
      onData: (data) => void (other += new TextDecoder().decode(data)),
    });
    await type("echo after $((6*7))\n");
    await eventually("the other reader sees it", async () => other.includes("after 42"));
    assert.equal(await pty.kill(shell.pid), true);
    await assert.rejects(follower.wait(), CommandExitError);
    assert.equal(await pty.kill(shell.pid), false);
  });
});

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
