import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SylaError } from "@syla/kit/error";
import { type Place, RunQueue } from "./queue.ts";

async function hasTurn(place: Place): Promise<boolean> {
  return Promise.race([place.turn.then(() => true), turn(false)]);
}

test("RunQueue gives slots in the order of arrival", async () => {
  const queue = new RunQueue({ slots: 1, waitingMax: 10 });
  const [first, second, third] = [queue.enter(), queue.enter(), queue.enter()];
  assert.deepEqual(await Promise.all([first, second, third].map(hasTurn)), [true, false, false]);
  first.release();
  assert.deepEqual(await Promise.all([second, third].map(hasTurn)), [true, false]);
});

test("RunQueue passes over those who left, and counts right", async () => {
  const queue = new RunQueue({ slots: 1, waitingMax: 10 });
  const [first, second, third] = [queue.enter(), queue.enter(), queue.enter()];
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
  const queue = new RunQueue({ slots: 1, waitingMax: 1 });
  queue.assertRoom();
  queue.enter();
  queue.assertRoom();
  queue.enter();
  assert.throws(
    () => queue.assertRoom(),
    (error) => error instanceof SylaError && error.code === "queue_full",
  );
});

test("RunQueue serves ten thousand in order", async () => {
  const queue = new RunQueue({ slots: 4, waitingMax: 20_000 });
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 10_000 }, async (_, index) => {
      const place = queue.enter();
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
