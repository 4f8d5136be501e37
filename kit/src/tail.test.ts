import assert from "node:assert/strict";
import { test } from "node:test";
import { Tail } from "./tail.ts";

test("the last bytes are held, and that there were more is told", () => {
  const tail = new Tail(4);
  tail.add(Buffer.from("abc"));
  assert.deepEqual([tail.text(), tail.truncated], ["abc", false]);
  for (const letter of "defgh") tail.add(Buffer.from(letter));
  assert.deepEqual([tail.text(), tail.truncated], ["efgh", true]);
});
