// E2B's official SDK, unmodified, against the whole platform: sandboxes, commands, terminals.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  AuthenticationError,
  CommandExitError,
  InvalidArgumentError,
  Sandbox,
  SandboxNotFoundError,
  TimeoutError,
} from "e2b";
import { parseObject, pointAt, tokenOf, withSandbox } from "../e2b-sdk.ts";
import { killSandbox, makeSandbox } from "../sandbox-api.ts";
import { buildEvents, declare } from "../snapshot-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
beforeEach(() => pointAt(platform()));

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
  const odd = { group, quoted: 'a "b" \\ c\n=&%', "ü.x:y/z+1-2": "1" };
  const other = await Sandbox.create({ metadata: odd });
  const [found] = await Sandbox.list({ query: { metadata: odd } }).nextItems();
  assert.deepEqual([found?.sandboxId, found?.metadata], [other.sandboxId, odd]);
  await other.kill();
  await assert.rejects(
    Sandbox.list({ query: { metadata: { 'x = "1" AND y': "" } } }).nextItems(),
    /400: cannot list by the metadata key/,
  );
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
    for (const token of ["", "x", tokenOf(other)]) {
      const at = { "E2b-Sandbox-Port": "49999", "X-Access-Token": token };
      assert.equal((await call(at, "/execute")).status, 401);
      const forPorts = { ...at, "E2B-Traffic-Access-Token": token };
      assert.equal((await call(forPorts, "/contexts")).status, 401);
    }
  });
  await other.kill();
});

test("what cannot be had is refused in E2B's words", async () => {
  await assert.rejects(Sandbox.create("my-template"), /404: template 'my-template' not found/);
  const lifecycle = { onTimeout: "pause" } as const;
  await assert.rejects(Sandbox.create({ lifecycle }), /400: autoPause is not supported/);
  const maskRequestHost = "x.test";
  await assert.rejects(Sandbox.create({ network: { maskRequestHost } }), /400: network.mask/);
  await assert.rejects(Sandbox.create({ timeoutMs: 90_000_000 }), /400: Timeout cannot be greater/);
  await withSandbox(async (sandbox) => {
    await assert.rejects(sandbox.createSnapshot({ name: "mine" }), /400: snapshots have no names/);
    await assert.rejects(sandbox.commands.run("id", { user: "ada" }), AuthenticationError);
  });
});

test("what a sandbox may reach is asked for and changed", async () => {
  const network = {
    allowOut: ["*.allowed.test", "8.8.8.0/24"],
    denyOut: ({ allTraffic }: { allTraffic: string }) => [allTraffic],
    rules: { "api.allowed.test": [{ transform: { headers: { "X-Key": "a secret" } } }] },
  };
  const sandbox = await Sandbox.create({ network });
  const told = await sandbox.getInfo();
  assert.equal(told.allowInternetAccess, true);
  assert.deepEqual(told.network?.allowOut, network.allowOut);
  assert.ok(!JSON.stringify(told).includes("a secret"));
  const curl = "curl -s --max-time 20 http://";
  const refused = await sandbox.commands.run(`${curl}other.test`);
  assert.match(refused.stdout, /no rule allows it/);
  const internal = await sandbox.commands.run(`${curl}127.0.0.1 --noproxy ''`);
  assert.match(internal.stdout, /no rule allows it/);
  await sandbox.updateNetwork({ denyOut: ["9.9.9.9"] });
  const denied = await sandbox.commands.run(`${curl}9.9.9.9`);
  assert.match(denied.stdout, /the rule 9.9.9.9 denies it/);
  await sandbox.updateNetwork({ allowInternetAccess: false });
  assert.equal((await sandbox.getInfo()).allowInternetAccess, false);
  await sandbox.kill();
});

test("a sandbox is forked, and kept and begun with again, without its processes", async () => {
  await withSandbox(async (sandbox) => {
    await sandbox.files.write("note", "kept");
    await sandbox.commands.run("sleep 100", { background: true });
    const forks = await sandbox.fork({ count: 2, timeoutMs: 60_000 });
    assert.equal(forks.length, 2);
    for (const fork of forks) {
      assert.ok(fork instanceof Sandbox);
      assert.equal(
        (await fork.commands.run("cat note; pwd; pgrep -c sleep || :")).stdout,
        "kept/home/user\n0\n",
      );
      await fork.kill();
    }
    const { snapshotId } = await sandbox.createSnapshot();
    const listed = await sandbox.listSnapshots().nextItems();
    assert.deepEqual(listed, [{ snapshotId, names: [] }]);
    const again = await Sandbox.create(snapshotId);
    assert.equal(await again.files.read("note"), "kept");
    assert.equal((await again.getInfo()).templateId, snapshotId);
    await again.kill();
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true);
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), false);
    await assert.rejects(Sandbox.create(snapshotId), /404: template '.*' not found/);
  });
  await declare(platform(), { name: "of-ours", files: [{ path: "f", content: "built" }] });
  await buildEvents(platform(), "of-ours");
  const sandbox = await Sandbox.create("of-ours");
  assert.equal(await sandbox.files.read("f"), "built");
  await sandbox.kill();
});

test("the paths of older SDKs are there, too", async () => {
  const call = async (method: string, path: string, body?: object) => {
    const { url } = platform();
    const headers = {
      "X-API-KEY": process.env["E2B_API_KEY"] ?? "",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    };
    const text = body === undefined ? null : JSON.stringify(body);
    const response = await fetch(url + path, { method, headers, body: text });
    const said = await response.text();
    return { status: response.status, json: said === "" ? {} : parseObject(JSON.parse(said)) };
  };
  const made = await call("POST", "/sandboxes", { templateID: "code-interpreter-v1", timeout: 60 });
  assert.equal(made.status, 201);
  const { sandboxID, envdVersion, envdAccessToken } = made.json;
  assert.deepEqual([typeof envdVersion, typeof envdAccessToken], ["string", "string"]);
  const at = `/sandboxes/${String(sandboxID)}`;
  const listed = await call("GET", "/sandboxes");
  assert.ok(JSON.stringify(listed.json).includes(String(sandboxID)));
  assert.equal((await call("POST", `${at}/connect`, { timeout: 60 })).status, 200);
  assert.deepEqual(await call("POST", `${at}/pause`), { status: 204, json: {} });
  assert.equal((await call("POST", `${at}/pause`)).status, 409);
  assert.equal((await call("POST", `${at}/resume`, { timeout: 60 })).status, 201);
  assert.deepEqual(await call("DELETE", at), { status: 204, json: {} });
  const gone = await call("GET", at);
  assert.deepEqual([gone.status, gone.json["code"]], [404, 404]);
  const wrong = await call("POST", "/sandboxes", { templateID: "base", timeout: "soon" });
  assert.deepEqual([wrong.status, wrong.json["code"]], [400, 400]);
  assert.equal((await call("GET", "/sandboxes/none")).status, 404);
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
