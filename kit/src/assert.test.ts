import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionError, invariant, present } from "./assert.ts";

test("invariant() throws what is false, and nothing else", () => {
  invariant(true, "unused");
  assert.throws(() => invariant(false, "one is two"), new AssertionError("one is two"));
});

test("present() answers the value, also a falsy one", () => {
  assert.equal(present(0, "zero"), 0);
  assert.throws(() => present(undefined, "the answer"), /the answer is missing/);
});
