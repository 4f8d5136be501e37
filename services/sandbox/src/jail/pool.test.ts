import assert from "node:assert/strict";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "node:test";
import { createMetrics } from "@syla/kit/metrics";
import { Pool, type PoolConfig, type PoolSlot } from "./pool.ts";

interface Slot extends PoolSlot {
  readonly number: number;
  alive: boolean;
  closed: boolean;
  readonly becomeReady: () => void;
  readonly fail: () => void;
  readonly end: () => void;
}

const defaults: PoolConfig = {
  poolWarm: 200,
  poolMax: 1000,
  poolTtlMs: 300_000,
  poolWindowMs: 900_000,
  poolScalePercent: 130,
  poolMemoryBytes: 1024 ** 3,
};

/** A pool of slots that become ready when the test says so, or at once. */
function openPool(more: Partial<PoolConfig> = {}, { ready = true, memoryBytes = 1000 } = {}) {
  const slots: Slot[] = [];
  const failures: string[] = [];
  const metrics = createMetrics({ processMetrics: false });
  const pool = new Pool<Slot>({
    config: { ...defaults, ...more },
    metrics,
    onFailure: (kind) => failures.push(kind),
  });
  const open = (): Slot => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const slot: Slot = {
      number: slots.length,
      ...{ alive: true, closed: false, memoryBytes, ready: promise, becomeReady: resolve },
      ended: end.promise,
      end: () => {
        slot.alive = false;
        end.resolve();
      },
      fail: () => {
        slot.alive = false;
        reject(new Error("it could not be made"));
      },
      close: async () => {
        slot.alive = false;
        slot.closed = true;
      },
    };
    if (ready) resolve();
    slots.push(slot);
    return slot;
  };
  const take = (kind = "a") => pool.take(kind, kind, { open, openInAdvance: open });
  const living = () => slots.filter(({ closed }) => !closed).length;
  return { pool, slots, failures, metrics, open, take, living };
}

/** Until everything that was started has been done. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn();
}

describe("Pool.take()", () => {
  it("makes what does not wait, and hands out what does", async () => {
    const { take, metrics } = openPool();
    const first = take();
    assert.equal(first.warm, false);
    await settle();
    const second = take();
    assert.equal(second.warm, true);
    assert.notEqual(second.slot, first.slot);
    const text = await metrics.text();
    assert.match(text, /syla_pool_requests_total\{kind="a",result="miss"\} 1/);
    assert.match(text, /syla_pool_requests_total\{kind="a",result="hit"\} 1/);
    assert.match(text, /syla_pool_refill_seconds_count\{kind="a"\} \d/);
    assert.match(text, /syla_pool_slots\{kind="a",state="in_use"\} 2/);
  });

  it("prefers one that is ready to one that is being made, and takes that before making another", async () => {
    const { take, slots } = openPool({}, { ready: false });
    take();
    await settle(); // two are being made
    assert.equal(slots.length, 3);
    slots[1]?.becomeReady();
    await settle();
    const ready = take();
    assert.deepEqual([ready.slot.number, ready.warm], [1, true]);
    const opening = take();
    assert.deepEqual([opening.slot.number, opening.warm], [2, false]);
  });

  it("never hands out one that has died while it waited", async () => {
    const { take, slots } = openPool();
    take();
    await settle();
    for (const slot of slots) slot.alive = false;
    assert.equal(take().slot.alive, true);
  });

  it("replaces one that ends while it waits", async () => {
    const { take, slots, living } = openPool();
    take();
    await settle();
    for (const slot of slots.slice(1)) slot.end();
    await settle();
    assert.deepEqual([slots.length, living()], [5, 3]);
  });

  it("keeps kinds apart", async () => {
    const { take } = openPool();
    take("a");
    await settle();
    assert.equal(take("b").warm, false);
  });

  it("gives what waits for nobody up for a request when there is no more room", async () => {
    const { take, slots, living } = openPool({ poolMax: 3 });
    take("a");
    await settle();
    assert.equal(living(), 3);
    take("b");
    take("b");
    assert.equal(living(), 3);
    assert.equal(slots.filter(({ closed }) => closed).length, 2);
  });

  it("refuses only when every slot that may be is in use", () => {
    const { take } = openPool({ poolMax: 2 });
    take();
    take();
    assert.throws(() => take(), { code: "queue_full", message: /all 2 slots are in use/ });
  });
});

describe("Lease.release()", () => {
  it("puts a slot back in which nothing was run, and closes any other, once", async () => {
    const { take } = openPool();
    const used = take();
    const unused = take();
    await used.release(false);
    await used.release(false);
    assert.equal(used.slot.closed, true);
    await unused.release(true);
    assert.equal(unused.slot.closed, false);
    assert.equal(take().slot, unused.slot);
  });

  it("makes room again", async () => {
    const { take } = openPool({ poolMax: 1 });
    await take().release(false);
    assert.doesNotThrow(() => take());
  });
});

describe("the size of a pool", () => {
  it("follows the most that were in use at one time, times the scale", async () => {
    const { take, living } = openPool({ poolScalePercent: 200 });
    const leases = Array.from({ length: 5 }, () => take());
    await settle();
    assert.equal(living(), 5 + 10);
    await Promise.all(leases.map((lease) => lease.release(false)));
    await settle();
    assert.equal(living(), 10);
  });

  it("is never above the most that may wait, nor takes more memory than allowed", async () => {
    const few = openPool({ poolWarm: 3 });
    for (let count = 0; count < 8; count += 1) few.take();
    await settle();
    assert.equal(few.living(), 8 + 3);
    const small = openPool({ poolMemoryBytes: 2500 });
    for (let count = 0; count < 20; count += 1) small.take();
    await settle();
    // Each is known to take 1000 only when it is ready; up to four are made at a time.
    assert.ok(small.living() <= 20 + 2 + 4, `${small.living()}`);
  });

  it("goes to what was asked for last when all that may wait is taken, and there is a place for each", async () => {
    const { take, living } = openPool({ poolWarm: 3 });
    for (const kind of ["x", "y", "z"]) {
      await take(kind).release(false);
      await settle();
    }
    assert.equal(take("often").warm, false);
    await settle();
    assert.equal(take("often").warm, true, "it took the place of what nobody asked for again");
    assert.equal(take("x").warm, false);
    assert.equal(take("z").warm, true);
    await settle();
    assert.equal(living(), 4 + 3);
  });

  it("is bounded in kinds as well, so that asking for many sizes is not slow for all", async () => {
    const { take, living } = openPool({ poolWarm: 4000, poolMax: 4000 });
    for (let size = 0; size < 2000; size += 1) await take(`size ${size}`).release(false);
    await settle();
    assert.ok(living() <= 64 * 2, `${living()} wait`);
    assert.equal(take("size 1999").warm, true);
    const begin = performance.now();
    for (let count = 0; count < 100; count += 1) {
      await take("usual").release(false);
      await turn();
    }
    assert.ok(performance.now() - begin < 1000, `${performance.now() - begin} ms`);
  });

  it("is zero where nothing is to wait", async () => {
    const { take, living } = openPool({ poolWarm: 0 });
    await take().release(true);
    await settle();
    assert.equal(living(), 0);
  });

  it("shrinks when demand has gone, and replaces what has waited too long", async () => {
    const { take, living, slots } = openPool({ poolWindowMs: 60_000, poolTtlMs: 20 });
    await take().release(false);
    await settle();
    const [before] = slots.filter(({ closed }) => !closed);
    await sleep(60);
    await settle();
    assert.equal(before?.closed, true);
    assert.equal(living(), 2);
    const short = openPool({ poolWindowMs: 15, poolTtlMs: 20 });
    await short.take().release(false);
    await sleep(80);
    await settle();
    assert.equal(short.living(), 0);
  });
});

describe("a backend that fails", () => {
  it("is asked again after a pause, and requests are still served", async () => {
    const { take, slots, failures } = openPool({}, { ready: false });
    take();
    await settle();
    for (const slot of slots.slice(1)) slot.fail();
    await settle();
    assert.ok(failures.length >= 1);
    const made = slots.length;
    await settle();
    assert.equal(slots.length, made, "nothing is made during the pause");
    assert.equal(take().slot.alive, true);
  });

  it("that throws when asked in advance does not disturb a request", async () => {
    const { pool, open, failures } = openPool();
    const openInAdvance = (): never => {
      throw new Error("no room");
    };
    assert.equal(pool.take("a", "a", { open, openInAdvance }).slot.alive, true);
    await settle();
    assert.deepEqual(failures, ["a"]);
  });
});

it("Pool.close() closes what waits, and makes nothing more", async () => {
  const { pool, take, living } = openPool();
  const lease = take();
  await settle();
  await pool.close();
  assert.equal(living(), 1);
  await lease.release(true);
  await settle();
  assert.equal(living(), 0);
});
