import assert from "node:assert/strict";
import { test } from "node:test";
import { latest } from "./latest.ts";

test("latest() computes once for one object, and anew for another that is equal", () => {
  let calls = 0;
  const doubled = latest((numbers: readonly number[]) => {
    calls += 1;
    return numbers.map((number) => number * 2);
  });
  const numbers = [1, 2];
  assert.deepEqual(doubled(numbers), [2, 4]);
  assert.equal(doubled(numbers), doubled(numbers));
  assert.equal(calls, 1);
  assert.deepEqual(doubled([1, 2]), [2, 4]);
  assert.equal(calls, 2);
});
