/** What a jail does for the program that behaves, and for the one that does not. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { openJail } from "./jail.ts";
import { type JailFixture, MIB, openFixture, runIn } from "./fixture.ts";

let jails: JailFixture;
before(async () => {
  jails = await openFixture();
});
after(() => jails.close());

const failed = (errorType: string, more: object = {}) => ({ success: false, errorType, ...more });

describe("a program that behaves", () => {
  it("runs, and its output comes back on the stream it wrote to", async () => {
    const code = "import sys; print('out'); print('err', file=sys.stderr)";
    const result = await jails.python(code);
    assert.deepEqual(result.outcome, { success: true, exitCode: 0 });
    assert.equal(result.stdout, "out\n");
    assert.equal(result.stderr, "err\n");
    assert.ok(result.end.end && result.end.end.wallUs > 1000);
    assert.ok(result.end.cgroup.cpuUs > 1000);
    assert.ok(result.end.cgroup.memoryPeakBytes > MIB);
  });

  it("gives every exit code from 0 to 255 unchanged", async () => {
    const jail = jails.open();
    for (const code of [0, 1, 2, 3, 42, 126, 127, 128, 137, 254, 255]) {
      const { outcome } = await runIn(jail, ["/bin/sh", "-c", `exit ${code}`]);
      const expected =
        code === 0 ? { success: true, exitCode: 0 } : failed("exit_code", { exitCode: code });
      assert.deepEqual(outcome, expected);
    }
    await jail.close();
  });

  it("is told apart by the signal that ended it", async () => {
    for (const signal of [6, 11, 15, 9]) {
      const { outcome } = await jails.run(["/bin/sh", "-c", `kill -${signal} $$`]);
      assert.deepEqual(outcome, failed("signal", { signal }));
    }
  });

  it("gets its arguments, environment, files and stdin byte by byte", async () => {
    const code = `
import sys, os, json
print(json.dumps([sys.argv, os.environ['X'], sys.stdin.read(), open('d/e').read()]))`;
    const files = [
      { path: "main.py", content: Buffer.from(code) },
      { path: "d/e", content: Buffer.from("inside") },
    ];
    const argv = ["/usr/bin/python3", "main.py", "a b", "", "ü\n'\""];
    const env = { X: 'line\n"two"' };
    const result = await jails.run(argv, { files, env, stdin: Buffer.from("in") });
    const expected = [["main.py", "a b", "", "ü\n'\""], 'line\n"two"', "in", "inside"];
    assert.deepEqual(JSON.parse(result.stdout), expected);
  });

  it("may have 900 KB of arguments", async () => {
    const long = "x".repeat(100_000);
    const result = await jails.run(["/bin/echo", ...Array<string>(9).fill(long)]);
    assert.equal(result.stdout.length, 900_009);
  });

  it("may leave 10 MB of stdin unread, or read and seek all of it", async () => {
    const stdin = Buffer.alloc(10 * MIB, "a");
    assert.equal((await jails.run(["/bin/true"], { stdin })).outcome.success, true);
    const code =
      "import sys; b=sys.stdin.buffer; n=len(b.read()); b.seek(5); print(n, len(b.read()))";
    const result = await jails.python(code, { stdin });
    assert.equal(result.stdout, `${10 * MIB} ${10 * MIB - 5}\n`);
  });

  it("may reopen its streams by /dev/stdout and /dev/stdin", async () => {
    const script = "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr";
    const result = await jails.run(["/bin/sh", "-c", script], { stdin: Buffer.from("through") });
    assert.equal(result.stdout, "through");
    assert.equal(result.stderr, "err\n");
  });

  it("can be followed by another in the same jail, each with its own limits", async () => {
    const jail = jails.open();
    const limits = { wallMs: 200 };
    const first = await runIn(jail, ["/bin/sh", "-c", "echo kept > f; sleep 9"], { limits });
    assert.deepEqual(first.outcome, failed("timeout", { signal: 9 }));
    const second = await runIn(jail, ["/bin/cat", "f"]);
    assert.equal(second.stdout, "kept\n");
    await jail.close();
  });

  it("is reported when it cannot be started, and why", async () => {
    const result = await jails.run(["/usr/bin/no-such-program"]);
    assert.equal(result.end.end?.kind, "notStarted");
    assert.equal(result.end.end.stage, "execute");
    assert.equal(result.end.end.code, 2);
  });
});

describe("a program that does not behave", () => {
  it("ends at the wall clock, also when it stops itself or ignores signals", async () => {
    const limits = { wallMs: 300 };
    const ways = [
      "import time; time.sleep(60)",
      "import os,signal; os.kill(os.getpid(), signal.SIGSTOP)",
      `
import signal, time
for s in range(1, 64):
  try: signal.signal(s, signal.SIG_IGN)
  except OSError: pass
time.sleep(60)`,
    ];
    for (const way of ways) {
      const { outcome, end } = await jails.python(way, { limits });
      assert.deepEqual(outcome, failed("timeout", { signal: 9 }));
      assert.ok(end.end && end.end.wallUs < 1_000_000, "in time");
    }
  });

  it("ends at the wall clock also when that is under a microsecond", async () => {
    const { end } = await jails.run(["/bin/sleep", "9"], { limits: { wallMs: 0.0001 } });
    assert.equal(end.end?.reason, "timeout");
  });

  it("ends at the wall clock also when it takes its output back from its own pipe", async () => {
    const code = `
import os, time
own = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)
children = [os.fork() for _ in range(4)]
end = time.time() + 0.5
while time.time() < end:
    if all(children):
        os.write(1, b'x')
        continue
    try: os.read(own, 65536)
    except BlockingIOError: pass
if all(children): time.sleep(9)`;
    for (let round = 0; round < 3; round += 1) {
      const { outcome } = await jails.python(code, { limits: { wallMs: 800 } });
      assert.deepEqual(outcome, failed("timeout", { signal: 9 }));
    }
  });

  it("ends at its CPU time, alone or spread over processes", async () => {
    const alone = await jails.python("while True: pass", { limits: { cpuMs: 300 } });
    assert.equal(alone.outcome.success, false);
    assert.deepEqual(alone.outcome, failed("cpu_time", { signal: 9 }));
    const spread = "import os\nfor i in range(3): os.fork()\nwhile True: pass";
    const many = await jails.python(spread, { limits: { cpuMs: 300 } });
    assert.deepEqual(many.outcome, failed("cpu_time", { signal: 9 }));
    assert.ok(many.end.cgroup.cpuUs < 700_000, `${many.end.cgroup.cpuUs}`);
  });

  it("is held to its processes, and they end with it", async () => {
    const bomb = "import os\nwhile True: os.fork()";
    const { outcome } = await jails.python(bomb, { cgroup: { pids: 32 } });
    assert.ok(!outcome.success && outcome.errorType === "pids");
  });

  it("is held to its memory, in one process or in children or on /dev/shm", async () => {
    const cgroup = { memoryBytes: 48 * MIB };
    const hungry = await jails.python("x = bytearray(200_000_000)", { cgroup });
    assert.deepEqual(hungry.outcome, failed("memory", { signal: 9 }));
    const child = "import os,sys\nif os.fork()==0: x=b'x'*200_000_000\nsys.exit(os.wait()[1] != 0)";
    const parent = await jails.python(child, { cgroup });
    assert.deepEqual(parent.outcome, failed("memory", { exitCode: 1 }));
    const shm = "f=open('/dev/shm/f','wb')\nwhile True: f.write(b'x'*1000000)";
    const disk = await jails.python(shm, { cgroup, diskBytes: 100 * MIB });
    assert.ok(!disk.outcome.success && disk.outcome.errorType === "memory");
  });

  it("is told memory also when it was the jail's own PID 1 that had no room", async () => {
    const cgroup = { memoryBytes: 12 * MIB };
    const { outcome } = await jails.run(["/bin/true"], { cgroup, stdin: Buffer.alloc(30 * MIB) });
    assert.deepEqual(outcome, failed("memory"));
  });

  it("is held to its disk over all writable places together", async () => {
    const code = `
import sys
for place in ('/work', '/tmp', '/dev/shm'):
  try:
    with open(place + '/f', 'wb', buffering=0) as f:
      for i in range(100):
        if f.write(b'x' * 1000_000) < 1000_000: raise OSError('short')
  except OSError as e: print(place, file=sys.stderr)
sys.exit(3)`;
    const { outcome, end } = await jails.python(code, { diskBytes: 8 * MIB });
    assert.deepEqual(outcome, failed("disk", { exitCode: 3 }));
    assert.equal(end.usage?.diskFull, true);
    assert.equal(end.usage.diskBytesMax, 8 * MIB);
  });

  it("is held to its number of files", async () => {
    const code = "i=0\nwhile True: open(f'f{i}','w'); i+=1";
    const { outcome, end, stderr } = await jails.python(code, { diskInodes: 100 });
    assert.deepEqual(outcome, failed("disk", { exitCode: 1 }));
    assert.equal(end.usage?.inodesFull, true);
    assert.match(stderr, /No space left/);
  });

  it("is ended at its output limit, having had all output up to it", async () => {
    const limits = { stdoutBytes: 100_000 };
    const out = await jails.run(["/usr/bin/yes"], { limits });
    assert.deepEqual(out.outcome, failed("output", { signal: 9 }));
    assert.equal(out.stdout, "y\n".repeat(50_000));
    const err = await jails.run(["/bin/sh", "-c", "yes >&2"], { limits: { stderrBytes: 10 } });
    assert.deepEqual(err.outcome, failed("output", { signal: 9 }));
    assert.equal(err.stderr.length, 10);
    const exact = await jails.python("print('x'*99, end='')", { limits: { stdoutBytes: 99 } });
    assert.equal(exact.outcome.success, true);
  });

  it("waits while nobody reads its output, and is killed even so", async () => {
    const jail = jails.open();
    jail.pause();
    const limits = { stdoutBytes: 1e12, wallMs: 30_000 };
    const done = runIn(jail, ["/usr/bin/yes"], { limits });
    setTimeout(() => jail.kill("cancelled"), 300);
    setTimeout(() => jail.resume(), 500);
    const { outcome, stdout } = await done;
    assert.deepEqual(outcome, failed("cancelled", { signal: 9 }));
    assert.ok(stdout.length < 4 * MIB, `${stdout.length} bytes were held`);
    await jail.close();
  });

  it("is not late because its output is read late", async () => {
    const jail = jails.open();
    const limits = { wallMs: 200, stdoutBytes: 10 * MIB };
    const done = runIn(jail, ["/usr/bin/head", "-c", "200000", "/dev/zero"], { limits });
    jail.pause();
    setTimeout(() => jail.resume(), 1_500);
    const { outcome, stdout } = await done;
    assert.ok(outcome.success || outcome.errorType === "timeout");
    assert.ok(stdout.length > 64 * 1024);
    await jail.close();
  });

  it("takes its daemons with it, whatever session they are in", async () => {
    const code = `
import os, time
if os.fork() == 0:
  os.setsid()
  if os.fork() == 0:
    time.sleep(60)
  os._exit(0)
print('left')`;
    const jail = jails.open();
    const { outcome } = await runIn(jail, ["/usr/bin/python3", "-c", code]);
    assert.equal(outcome.success, true);
    const list = ["/bin/sh", "-c", "ls /proc | grep -c '^[0-9]'"];
    // PID 1, the shell, ls and grep; the shell may have counted before either began.
    assert.ok(Number((await runIn(jail, list)).stdout) <= 4);
    await jail.close();
  });

  it("is over with its processes, though its output is in a socket that was sent down itself", async () => {
    const code = `
import os, socket
for _ in range(50):
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (one, other): socket.send_fds(end, [b'x'], [1, 2, one.fileno(), other.fileno()])
os.write(1, bytes(200_000) if os.fork() else b'y' * 200_000)`;
    const begin = performance.now();
    const { outcome, stdout } = await jails.python(code);
    assert.equal(outcome.success, true);
    assert.ok(stdout.length >= 200_000, "all of what it wrote has come");
    assert.ok(performance.now() - begin < 2000, `after ${performance.now() - begin} ms`);
  });

  it("may close its streams and is still waited for", async () => {
    const { outcome, end } = await jails.run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 7"]);
    assert.deepEqual(outcome, failed("exit_code", { exitCode: 7 }));
    assert.ok(end.end && end.end.wallUs > 150_000);
  });

  it("is cancelled by its signal, before or while it runs", async () => {
    const now = await jails.run(["/bin/sleep", "9"], { signal: AbortSignal.abort() });
    assert.ok(!now.outcome.success && now.outcome.errorType === "cancelled");
    const later = await jails.run(["/bin/sleep", "9"], { signal: AbortSignal.timeout(100) });
    assert.ok(!later.outcome.success && later.outcome.errorType === "cancelled");
  });
});

describe("artifacts", () => {
  it("come back as bytes, bounded, and nothing but regular files", async () => {
    const jail = jails.open();
    const script = `
mkdir d; printf hello > d/f; ln -s /etc/passwd link; ln -s d dlink; mkfifo fifo
truncate -s 9223372036854775807 sparse; ln -s / d/up; chmod 0 d; chmod 755 d; printf x > hidden; chmod 0 hidden`;
    await runIn(jail, ["/bin/sh", "-c", script]);
    const paths = ["d/f", "link", "dlink/f", "fifo", "sparse", "d/up/etc/passwd", "none"];
    paths.push("hidden", "../etc/passwd", "/etc/passwd", "d", "d/./f", "");
    const wanted = paths.map((path) => ({ path, bytesMax: 100_000 }));
    const found = await jail.collect(wanted);
    await jail.close();
    const shown = found.map((one) => ("error" in one ? one.error : one.content.length));
    assert.deepEqual(shown, [
      5,
      "symbolic link",
      "not below a directory",
      "not a regular file",
      100_000,
      "not below a directory",
      "not found",
      "not readable",
      ...Array<string>(2).fill("not a path below the working directory"),
      "not a regular file",
      ...Array<string>(2).fill("not a path below the working directory"),
    ]);
    const [file, , , , sparse] = found;
    assert.ok(file && "content" in file && file.content.toString() === "hello" && !file.truncated);
    assert.ok(sparse && "content" in sparse && sparse.truncated);
  });

  it("of several megabytes arrive whole", async () => {
    const jail = jails.open();
    await runIn(jail, ["/bin/sh", "-c", "head -c 5000000 /dev/zero > big"]);
    const [big] = await jail.collect([{ path: "big", bytesMax: 8 * MIB }]);
    await jail.close();
    assert.ok(big && "content" in big && big.content.length === 5_000_000 && !big.truncated);
  });
});

describe("a jail", () => {
  it("refuses files outside /work, and does not start what they were for", async () => {
    for (const path of ["../x", "/etc/x", "a/../../x", "a//b", "x".repeat(256)]) {
      const files = [{ path, content: Buffer.from("x") }];
      const { end } = await jails.run(["/bin/true"], { files });
      assert.equal(end.end?.stage, "files", path);
    }
  });

  it("has an end even when it is closed while its program runs", async () => {
    const jail = jails.open();
    const done = runIn(jail, ["/bin/sleep", "9"]);
    await jail.ready;
    await jail.close();
    const { outcome } = await done;
    assert.ok(!outcome.success && outcome.errorType === "cancelled");
    assert.equal(jail.alive, false);
    assert.equal((await runIn(jail, ["/bin/true"])).end.cause, "cancelled");
  });

  it("ends as internal, saying why, when it cannot be made", async () => {
    const { end, outcome } = await jails.run(["/bin/true"], { diskBytes: 0 });
    assert.ok(!outcome.success && outcome.errorType === "internal");
    assert.match(end.detail ?? "", /a size of 0/);
  });

  it("is not believed when its agent talks nonsense, and not waited for when it says nothing", async () => {
    const header = (type: string) => `\\000\\000\\000\\000\\${type}\\000\\001\\000`;
    const said: readonly [string, RegExp][] = [
      ["printf 'garbage that is no frame' >&3", /A frame of/],
      [`printf '${header("200")}${header("200")}' >&3`, /READY twice/],
      [`printf '${header("204")}' >&3`, /shorter than its fields/],
      [`printf '\\001\\000' >&3; echo why >&2; exit 3`, /why/],
    ];
    for (const [script, detail] of said) {
      const { end } = await runInstead(`${script}; exec sleep 60`);
      assert.equal(end.cause, "internal");
      assert.match(end.detail ?? "", detail);
    }
    const started = `${header("200")}${header("201")}`;
    const order: readonly [string, RegExp][] = [
      [`printf '${started}${header("201")}' >&3`, /unexpected started/],
      [
        `printf '${header("200")}\\001\\000\\000\\000\\202\\000\\001\\000x' >&3`,
        /unexpected stdout/,
      ],
      [`printf '${started}${header("202")}' >&3`, /without a byte/],
      [
        `printf '${started}' >&3; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do
          printf '\\000\\000\\001\\000\\202\\000\\001\\000' >&3; head -c 65536 /dev/zero >&3; done`,
        /more of stdout than/,
      ],
    ];
    for (const [script, detail] of order) {
      const { end } = await runInstead(`${script}; exec sleep 60`);
      assert.equal(end.cause, "internal");
      assert.match(end.detail ?? "", detail);
    }
    const silent = await runInstead(`printf '${started}' >&3; exec sleep 60`, 50);
    assert.equal(silent.end.cause, "timeout");
  });

  it("has a last moment also when its agent never stops talking", async () => {
    const header = (type: string) => `\\000\\000\\000\\000\\${type}\\000\\001\\000`;
    const usage = `\\052\\000\\000\\000\\211\\000\\001\\000`;
    const talk = `while :; do printf '${usage}' >&3; head -c 42 /dev/zero >&3; sleep 0.2; done`;
    const begin = performance.now();
    const { end } = await runInstead(`printf '${header("200")}${header("201")}' >&3; ${talk}`, 50);
    assert.equal(end.cause, "timeout");
    assert.ok(performance.now() - begin < 20_000);
  });

  it("can be warm: opened long before its program comes", async () => {
    const jail = jails.open();
    await jail.ready;
    assert.equal(jail.alive, true);
    assert.equal((await runIn(jail, ["/bin/echo", "warm"])).stdout, "warm\n");
    await jail.close();
  });

  it("leaves no process, descriptor or group behind, a hundred times over", async () => {
    const own = () => ({
      descriptors: readdirSync("/proc/self/fd").length,
      // The spawner is our child, and what it starts are its own.
      jails: processesNamed("bwrap"),
      agents: processesNamed("init"),
    });
    await jails.run(["/bin/true"]);
    const earlier = own();
    for (let i = 0; i < 100; i++) {
      assert.equal((await jails.run(["/bin/true"])).outcome.success, true);
    }
    assert.deepEqual(own(), earlier);
    assert.equal(jails.cgroups.acquire({ memoryBytes: MIB, pids: 1 }).index, 0);
  });
});

/** Runs a script in the agent's place. */
const runInstead = async (script: string, wallMs = 5_000) => {
  const root = {
    directory: "/",
    bubblewrapPath: "",
    command: () => ["/bin/sh", "-c", script],
    zygoteCommand: () => [],
    zygotes: false,
    gate: false,
  };
  const slot = jails.cgroups.acquire({ memoryBytes: 64 * MIB, pids: 16 });
  const disk = { diskBytes: MIB, diskInodes: 10 };
  const filter = { first: Buffer.alloc(8), second: Buffer.alloc(8) };
  const jail = openJail({ root, slot, spawner: jails.spawner, filter, ...disk });
  const result = await runIn(jail, ["/bin/true"], { limits: { wallMs } });
  await jail.close();
  return result;
};

/** Descendants of this process with this name, so that other jails on the machine do not count. */
const processesNamed = (name: string): number[] => {
  const parents = new Map<number, { parent: number; name: string }>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const close = stat.lastIndexOf(")");
      const parent = Number(stat.slice(close + 2).split(" ")[1]);
      parents.set(Number(entry), { parent, name: stat.slice(stat.indexOf("(") + 1, close) });
    } catch {
      // It ended while we looked.
    }
  }
  const isOurs = (pid: number): boolean => {
    const parent = parents.get(pid)?.parent;
    return parent === process.pid || (parent !== undefined && parent > 1 && isOurs(parent));
  };
  return [...parents].filter(([pid, one]) => one.name === name && isOurs(pid)).map(([pid]) => pid);
};
