import assert from "node:assert/strict";
import { test } from "node:test";
import { createDrivenClock, systemClock } from "./clock.ts";

test("a driven clock wakes sleepers in the order of their time, and only when it is advanced", async () => {
  const clock = createDrivenClock(1000);
  const woken: string[] = [];
  const sleep = async (name: string, ms: number) => {
    await clock.sleep(ms);
    woken.push(`${name} ${clock.now()}`);
  };
  const all = Promise.all([sleep("late", 30), sleep("early", 10)]);
  await clock.advance(9);
  assert.deepEqual(woken, []);
  assert.equal(clock.sleeping, 2);
  await clock.advance(100);
  await all;
  assert.deepEqual(woken, ["early 1010", "late 1030"]);
  assert.equal(clock.now(), 1109);
});

test("a driven clock also wakes who sleeps again within the time that passes", async () => {
  const clock = createDrivenClock();
  let turns = 0;
  const loop = (async () => {
    while (turns < 5) {
      await clock.sleep(10);
      turns += 1;
    }
  })();
  await clock.advance(50);
  await loop;
  assert.equal(turns, 5);
});

for (const [name, clock] of [
  ["system", systemClock],
  ["driven", createDrivenClock()],
] as const) {
  test(`an aborted sleep of the ${name} clock rejects with the signal's reason`, async () => {
    const controller = new AbortController();
    const asleep = clock.sleep(10_000, controller.signal);
    controller.abort(new Error("enough"));
    await assert.rejects(asleep, /enough/);
    await assert.rejects(clock.sleep(0, controller.signal), /enough/);
  });
}
