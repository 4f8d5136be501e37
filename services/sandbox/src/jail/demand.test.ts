import assert from "node:assert/strict";
import { it } from "node:test";
import { Demand } from "./demand.ts";

it("Demand.peak() is the most in use at one time in the window", () => {
  let now = 0;
  const demand = new Demand({ windowMs: 15_000, now: () => now });
  assert.equal(demand.peak(), 0);
  for (const inUse of [1, 5, 2]) demand.note(inUse);
  assert.equal(demand.peak(), 5);
  now = 7000;
  demand.note(3);
  assert.equal(demand.peak(), 5);
});

it("Demand.peak() forgets what was before the window, however long nothing happened", () => {
  let now = 0;
  const demand = new Demand({ windowMs: 15_000, now: () => now });
  demand.note(5);
  now = 10_000;
  demand.note(2);
  now = 14_999;
  assert.equal(demand.peak(), 5);
  now = 15_000;
  assert.equal(demand.peak(), 2);
  now = 1_000_000;
  assert.equal(demand.peak(), 0);
});
