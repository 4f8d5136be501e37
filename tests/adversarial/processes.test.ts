// Programs that multiply, hide, refuse to end, or use up the processor.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cancel, create, execute, get, python } from "../api.ts";
import { lookAtHost } from "../host.ts";
import { readExecutionEvents, readSentEvents } from "../streams.ts";
import { assertFailed, assertSucceeded, unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

/** Waits for the execution's first output, after which its attack is under way. */
async function saysSomething(id: string): Promise<void> {
  const response = await fetch(`${platform().url}/api/v1/executions/${id}/events`);
  for await (const { data } of readSentEvents(response)) if (data.includes('"stdout"')) return;
  assert.fail(`${id} ended without a word`);
}

test("the observer of the host sees a jail while one is open, and its processes", async () => {
  const { id } = await create(platform(), {
    language: "bash",
    code: "echo here; sleep 60 & sleep 60",
  });
  await saysSomething(id);
  const { jailed, grouped } = await lookAtHost(platform());
  assert.ok(
    jailed.some((command) => command.includes("sleep 60")),
    jailed.join("\n"),
  );
  assert.ok(
    grouped.some((command) => command.includes("sleep 60")),
    grouped.join("\n"),
  );
  await cancel(platform(), id);
});

test("a fork bomb ends for pids, and a program within the limit does not", async () => {
  const bomb = "import os\nwhile True:\n  os.fork()";
  assertFailed(await python(platform(), bomb, { limits: { wallTime: "3s" } }), "pids");
  const family =
    "import os\nfor _ in range(5):\n  if os.fork() == 0: os._exit(0)\nfor _ in range(5): os.wait()";
  assertSucceeded(await python(platform(), family, { limits: { pids: 16 } }));
});

test("a fork bomb that tries again for ever ends by its wall time at the latest", async () => {
  const code = ":(){ :|:& };: 2>/dev/null; while :; do sleep 60 & done 2>/dev/null";
  const bomb = await execute(platform(), { language: "bash", code, limits: { wallTime: "2s" } });
  assert.match(bomb.errorType ?? "", /^(pids|timeout)$/);
});

test("a bomb of threads ends for pids, and a few threads do not", async () => {
  const threads = (count: number) => `
import threading, time
for _ in range(${count}): threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start()
print("started")`;
  assertFailed(await python(platform(), threads(10_000)), "pids");
  assert.equal(assertSucceeded(await python(platform(), threads(8))), "started\n");
});

test("a daemon made by two forks and setsid ends with its run", async () => {
  const code = `
import os, time
if os.fork() == 0:
  os.setsid()
  if os.fork() == 0:
    os.setsid()
    for fd in (0, 1, 2): os.close(fd)
    time.sleep(3600)
  os._exit(0)
os.wait()
print("left it behind")`;
  assert.equal(assertSucceeded(await python(platform(), code)), "left it behind\n");
});

test("a daemon that holds the output open does not hold the answer up", async () => {
  const { stdout } = await execute(platform(), {
    language: "bash",
    code: "(trap '' TERM HUP INT; while :; do sleep 1; done) & disown; echo done",
    limits: { wallTime: "60s" },
  });
  assert.equal(stdout, "done\n");
});

test("a program that ignores every signal ends at its wall time", async () => {
  const code = `
import signal, time
for number in range(1, 65):
  try: signal.signal(number, signal.SIG_IGN)
  except (OSError, ValueError): pass
print("deaf", flush=True)
while True: time.sleep(1)`;
  const execution = await python(platform(), code, { limits: { wallTime: "1s" } });
  assertFailed(execution, "timeout");
  assert.equal(execution.stdout, "deaf\n");
  assert.equal(execution.signal, "SIGKILL");
});

test("a stopped tree of processes ends at its wall time", async () => {
  const code = `
import os, signal, time
if os.fork() == 0: time.sleep(3600)
os.kill(0, signal.SIGSTOP)`;
  assertFailed(await python(platform(), code, { limits: { wallTime: "1s" } }), "timeout");
});

test("kill -9 -1 ends the program and nothing else", async () => {
  const code = "kill -9 -1; kill -9 1; echo survived";
  const execution = await execute(platform(), { language: "bash", code });
  // kill(-1) spares its caller; PID 1 takes no signal from inside.
  assert.equal(assertSucceeded(execution), "survived\n");
  const suicide = await python(platform(), "import os; os.kill(os.getpid(), 9)");
  assertFailed(suicide, "signal");
  assert.equal(suicide.signal, "SIGKILL");
});

test("zombies that nobody waits for are not left", async () => {
  const code = "import os\nfor _ in range(40):\n  if os.fork() == 0: os._exit(0)\nprint('bred')";
  assert.equal(assertSucceeded(await python(platform(), code)), "bred\n");
});

test("sleeping past the wall limit is a timeout, and not before it is not", async () => {
  const sleep = (seconds: number) => ({ language: "bash", code: `sleep ${seconds}; echo woke` });
  const late = await execute(platform(), { ...sleep(60), limits: { wallTime: "0.5s" } });
  assertFailed(late, "timeout");
  assert.equal(late.exitCode, undefined);
  assert.equal(assertSucceeded(await execute(platform(), sleep(0.1))), "woke\n");
});

test("one process that burns the processor ends for cpu_time", async () => {
  const execution = await python(platform(), "while True: pass", {
    limits: { cpuTime: "1s", wallTime: "60s" },
  });
  assertFailed(execution, "cpu_time");
});

test("processes that share a burn end for cpu_time together, though none of them reaches it", async () => {
  const code = `
import os, time
for _ in range(8):
  if os.fork() == 0:
    until = time.process_time() + 0.7
    while time.process_time() < until: pass
    os._exit(0)
for _ in range(8): os.wait()
print("burnt")`;
  const limits = { cpuTime: "2s", wallTime: "60s" };
  assertFailed(await python(platform(), code, { limits }), "cpu_time");
  const enough = { cpuTime: "30s", wallTime: "60s" };
  assert.equal(assertSucceeded(await python(platform(), code, { limits: enough })), "burnt\n");
});

test("a chain of short-lived processes that hand their work on ends for cpu_time", async () => {
  const code = `
import os
while True:
  for _ in range(2_000_000): pass
  if os.fork() != 0: os.wait() and os._exit(0)`;
  const limits = { cpuTime: "1s", wallTime: "60s", pids: 512 };
  const { errorType } = await python(platform(), code, { limits });
  assert.equal(errorType, "cpu_time");
});

test("cancelling ends a program that ignores signals and has forked", async () => {
  const code =
    "trap '' TERM INT HUP; sleep 600 & (trap '' TERM; sleep 600) & echo on; while :; do sleep 1; done";
  const { id } = await create(platform(), { language: "bash", code, limits: { wallTime: "600s" } });
  await saysSomething(id);
  const cancelled = assertFailed(await cancel(platform(), id), "cancelled");
  assert.equal(cancelled.stdout, "on\n");
  assert.equal((await get(platform(), id)).status, "CANCELLED");
  const events = await fetch(`${platform().url}/api/v1/executions/${id}/events`);
  assert.equal((await readExecutionEvents(events)).events.at(-1)?.finished?.status, "CANCELLED");
});

test("realtime and raised priority are refused", async () => {
  const { stdout } = await python(
    platform(),
    `
import os
def attempt(action):
  try: action(); return "done"
  except OSError as error: return error.strerror
print(attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))))
print(attempt(lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))))
print(attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)))
print(attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, 5)))`,
  );
  const [fifo, roundRobin, higher, lower] = stdout.trim().split("\n");
  for (const refused of [fifo, roundRobin, higher])
    assert.match(refused ?? "", /not permitted|denied/);
  assert.equal(lower, "done");
});
