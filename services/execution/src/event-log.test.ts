import assert from "node:assert/strict";
import { test } from "node:test";
import { CallContext, callerLeft } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { EventLog } from "./event-log.ts";

function text(value: string) {
  return { case: "stdout", value: { data: { case: "text", value } } } as const;
}

async function numbers(log: EventLog, after: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const event of log.watch(after, new CallContext())) seen.push(event.number);
  return seen;
}

test("EventLog numbers events from 1 without gaps, for every watcher from any number", async () => {
  const log = new EventLog();
  log.append(text("a"), 0);
  const early = numbers(log, 0);
  const late = numbers(log, 2);
  log.append(text("b"), 0);
  log.append(text("c"), 0);
  log.close();
  assert.deepEqual(await early, [1, 2, 3]);
  assert.deepEqual(await late, [3]);
  assert.deepEqual(await numbers(log, 3), []);
});

test("EventLog ends a watcher whose call is ended", async () => {
  const log = new EventLog();
  const context = new CallContext();
  const watching = log.watch(0, context).next();
  context.abort(callerLeft());
  await assert.rejects(
    watching,
    (error) => error instanceof SylaError && error.code === "cancelled",
  );
});
