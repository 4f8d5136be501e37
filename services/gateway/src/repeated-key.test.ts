import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findRepeatedKey } from "./repeated-key.ts";

test("findRepeatedKey() finds a key twice in one object, however it is written and wherever it is", () => {
  for (const [text, key] of [
    ['{"a": 1, "a": 2}', "a"],
    ['{"a":1,"b":{"c":[{"d":1 ,\n"d"\t: 1}]}}', "d"],
    ['{"a":1,"\\u0061":2}', "a"],
    ['{"a\\"":1,"a\\"":{}}', 'a"'],
    ['{"":0,"":0}', ""],
    ['{"__proto__":{"x":1},"__proto__":{}}', "__proto__"],
    ['{"a":{"a":1},"a":2}', "a"],
  ] as const) {
    assert.equal(findRepeatedKey(text), key, text);
  }
});

test("findRepeatedKey() finds none where keys are the same in different objects, or are no keys", () => {
  for (const text of [
    '[{"a":1},{"a":{"a":2}}]',
    '{"a":"a\\":1,\\"a\\":2","b":"\\\\","c":":"}',
    '["a","a"]',
    '"a"',
    "null",
    "[]",
    `{"a":"${"\\\\".repeat(100_000)}"}`,
    `${"[".repeat(5000)}${"]".repeat(5000)}`,
  ]) {
    assert.equal(findRepeatedKey(text), undefined, text.slice(0, 100));
  }
});

test("findRepeatedKey() finds none in whatever JSON.stringify() writes, and the key under which that is twice", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(3), fc.string(), (value, indent, key) => {
      const text = JSON.stringify(value, undefined, indent);
      assert.equal(findRepeatedKey(text), undefined);
      const name = JSON.stringify(key);
      assert.equal(findRepeatedKey(`{${name}: ${text}, ${name}: ${text}}`), key);
    }),
  );
});
