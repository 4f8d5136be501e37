import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SylaError } from "@syla/kit/error";
import { type Place, RunQueue, type RunQueueOptions } from "./queue.ts";

async function hasTurn(place: Place): Promise<boolean> {
  return Promise.race([place.turn.then(() => true), turn(false)]);
}

const small = { waiting: 0, running: 0 };

function queueOf(options: Partial<RunQueueOptions>): RunQueue {
  return new RunQueue({
    slots: 1,
    waitingMax: 10,
    waitingBytesMax: 0,
    runningBytesMax: 0,
    ...options,
  });
}

test("RunQueue gives slots in the order of arrival", async () => {
  const queue = queueOf({ slots: 1, waitingMax: 10 });
  const [first, second, third] = [queue.enter(small), queue.enter(small), queue.enter(small)];
  assert.deepEqual(await Promise.all([first, second, third].map(hasTurn)), [true, false, false]);
  first.release();
  assert.deepEqual(await Promise.all([second, third].map(hasTurn)), [true, false]);
});

test("RunQueue passes over those who left, and counts right", async () => {
  const queue = queueOf({ slots: 1, waitingMax: 10 });
  const [first, second, third] = [queue.enter(small), queue.enter(small), queue.enter(small)];
  second.release();
  second.release();
  assert.equal(queue.waiting, 1);
  first.release();
  first.release();
  assert.equal(await hasTurn(third), true);
  assert.equal(queue.running, 1);
  third.release();
  assert.equal(queue.running, 0);
});

test("RunQueue refuses with queue_full when as many wait as may", () => {
  const queue = queueOf({ slots: 1, waitingMax: 1 });
  queue.assertRoom(small);
  queue.enter(small);
  queue.assertRoom(small);
  queue.enter(small);
  assert.throws(
    () => queue.assertRoom(small),
    (error) => error instanceof SylaError && error.code === "queue_full",
  );
});

test("RunQueue refuses with queue_full what would hold too many bytes, and forgets who left or began", () => {
  const queue = queueOf({ slots: 1, waitingMax: 10, waitingBytesMax: 100 });
  queue.assertRoom({ waiting: 1000, running: 0 }); // it does not wait
  const first = queue.enter({ waiting: 1000, running: 0 });
  const second = queue.enter({ waiting: 60, running: 0 });
  queue.assertRoom({ waiting: 40, running: 0 });
  assert.throws(() => queue.assertRoom({ waiting: 41, running: 0 }), { code: "queue_full" });
  first.release();
  queue.assertRoom({ waiting: 100, running: 0 });
  const third = queue.enter({ waiting: 100, running: 0 });
  assert.throws(() => queue.assertRoom({ waiting: 1, running: 0 }), { code: "queue_full" });
  third.release();
  queue.assertRoom({ waiting: 100, running: 0 });
  second.release();
});

test("RunQueue starts no more than fit together, until those who ran are forgotten", async () => {
  const queue = queueOf({ slots: 9, runningBytesMax: 100 });
  const enter = (running: number) => queue.enter({ waiting: 0, running });
  const [first, second, third, fourth] = [enter(60), enter(50), enter(1), enter(1000)];
  assert.deepEqual(await Promise.all([first, second, third].map(hasTurn)), [true, false, false]);
  first.release();
  assert.equal(await hasTurn(second), false);
  first.forget();
  first.forget();
  assert.deepEqual(await Promise.all([second, third, fourth].map(hasTurn)), [true, true, false]);
  for (const place of [second, third]) {
    place.release();
    place.forget();
  }
  assert.equal(await hasTurn(fourth), true);
});

test("RunQueue serves ten thousand in order", async () => {
  const queue = queueOf({ slots: 4, waitingMax: 20_000 });
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 10_000 }, async (_, index) => {
      const place = queue.enter(small);
      await place.turn;
      order.push(index);
      place.release();
    }),
  );
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );
});
