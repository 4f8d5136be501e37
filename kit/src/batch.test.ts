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

test("items that linger go together when the first has waited, or with one that does not, or when full", async () => {
  const clock = createDrivenClock();
  const batches: number[][] = [];
  const writer = createBatchWriter<number, number>({
    batchMax: 3,
    queueMax: 10,
    clock,
    write: async (items) => {
      batches.push([...items]);
      return items;
    },
  });
  const linger = (item: number) => writer.write(item, { lingerMs: 5 });
  const first = linger(1);
  await clock.advance(4);
  const second = linger(2);
  await clock.advance(0);
  assert.deepEqual(batches, []);
  await clock.advance(1);
  assert.deepEqual(await Promise.all([first, second]), [1, 2]);
  assert.deepEqual(await Promise.all([linger(3), writer.write(4)]), [3, 4]);
  assert.deepEqual(await Promise.all([5, 6, 7].map(linger)), [5, 6, 7]);
  assert.deepEqual(batches, [
    [1, 2],
    [3, 4],
    [5, 6, 7],
  ]);
});

test("flush() writes what lingers, and resolves after it, whatever became of it", async () => {
  const written: number[] = [];
  const writer = createBatchWriter<number, number>({
    batchMax: 3,
    queueMax: 10,
    clock: createDrivenClock(),
    write: async (items) => {
      written.push(...items);
      if (items.includes(2)) throw new Error("no");
      return items;
    },
  });
  await writer.flush();
  const first = writer.write(1, { lingerMs: 60_000 });
  await writer.flush();
  assert.deepEqual([written, await first], [[1], 1]);
  const second = assert.rejects(writer.write(2, { lingerMs: 60_000 }), /no/);
  await writer.flush();
  assert.deepEqual(written, [1, 2]);
  await second;
});

test("a batch is no heavier than weightMax, unless it is one item", async () => {
  const batches: number[][] = [];
  const writer = createBatchWriter<number, number>({
    batchMax: 10,
    queueMax: 10,
    weigh: (item) => item,
    weightMax: 5,
    write: async (items) => {
      batches.push([...items]);
      return items;
    },
  });
  await Promise.all([1, 2, 3, 9, 5, 1].map((item) => writer.write(item)));
  assert.deepEqual(batches, [[1, 2], [3], [9], [5], [1]]);
});
