import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type ProcessEvent, ProcessOutputSchema } from "@syla/contract/syla/sandbox/v1/process";
import { CallContext } from "@syla/kit/call";
import { systemClock } from "@syla/kit/clock";
import { ProcessLog } from "./log.ts";

const kib = 1024;

function print(log: ProcessLog, text: string, seen?: () => void): void {
  const value = create(ProcessOutputSchema, { data: { case: "text", value: text } });
  log.append({ case: "stdout", value }, text.length, seen);
}

function show({ number, event }: ProcessEvent): string {
  if (event.case === "lostBytes") return `${number} lost ${event.value}`;
  return `${number} ${event.case === "stdout" ? String(event.value.data.value) : event.case}`;
}

async function all(log: ProcessLog, after = 0): Promise<string[]> {
  const shown: string[] = [];
  for await (const event of log.watch(after, new CallContext())) shown.push(show(event));
  return shown;
}

test("events are numbered without gaps, for whoever comes, from where they were", async () => {
  const log = new ProcessLog({ bytesMax: 100 * kib, clock: systemClock });
  print(log, "a");
  const early = all(log);
  print(log, "b");
  await new Promise((resolve) => setImmediate(resolve));
  print(log, "c");
  log.close();
  assert.deepEqual(await early, ["1 a", "2 b", "3 c"]);
  assert.deepEqual(await all(log, 2), ["3 c"]);
  assert.deepEqual(await all(log, 3), []);
});

test("without followers the oldest output goes, and it is said how much", async () => {
  const log = new ProcessLog({ bytesMax: 3 * kib, clock: systemClock });
  for (let n = 0; n < 10; n += 1) print(log, String(n).repeat(kib));
  log.close();
  const [first, ...rest] = await all(log);
  const kept = rest.reduce((sum, text) => sum + text.length - text.indexOf(" ") - 1, 0);
  assert.equal(first, `${10 - rest.length} lost ${10 * kib - kept}`);
  assert.ok(kept <= 3 * kib && rest.at(-1) === `10 ${"9".repeat(kib)}`);
});

test("a follower that lags holds the process up and misses nothing", async () => {
  const log = new ProcessLog({ bytesMax: kib, clock: systemClock });
  let granted = 0;
  const follower = log.watch(0, new CallContext());
  print(log, "first");
  assert.equal((await follower.next()).value?.number, 1);
  for (let n = 0; n < 5; n += 1) print(log, "x".repeat(kib), () => (granted += 1));
  assert.equal(granted, 0);
  for (let number = 2; number <= 6; number += 1) {
    assert.equal((await follower.next()).value?.number, number);
    assert.equal(granted, number - 2);
  }
  await follower.return(undefined);
  assert.equal(granted, 5);
});

test("a follower that leaves lets the process go on", async () => {
  const log = new ProcessLog({ bytesMax: kib, clock: systemClock });
  let granted = 0;
  const context = new CallContext();
  const follower = log.watch(0, context);
  const next = follower.next();
  print(log, "x", () => (granted += 1));
  await next;
  assert.equal(granted, 0);
  await follower.return(undefined);
  assert.equal(granted, 1);
});
