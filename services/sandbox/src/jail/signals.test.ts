import assert from "node:assert/strict";
import { test } from "node:test";
import { signalName, signalNumber } from "./signals.ts";

test("a signal of two names is called by the usual one, and found by both", () => {
  assert.equal(signalName(6), "SIGABRT");
  assert.deepEqual([signalNumber("SIGABRT"), signalNumber("SIGIOT")], [6, 6]);
  assert.deepEqual([signalName(0), signalNumber("SIGNONE")], [undefined, undefined]);
});
