import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createDrivenClock } from "./clock.ts";
import { uuidv7 } from "./id.ts";

const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("uuidv7() has the form and the time of RFC 9562", () => {
  const clock = createDrivenClock(0x017f22e279b0);
  const id = uuidv7(clock);
  assert.match(id, shape);
  assert.equal(id.slice(0, 13), "017f22e2-79b0");
});

test("uuidv7() grows with every call, also within a millisecond", () => {
  let last = "";
  for (let count = 0; count < 100_000; count += 1) {
    const id = uuidv7();
    assert.ok(id > last);
    last = id;
  }
});

test("uuidv7() grows whatever the clock does", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.nat({ max: 5000 })), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(steps, (moves) => {
      let nowMs = 1_700_000_000_000;
      const clock = { now: () => nowMs, sleep: async () => {} };
      let last = "";
      for (const [move, count] of moves) {
        nowMs += move;
        for (let index = 0; index < count; index += 1) {
          const id = uuidv7(clock);
          assert.ok(id > last);
          assert.match(id, shape);
          last = id;
        }
      }
    }),
    { numRuns: 30 },
  );
});
