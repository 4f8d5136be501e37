import assert from "node:assert/strict";
import { test } from "node:test";
import { incompleteTail } from "./utf8.ts";

test("incompleteTail() counts the bytes of a character that is not complete", () => {
  assert.equal(incompleteTail(Buffer.from("abc")), 0);
  assert.equal(incompleteTail(Buffer.from([0x61, 0xe2, 0x82])), 2);
  assert.equal(incompleteTail(Buffer.from([0xf0])), 1);
  assert.equal(incompleteTail(Buffer.from("€")), 0);
  assert.equal(incompleteTail(Buffer.from([0x80, 0x80, 0x80, 0x80])), 0);
});
