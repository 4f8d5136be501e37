// `syla shell` and `syla sandbox` against a whole platform, each command in a process of its own.
import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freshFolder, start, startOnTerminal, syla } from "../../cli/src/terminal/fixture.ts";
import { getSandbox, killSandbox, makeSandbox, type Sandbox, shell } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

function here() {
  return { env: { SYLA_URL: platform().url } };
}

async function newestSandbox(): Promise<Sandbox | undefined> {
  const { stdout } = await syla(["sandbox", "list", "--limit", "1", "--json"], here());
  return parseSandboxes(stdout)[0];
}

function parseSandboxes(text: string): Sandbox[] {
  return JSON.parse(text) as Sandbox[];
}

test("a shell has a terminal that is one, and its sandbox ends with it", async () => {
  const { saw, type, resize, ended } = startOnTerminal(["shell", "-e", "GREETING=hello"], here());
  await saw("$ ");
  type("echo $GREETING there; stty size\r");
  await saw("hello there\r\n30 90\r\n");
  resize(70, 20);
  // It is on its way: first the columns, then the rows.
  type("until [ \"$(stty size)\" = '20 70' ]; do sleep 0.05; done; echo si''zed\r");
  await saw("sized");
  type("echo rea''dy; sleep 100\r");
  await saw("ready");
  type("\u0003");
  await saw("$ ");
  type("echo go''ne; sleep 100\r");
  await saw("gone");
  await sleep(300);
  type("\u001A");
  await saw("Stopped");
  // Twice, as a job that has only just been killed may still count as stopped.
  type("kill -9 %1\rexit 7\rexit 7\r");
  const { code, clean } = await ended;
  assert.deepEqual([code, clean], [7, true]);
  const sandbox = await newestSandbox();
  assert.deepEqual([sandbox?.status, sandbox?.endReason], ["ENDED", "killed"]);
});

test("Ctrl-D ends a shell, and another program can take its place", async () => {
  const { saw, type, ended } = startOnTerminal(["shell", "--", "python3", "-q"], here());
  await saw(">>> ");
  type("6 * 7\r");
  await saw("42");
  await saw(">>> "); // not before: at a terminal that Python has yet to prepare, it is no end of input
  type("\u0004");
  assert.equal((await ended).code, 0);
});

test("a terminal that was left goes on, and who comes back sees what it wrote", async () => {
  const { id } = await makeSandbox(platform());
  const first = startOnTerminal(["shell", id], here());
  await first.saw("$ ");
  first.type("mark=kept; echo first $((40+2)); printf '\\e[?1049h\\e[6n'\r");
  await first.saw("first 42");
  first.type("\r~.");
  const left = await first.ended;
  assert.deepEqual([left.code, left.clean], [0, true]);
  assert.ok(left.shown.includes("\u001B[?1049l"), "its second screen is left");
  const back = `syla shell ${id} --process 1`;
  assert.ok(left.shown.includes(back), left.shown);
  const second = startOnTerminal(["shell", id, "--process", "1"], here());
  await second.saw("first 42");
  second.type("echo $mark\r");
  await second.saw("kept\r\n");
  second.type("exit 3\r");
  const { code, shown, clean } = await second.ended;
  assert.deepEqual([code, clean], [3, true]);
  assert.ok(!shown.includes("\u001B[6n"), "what a terminal answers to is not asked again");
  assert.equal((await getSandbox(platform(), id)).status, "RUNNING");
  await killSandbox(platform(), id);
});

test("a shell that is told to end leaves the terminal as it was and no sandbox", async () => {
  for (const [signal, exit] of [
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    const terminal = startOnTerminal(["shell"], here());
    await terminal.saw("$ ");
    terminal.type("printf '\\e[?25l\\e[?1000h'; echo rea''dy\r");
    await terminal.saw("ready");
    terminal.signal(signal);
    const { code, clean, shown } = await terminal.ended;
    assert.deepEqual([code, clean], [exit, true]);
    assert.ok(shown.includes("\u001B[?25h") && shown.includes("\u001B[?1000l"));
    assert.equal((await newestSandbox())?.status, "ENDED");
  }
});

test("a shell whose sandbox ends says so", async () => {
  const { id } = await makeSandbox(platform());
  const terminal = startOnTerminal(["shell", id], here());
  await terminal.saw("$ ");
  await killSandbox(platform(), id);
  const { code, clean, shown } = await terminal.ended;
  assert.deepEqual([code, clean], [137, true]);
  assert.match(shown, /the sandbox has ended. Ended by its owner./);
});

test("--keep leaves the sandbox and says its id; it is extended while somebody is there", async () => {
  const flags = ["shell", "--keep", "--lifetime", "2s", "--label", "kind=kept"];
  const terminal = startOnTerminal(flags, here());
  await terminal.saw("$ ");
  terminal.type("sleep 3; echo still he''re\r");
  await terminal.saw("still here");
  terminal.type("exit\r");
  const { shown, code } = await terminal.ended;
  assert.equal(code, 0);
  const id = /kept for 2 s: (\S+)/.exec(shown)?.[1] ?? "";
  assert.equal((await getSandbox(platform(), id)).status, "RUNNING");
  await eventually("it expires", async () => {
    return (await getSandbox(platform(), id)).endReason === "expired";
  });
});

test("what is piped into a shell is run without a terminal", async () => {
  const input = "tty; echo out; echo err >&2; exit 5\n";
  const { code, stdout, stderr } = await syla(["shell"], { ...here(), input });
  assert.deepEqual([code, stdout, stderr], [5, "not a tty\nout\n", "err\n"]);
  assert.equal((await newestSandbox())?.status, "ENDED");
});

test("exec behaves as if the command ran here", async () => {
  const { id } = await makeSandbox(platform());
  const exec = (command: readonly string[], options = {}) =>
    start(["sandbox", "exec", id, "--", ...command], { ...here(), ...options });
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 256));
  const { stdoutBytes } = await exec(["cat"], { input: bytes }).ended;
  assert.ok(stdoutBytes.equals(bytes), "bytes come back as they went");
  assert.equal((await exec(["sh", "-c", "exit 9"]).ended).code, 9);
  const trap = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done";
  const caught = exec(["bash", "-c", trap]);
  await caught.saw("ready");
  caught.child.kill("SIGINT");
  const { code, stdout } = await caught.ended;
  assert.deepEqual([code, stdout], [4, "ready\ncaught\n"]);
  const deaf = exec(["bash", "-c", "trap '' INT; echo ready; while :; do sleep 0.05; done"]);
  await deaf.saw("ready");
  deaf.child.kill("SIGINT");
  await sleep(200);
  deaf.child.kill("SIGINT");
  assert.equal((await deaf.ended).code, 130);
  const flood = exec(["yes"]);
  await flood.saw("y\n");
  flood.child.stdout.destroy();
  assert.equal((await flood.ended).code, 141);
  await eventually("nothing of them is left", async () => {
    return (await shell(platform(), id, "pgrep -c 'yes|sleep'")).stdout === "0\n";
  });
  await killSandbox(platform(), id);
});

test("files are copied in and out, large ones and folders too", async () => {
  const made = await syla(["sandbox", "create", "--label", "user=ada"], here());
  const id = made.stdout.trim();
  const cwd = freshFolder();
  const cp = async (...args: string[]) => {
    const { code, stderr } = await syla(["sandbox", "cp", ...args], { ...here(), cwd });
    assert.deepEqual([code, stderr], [0, ""]);
  };
  mkdirSync(join(cwd, "src", "deep"), { recursive: true });
  mkdirSync(join(cwd, "src", "empty"));
  writeFileSync(join(cwd, "src", "main.sh"), "#!/bin/sh\necho ñ\n");
  chmodSync(join(cwd, "src", "main.sh"), 0o755);
  const large = Buffer.alloc(20 * 2 ** 20, "large ");
  writeFileSync(join(cwd, "src", "deep", "large"), large);
  symlinkSync("deep/large", join(cwd, "src", "link"));
  await cp("src", `${id}:`);
  assert.equal(
    (await shell(platform(), id, "src/main.sh; ls src")).stdout,
    "ñ\ndeep\nempty\nlink\nmain.sh\n",
  );
  await cp(`${id}:src`, "back");
  assert.ok(readFileSync(join(cwd, "back", "deep", "large")).equals(large));
  assert.equal(statSync(join(cwd, "back", "main.sh")).mode & 0o777, 0o755);
  assert.ok(statSync(join(cwd, "back", "empty")).isDirectory());
  assert.equal(readlinkSync(join(cwd, "back", "link")), "deep/large");
  mkdirSync(join(cwd, "into"));
  await cp(`${id}:src/main.sh`, "into");
  await cp(join("into", "main.sh"), `${id}:/tmp/new/`);
  assert.equal((await shell(platform(), id, "/tmp/new/main.sh")).stdout, "ñ\n");
  await cp(`${id}:`, "into");
  assert.ok(statSync(join(cwd, "into", "work", "src", "main.sh")).isFile());
  const { code, stderr } = await syla(["sandbox", "cp", `${id}:none`, "x"], here());
  assert.equal(code, 2);
  assert.match(stderr, /there is nothing at this path/);
  await killSandbox(platform(), id);
});

test("a file has an address to write and to read it by", async () => {
  const { id } = await makeSandbox(platform());
  const url = async (...args: string[]) => {
    const { code, stdout } = await syla(["sandbox", "url", `${id}:note`, ...args], here());
    assert.equal(code, 0);
    return stdout.trim();
  };
  const put = { method: "PUT", body: "by address" };
  const written = await fetch(await url("--write", "--expires", "1m", "--size", "1kB"), put);
  assert.equal(written.status, 200);
  assert.equal(await (await fetch(await url())).text(), "by address");
  await killSandbox(platform(), id);
});

test("a sandbox is listed, shown, paused, resumed, and its processes' output told", async () => {
  const { id } = await makeSandbox(platform(), { metadata: { user: "grace" } });
  await shell(platform(), id, "echo out; echo err >&2; exit 2");
  const list = await syla(["sandbox", "list", "--filter", 'metadata.user = "grace"'], here());
  assert.match(list.stdout, new RegExp(`^${id}  RUNNING  - `, "m"));
  const get = await syla(["sandbox", "get", id], here());
  assert.match(get.stdout, /^labels +user=grace$/m);
  assert.match(get.stdout, /^1 +exit 2 +- +bash -c echo out/m);
  const { stdout, stderr } = await syla(["sandbox", "logs", id, "1"], here());
  assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
  for (const [name, status] of [
    ["pause", "PAUSED"],
    ["resume", "RUNNING"],
    ["kill", "ENDED (killed)"],
  ] as const) {
    assert.equal((await syla(["sandbox", name, id], here())).stdout, `${id} ${status}\n`);
  }
  const { code, stderr: why } = await syla(["sandbox", "exec", id, "--", "ls"], here());
  assert.equal(code, 125);
  assert.match(why, /it has ended \(killed\)/);
});

test("a template is built from its file, begun with, copied and removed by commands", async () => {
  const folder = freshFolder();
  const file = join(folder, "built.toml");
  const lines = [
    'commands = ["echo loud; echo made > made"]',
    'files = [{ path = "here", content = "x" }]',
  ];
  writeFileSync(file, lines.join("\n"));
  const created = await syla(["template", "create", file], here());
  assert.equal(created.code, 0, created.stderr);
  assert.match(created.stdout, /> 1 file\n> echo loud; echo made > made\nloud\n.*\nbuilt READY\n$/);
  const again = await syla(["template", "create", file], here());
  assert.equal(again.stdout, "built READY\n");
  const listed = await syla(["template", "list"], here());
  assert.match(listed.stdout, /^built +READY/m);
  const log = await syla(["template", "log", "built"], here());
  assert.match(log.stdout, /\nloud\n/);
  const made = await syla(["sandbox", "create", "--template", "built"], here());
  const id = made.stdout.trim();
  const snapshot = await syla(["sandbox", "snapshot", id], here());
  assert.deepEqual([snapshot.code, snapshot.stderr], [0, ""]);
  const begun = ["shell", "--snapshot", snapshot.stdout.trim(), "--", "cat", "made"];
  assert.equal((await syla(begun, here())).stdout, "made\n");
  const forks = await syla(["sandbox", "fork", id, "--count", "2"], here());
  assert.match(forks.stdout, /^([0-9a-f-]{36}\n){2}$/);
  for (const each of [id, ...forks.stdout.trim().split("\n")]) await killSandbox(platform(), each);
  assert.match((await syla(["template", "get", "built"], here())).stdout, /^status +READY$/m);
  assert.equal((await syla(["template", "delete", "built"], here())).code, 0);
  const gone = await syla(["template", "get", "built"], here());
  assert.deepEqual(
    [gone.code, /no template|Cannot find/.test(gone.stderr)],
    [2, true],
    gone.stderr,
  );
  writeFileSync(file, 'commands = ["exit 7"]');
  const broken = await syla(["template", "create", file], here());
  assert.deepEqual([broken.code, /ended with code 7/.test(broken.stderr)], [1, true]);
});
