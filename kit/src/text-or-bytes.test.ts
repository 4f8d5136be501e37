import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, textOrBytes } from "./text-or-bytes.ts";

test("textOrBytes() has UTF-8 as text and all else as bytes, and bytesOf() has both back", () => {
  for (const [given, kind] of [
    [Buffer.from("a€\0"), "text"],
    [Buffer.from([0xe2, 0x82]), "base64"],
    [Buffer.alloc(0), "text"],
  ] as const) {
    const data = textOrBytes(given);
    assert.equal(data.case, kind);
    assert.deepEqual(bytesOf({ data }), given);
  }
  const whole = Buffer.from([1, 0xff, 3]);
  const part = bytesOf({ data: { case: "base64", value: whole.subarray(1, 2) } });
  assert.deepEqual([...part], [0xff]);
  assert.equal(bytesOf({ data: { case: undefined } }).length, 0);
});
