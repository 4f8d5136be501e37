// A tenant with a sandbox that stays works against what serves it: the agent, the files' tool, the streams, the table
// of processes. What it does costs itself, and the next call is well.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { post, refusal } from "../api.ts";
import {
  type FileEntry,
  follow,
  getOk,
  getProcess,
  killSandbox,
  makeSandbox,
  pathOf,
  postOk,
  type Process,
  shell,
  startProcess,
  textOf,
  watchProcess,
} from "../sandbox-api.ts";
import { eventually } from "../e2e/shared.ts";
import { unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

async function inSandbox(work: (id: string) => Promise<void>, spec: object = {}): Promise<void> {
  const { id } = await makeSandbox(platform(), spec);
  try {
    await work(id);
    assert.equal((await shell(platform(), id, "echo well")).stdout, "well\n");
  } finally {
    await killSandbox(platform(), id);
  }
}

const read = (id: string, path: string) =>
  fetch(`${platform().url}${pathOf(id, `/files:read?path=${encodeURIComponent(path)}`)}`);

test("a path leads where it leads the tenant, and never out", () =>
  inSandbox(async (id) => {
    await shell(
      platform(),
      id,
      "ln -s /proc/1/root/etc/shadow shadow; ln -s /etc/passwd passwd; ln -s . loop; ln -s a b; ln -s b a",
    );
    await refusal(await read(id, "shadow"), 403, "file_refused");
    const passwd = await getOk<{ content: string }>(
      platform(),
      pathOf(id, "/files:read?path=passwd"),
    );
    assert.match(passwd.content, /^user:x:1000:/m);
    assert.ok(!passwd.content.includes("daemon:"), "it is the jail's and not the host's");
    await refusal(await read(id, "a"), 409, "file_conflict");
    for (const path of [
      "../../../etc/shadow",
      "/../../etc/shadow",
      "/proc/self/root/../etc/shadow",
    ]) {
      assert.ok([403, 404].includes((await read(id, path)).status), path);
    }
    const { entries } = await getOk<{ entries: FileEntry[] }>(
      platform(),
      pathOf(id, "/files?depth=128"),
    );
    assert.deepEqual(
      entries.map(({ name }) => name),
      ["a", "b", "loop", "passwd", "shadow"],
    );
  }));

test("pipes, devices and folders in place of files hold nobody up", () =>
  inSandbox(async (id) => {
    await shell(platform(), id, "mkfifo pipe; mkdir folder; touch folder/x");
    await refusal(await read(id, "pipe"), 409, "file_conflict");
    await refusal(await read(id, "/dev/zero"), 409, "file_conflict");
    const onto = await post(platform(), pathOf(id, "/files:write"), {
      files: [{ path: "folder", content: "x" }],
    });
    await refusal(onto, 409, "file_conflict");
    await refusal(
      await post(platform(), pathOf(id, "/files:move"), { path: "folder", newPath: "folder/in" }),
      409,
      "file_conflict",
    );
    await postOk(platform(), pathOf(id, "/files:write"), {
      files: [{ path: "pipe", content: "now a file" }],
    });
    assert.equal(
      (await getOk<{ content: string }>(platform(), pathOf(id, "/files:read?path=pipe"))).content,
      "now a file",
    );
  }));

test("the files' tool may be ended or imitated: the call fails, and the platform believes nothing", () =>
  inSandbox(async (id) => {
    const killer = await startProcess(platform(), id, {
      command: "bash",
      args: ["-c", "while :; do pkill -9 -x init; done"],
    });
    const calls = Array.from({ length: 20 }, () =>
      fetch(`${platform().url}${pathOf(id, "/files?path=/usr/lib&depth=9")}`),
    );
    for (const response of await Promise.all(calls)) {
      assert.ok([200, 400, 409].includes(response.status), String(response.status));
      await response.arrayBuffer();
    }
    await postOk(platform(), pathOf(id, `/processes/${killer.id}:signal`), { signal: "SIGKILL" });
    const liar =
      "import glob, os, time\nend = time.time() + 2\nwhile time.time() < end:\n  for p in glob.glob('/proc/[0-9]*'):\n    try:\n      if b'box' in open(p + '/cmdline', 'rb').read(): open(p + '/fd/1', 'wb').write(b'f' + b'\\xff' * 64)\n    except OSError: pass\n";
    const lying = await startProcess(platform(), id, { command: "python3", args: ["-c", liar] });
    for (let n = 0; n < 20; n += 1) {
      const response = await fetch(
        `${platform().url}${pathOf(id, "/files?path=/usr/share&depth=3")}`,
      );
      assert.ok([200, 400, 409].includes(response.status), String(response.status));
      await response.arrayBuffer();
    }
    await follow(await watchProcess(platform(), id, lying.id));
  }));

test("a folder of any size and depth is listed up to a bound", () =>
  inSandbox(async (id) => {
    await shell(
      platform(),
      id,
      'mkdir many; cd many; seq 15000 | xargs touch; cd ..; python3 -c \'import os\nfor _ in range(600): os.mkdir("deep"); os.chdir("deep")\'',
    );
    const { entries, truncated } = await getOk<{ entries: FileEntry[]; truncated: boolean }>(
      platform(),
      pathOf(id, "/files?path=many"),
    );
    assert.deepEqual([entries.length, truncated], [10_000, true]);
    const deep = await getOk<{ entries: FileEntry[] }>(
      platform(),
      pathOf(id, "/files?path=deep&depth=128"),
    );
    assert.equal(deep.entries.length, 128);
    await postOk(platform(), pathOf(id, "/files:remove"), { path: "many" });
  }));

test("no more processes are started than there is room for, and room comes back", () =>
  inSandbox(
    async (id) => {
      const spec = { command: "sleep", args: ["1000"], tag: "many" };
      let refused: Response | undefined;
      for (let n = 0; n < 300 && refused === undefined; n += 1) {
        const response = await post(platform(), pathOf(id, "/processes"), spec);
        if (!response.ok) refused = response;
        else await response.arrayBuffer();
      }
      assert.ok(refused !== undefined);
      await refusal(refused, 429, "processes_full");
      const { processes } = await getOk<{ processes: Process[] }>(
        platform(),
        pathOf(id, "/processes?tag=many"),
      );
      const [first] = processes;
      await postOk(platform(), pathOf(id, `/processes/${first?.id}:signal`), { signal: "SIGKILL" });
      await eventually(
        "one has ended",
        async () => !(await getProcess(platform(), id, first?.id ?? 0)).running,
      );
    },
    { limits: { pids: 1000 } },
  ));

test("endless output without a reader, and a reader that stops, take no more than their window", () =>
  inSandbox(async (id) => {
    const endless = await startProcess(platform(), id, { command: "yes" });
    const response = await watchProcess(platform(), id, endless.id);
    const reader = response.body?.getReader();
    await reader?.read();
    const before = residentKib();
    await sleep(1500);
    const grown = residentKib() - before;
    assert.ok(grown < 150_000, `the platform grew by ${grown} KiB`);
    await reader?.cancel();
    await postOk(platform(), pathOf(id, `/processes/${endless.id}:signal`), { signal: "SIGKILL" });
  }));

test("what ends every process in it, or stops them, leaves the sandbox to its owner", () =>
  inSandbox(async (id) => {
    await shell(platform(), id, "sleep 1000 & setsid sleep 1000 & kill -9 -1");
    await shell(platform(), id, "kill -STOP 1; kill -9 1; kill -STOP -1", { timeout: "1s" });
    const bytes = await shell(
      platform(),
      id,
      "head -c 3000000 /dev/urandom | base64 -w0 | tail -c 10; exec 1>&-; exec 2>&-; sleep 0.1",
    );
    assert.equal(bytes.stdout.length, 10);
    const stubborn = await shell(platform(), id, "trap '' TERM INT HUP; sleep 1000", {
      timeout: "0.3s",
    });
    assert.equal(stubborn.process.endReason, "timeout");
    assert.match(textOf(await follow(await watchProcess(platform(), id, bytes.process.id))), /\S/);
  }));

test("two sandboxes have nothing of one another", () =>
  inSandbox(async (first) => {
    await inSandbox(async (second) => {
      await shell(
        platform(),
        first,
        "echo mine > /tmp/note; python3 -m http.server 8000 >/dev/null 2>&1 & sleep 0.5",
      );
      const { stdout } = await shell(
        platform(),
        second,
        "cat /tmp/note; curl -s -m 1 http://127.0.0.1:8000/; pgrep -c python; hostname; true",
      );
      assert.equal(stdout, "0\nsandbox\n");
      await refusal(
        await fetch(`${platform().url}${pathOf(second, "/processes/1000")}`),
        404,
        "process_not_found",
      );
    });
  }));

/** Of the platform's process, in KiB. */
function residentKib(): number {
  const status = readFileSync(`/proc/${platform().pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
}

/** Stops each process of the files' tool that does this, and then maybe writes to its standard output. */
const seize = (does: string, andThen: string) => `
import os, signal, struct
def entry(kind, path):
  return kind + struct.pack("<IQqI", 0o644, 5, 0, len(path)) + path + struct.pack("<I", 0)
seized = set()
print("ready", flush=True)
while True:
  for pid in filter(str.isdigit, os.listdir("/proc")):
    try: line = open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError: continue
    if pid in seized or not line.startswith(b"/init\\0box\\0${does}\\0"): continue
    os.kill(int(pid), signal.SIGSTOP)
    seized.add(pid)
    print("seized", flush=True)
    ${andThen}
`;

async function seizing(id: string, does: string, andThen: string): Promise<() => Promise<number>> {
  const args = ["-c", seize(does, andThen)];
  const { id: seizer } = await startProcess(platform(), id, { command: "python3", args });
  const count = async () => {
    const path = pathOf(id, `/processes/${seizer}/output`);
    const { stdout } = await getOk<{ stdout: string }>(platform(), path);
    return stdout.split("\n").length - 2;
  };
  await eventually("it looks for them", async () => (await count()) === 0);
  return count;
}

const seizable = { language: "python", limits: { memoryBytes: String(256 * 1024 ** 2) } };

for (const [what, path, does, begin, again] of [
  [
    "a file",
    "/files:read?path=large",
    "read",
    'entry(b"f", b"/work/large")',
    'struct.pack("<I", 65536) + bytes(65536)',
  ],
  ["a folder", "/files?path=many", "list", 'b""', 'entry(b"f", b"x" * 40) * 1000'],
] as const) {
  test(`who answers without end in the place of what reads ${what} is not listened to without end`, () =>
    inSandbox(async (id) => {
      await shell(
        platform(),
        id,
        "head -c 12000000 /dev/zero > large; mkdir many; cd many; seq 9000 | xargs touch",
      );
      const flood = `
    out = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
    os.write(out, ${begin})
    try:
      while True: os.write(out, ${again})
    except OSError: pass`;
      const count = await seizing(id, does, flood);
      for (let turn = 0; turn < 50 && (await count()) === 0; turn += 1) {
        const response = await fetch(`${platform().url}${pathOf(id, path)}`);
        await response.body?.cancel();
      }
      assert.ok((await count()) > 0, "one was seized");
    }, seizable));
}

test("who stops what writes into its sandbox does not keep a policy from holding", async () => {
  const domain = "api.example.com";
  const inject = [{ host: domain, header: "Authorization", value: "x" }];
  let stopped = false;
  // It has a millisecond for it, so it does not always come in time.
  for (let turn = 0; turn < 50 && !stopped; turn += 1) {
    const spec = { ...seizable, network: { mode: "FULL" } };
    await inSandbox(async (id) => {
      const path = pathOf(id, "/network");
      const network = (body: object) =>
        fetch(`${platform().url}${path}`, {
          method: "PUT",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        });
      const mode = async () => (await getOk<{ mode: string }>(platform(), path)).mode;
      const count = await seizing(id, "write", "pass");
      const slow = network({ mode: "ALLOW_LIST", allow: [{ domain }], inject });
      stopped = await Promise.race([slow.then(() => false), sleep(2000, true)]);
      if (!stopped) return void (await slow).body?.cancel();
      assert.equal(await count(), 1);
      assert.equal(await mode(), "ALLOW_LIST");
      assert.equal((await network({ mode: "NONE" })).status, 200);
      assert.equal(await mode(), "NONE");
      await refusal(await slow, 409, "file_conflict");
      assert.equal(await mode(), "NONE");
    }, spec);
  }
  assert.ok(stopped);
});
