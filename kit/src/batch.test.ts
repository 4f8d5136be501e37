import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createBatchWriter } from "./batch.ts";
import { createDrivenClock } from "./clock.ts";
import { SylaError } from "./error.ts";

test("what gathers while a write is under way goes out as one, each with its own result", async () => {
  const batches: number[][] = [];
  const writer = createBatchWriter<number, string>({
    batchMax: 3,
    queueMax: 100,
    write: async (items) => {
      batches.push([...items]);
      await new Promise((resolve) => setImmediate(resolve));
      return items.map((item) => `wrote ${item}`);
    },
  });
  const results = await Promise.all([1, 2, 3, 4, 5].map((item) => writer.write(item)));
  assert.deepEqual(batches, [
    [1, 2, 3],
    [4, 5],
  ]);
  assert.deepEqual(results, ["wrote 1", "wrote 2", "wrote 3", "wrote 4", "wrote 5"]);
});

test("whatever the sizes, every item is written once, in order, and gets its result", async () => {
  const cases = fc.tuple(
    fc.integer({ min: 1, max: 7 }),
    fc.array(fc.nat({ max: 20 }), { maxLength: 10 }),
  );
  await fc.assert(
    fc.asyncProperty(cases, async ([batchMax, bursts]) => {
      const written: number[] = [];
      const writer = createBatchWriter<number, number>({
        batchMax,
        queueMax: 1000,
        write: async (items) => {
          assert.ok(items.length > 0 && items.length <= batchMax);
          await Promise.resolve();
          written.push(...items);
          return items.map((item) => item * 2);
        },
      });
      let next = 0;
      const results: Promise<number>[] = [];
      for (const burst of bursts) {
        for (let count = 0; count < burst; count += 1) results.push(writer.write(next++));
        await Promise.resolve();
      }
      const expected = results.map((_, index) => index);
      assert.deepEqual(
        await Promise.all(results),
        expected.map((item) => item * 2),
      );
      assert.deepEqual(written, expected);
    }),
  );
});

test("a failed write fails its batch only", async () => {
  const writer = createBatchWriter<number, number>({
    batchMax: 1,
    queueMax: 10,
    write: async ([item = 0]) => {
      if (item === 1) throw new Error("no");
      return [item];
    },
  });
  const results = await Promise.allSettled([0, 1, 2].map((item) => writer.write(item)));
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("more than queueMax waiting is refused with an error that says to try again", async () => {
  const gate = Promise.withResolvers<void>();
  const writer = createBatchWriter<number, number>({
    batchMax: 1,
    queueMax: 2,
    write: async (items) => {
      await gate.promise;
      return items;
    },
  });
  const taken = [writer.write(0), writer.write(1)];
  await assert.rejects(writer.write(2), (error) => {
    return error instanceof SylaError && error.code === "overloaded" && error.entry.retryable;
  });
  gate.resolve();
  assert.deepEqual(await Promise.all(taken), [0, 1]);
});

test("close() writes what waits and refuses what comes", async () => {
  const writer = createBatchWriter<number, number>({
    batchMax: 1,
    queueMax: 10,
    write: async (items) => items,
  });
  const waiting = [writer.write(0), writer.write(1)];
  const closed = writer.close();
  await assert.rejects(writer.write(2), { code: "shutting_down" });
  await closed;
  assert.equal(writer.waiting, 0);
  assert.deepEqual(await Promise.all(waiting), [0, 1]);
});

test("lingerMs holds the first item back for others, unless a batch is full", async () => {
  const clock = createDrivenClock();
  const batches: number[] = [];
  const writer = createBatchWriter<number, number>({
    batchMax: 3,
    queueMax: 10,
    lingerMs: 5,
    clock,
    write: async (items) => {
      batches.push(items.length);
      return items;
    },
  });
  const first = writer.write(1);
  await clock.advance(4);
  const second = writer.write(2);
  assert.deepEqual(batches, []);
  await clock.advance(1);
  await Promise.all([first, second]);
  await Promise.all([3, 4, 5].map((item) => writer.write(item)));
  assert.deepEqual(batches, [2, 3]);
});
