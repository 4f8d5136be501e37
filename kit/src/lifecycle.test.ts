import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { createDrivenClock, systemClock } from "./clock.ts";
import { compose, type Part, runService } from "./lifecycle.ts";
import { createLog } from "./log.ts";

const log = createLog({ name: "test", level: "silent" });

function recorded(events: string[], name: string, failing?: "start" | "drain" | "stop"): Part {
  const on = (verb: "start" | "drain" | "stop") => async () => {
    events.push(`${verb} ${name}`);
    if (verb === failing) throw new Error(`${name} cannot ${verb}`);
  };
  return { name, start: on("start"), drain: on("drain"), stop: on("stop") };
}

test("parts start in order; they drain, and only then stop, in the opposite order", async () => {
  const events: string[] = [];
  const lifecycle = compose([recorded(events, "a"), recorded(events, "b")], { log });
  await lifecycle.start();
  assert.equal(lifecycle.state, "ready");
  await Promise.all([lifecycle.stop(), lifecycle.stop()]);
  assert.equal(lifecycle.state, "stopped");
  assert.deepEqual(events, ["start a", "start b", "drain b", "drain a", "stop b", "stop a"]);
});

test("a part that fails to start stops what was started, and nothing later starts", async () => {
  const events: string[] = [];
  const parts = [recorded(events, "a"), recorded(events, "b", "start"), recorded(events, "c")];
  await assert.rejects(compose(parts, { log }).start(), /b cannot start/);
  assert.deepEqual(events, ["start a", "start b", "stop b", "stop a"]);
});

test("a part that fails to end does not keep the others from ending", async () => {
  const events: string[] = [];
  const parts = [
    recorded(events, "a"),
    recorded(events, "b", "drain"),
    recorded(events, "c", "stop"),
  ];
  const lifecycle = compose(parts, { log });
  await lifecycle.start();
  await lifecycle.stop();
  assert.deepEqual(events.slice(3), [
    "drain c",
    "drain b",
    "drain a",
    "stop c",
    "stop b",
    "stop a",
  ]);
});

test("a part that hangs is left behind when its time is up", async () => {
  const clock = createDrivenClock();
  const events: string[] = [];
  const never = () => new Promise<void>(() => undefined);
  const hanging: Part = { name: "hanging", drain: never, stop: never };
  const lifecycle = compose([recorded(events, "a"), hanging], { log, clock });
  await lifecycle.start();
  const stopped = lifecycle.stop();
  await clock.advance(60_000);
  await stopped;
  assert.deepEqual(events, ["start a", "drain a", "stop a"]);
});

test("a part that never becomes ready fails the start", async () => {
  const clock = createDrivenClock();
  const slow: Part = { name: "slow", start: () => new Promise(() => undefined) };
  const started = compose([slow], { log, clock, startMsMax: 500 }).start();
  const refused = assert.rejects(started, /slow to start: it took over 500 ms/);
  await clock.advance(500);
  await refused;
});

test("stop() during the start ends it", async () => {
  const events: string[] = [];
  const waiting: Part = {
    name: "waiting",
    start: (signal) => systemClock.sleep(60_000, signal),
    stop: () => void events.push("stop waiting"),
  };
  const lifecycle = compose([waiting, recorded(events, "b")], { log });
  const started = assert.rejects(lifecycle.start(), /before it was ready/);
  await lifecycle.stop();
  await started;
  assert.deepEqual(events, ["stop waiting"]);
});

test("runService() rejects with what a part threw at its start", async () => {
  await assert.rejects(runService([recorded([], "a", "start")], { log }), /a cannot start/);
});

function spawnRun(drain: string) {
  const program = `
    const { runService } = await import(${JSON.stringify(import.meta.resolve("./lifecycle.ts"))});
    const { createLog } = await import(${JSON.stringify(import.meta.resolve("./log.ts"))});
    const say = (text) => console.log(text);
    const timer = setInterval(() => undefined, 1000);
    const parts = [{ name: "a", drain: ${drain}, stop: () => { say("stopped"); clearInterval(timer); } }];
    const log = createLog({ name: "test", level: "silent" });
    await runService(parts, { log, onReady: () => say("ready") });
    say("end");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  return { child, output: () => output, line: () => once(child.stdout, "data") };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`${signal} drains and stops a running service`, async () => {
    const { child, output, line } = spawnRun('() => say("draining")');
    await line();
    child.kill(signal);
    const [code] = await once(child, "close");
    assert.deepEqual([code, output()], [0, "ready\ndraining\nstopped\nend\n"]);
  });
}

test("a second signal ends the process at once", async () => {
  const { child, output, line } = spawnRun(
    '() => { say("draining"); return new Promise(() => {}); }',
  );
  await line();
  child.kill("SIGINT");
  await line();
  child.kill("SIGINT");
  const [code] = await once(child, "close");
  assert.deepEqual([code, output()], [130, "ready\ndraining\n"]);
});
