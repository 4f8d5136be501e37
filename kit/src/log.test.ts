import assert from "node:assert/strict";
import { test } from "node:test";
import { createLog, type LogLevel } from "./log.ts";

function record(level: LogLevel) {
  const lines: string[] = [];
  return { lines, log: createLog({ level, name: "test", write: (line) => lines.push(line) }) };
}

test("a line is one JSON object with its level, time, name, fields and message", () => {
  const { lines, log } = record("info");
  log.child({ requestId: "r1" }).info({ n: 1 }, "hello");
  const { time, ...rest } = JSON.parse(lines[0] ?? "");
  assert.deepEqual(rest, { level: "info", name: "test", requestId: "r1", n: 1, message: "hello" });
  assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/);
});

test("lines below the level are not written", () => {
  const { lines, log } = record("warn");
  log.info("unseen");
  assert.equal(log.isLevelEnabled("info"), false);
  assert.deepEqual(lines, []);
});

test("what a key calls a secret is not written, however it is nested", () => {
  const { lines, log } = record("info");
  log.info({ password: "hunter2", user: { token: "hunter2" } }, "signed in");
  log.info(
    { request: { headers: { authorization: "hunter2", "set-cookie": "hunter2" } } },
    "asked",
  );
  assert.doesNotMatch(lines.join(), /hunter2/);
  assert.match(lines.join(), /\[redacted\]/);
});

test("an error is written with its stack and its cause", () => {
  const { lines, log } = record("info");
  log.warn({ error: new Error("outer", { cause: new Error("inner") }) }, "failed");
  const { error } = JSON.parse(lines[0] ?? "");
  assert.equal(error.message, "outer");
  assert.equal(error.cause.message, "inner");
  assert.match(error.stack, /log\.test/);
});

test("what else hangs on an error is not written", () => {
  const { lines, log } = record("info");
  const error = Object.assign(new Error("lost"), { code: "57P01", client: { key: "hunter2" } });
  log.warn({ error }, "failed");
  assert.equal(JSON.parse(lines[0] ?? "").error.code, "57P01");
  assert.doesNotMatch(lines.join(), /hunter2/);
});
