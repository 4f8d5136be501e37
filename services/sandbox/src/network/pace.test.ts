import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "./pace.ts";

test("Pace lets some through at once, spreads the rest, and forgets after a rest", () => {
  const pace = new Pace({ burst: 3, perSecond: 10 });
  const waits = Array.from({ length: 6 }, () => pace.next(1000));
  assert.deepEqual(waits, [0, 0, 0, 100, 200, 300]);
  assert.equal(pace.next(1300), 100);
  for (let n = 0; n < 100; n += 1) assert.ok(pace.next(1300) <= 300);
  assert.equal(pace.next(1500), 200);
  assert.deepEqual(
    [pace.next(9000), pace.next(9000), pace.next(9000), pace.next(9000)],
    [0, 0, 0, 100],
  );
});
