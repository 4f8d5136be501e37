import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal } from "./errors.ts";
import { Fields } from "./fields.ts";

test("Fields reads what is there, and the zero of what is not", () => {
  const fields = new Fields({
    ...{ text: "a", flag: true, count: 7, long: "12", bytes: "4pw=", texts: ["a", "b"] },
    ...{ map: { A: "1" }, nothing: null },
  });
  assert.deepEqual(
    [fields.text("text"), fields.flag("flag"), fields.count("count"), fields.count("long")],
    ["a", true, 7, 12],
  );
  assert.deepEqual([...fields.bytes("bytes")], [0xe2, 0x9c]);
  assert.deepEqual([fields.texts("texts"), fields.map("map")], [["a", "b"], { A: "1" }]);
  assert.deepEqual([fields.has("nothing"), fields.has("flag")], [false, true]);
  const none = new Fields(undefined);
  assert.deepEqual([none.text("x"), none.flag("x"), none.count("x")], ["", false, 0]);
  assert.deepEqual([none.texts("x"), none.map("x"), none.inside("x").text("y")], [[], {}, ""]);
});

test("Fields refuses another type and says of which field", () => {
  const fields = new Fields({ a: 1, b: "x", c: -1, d: 1.5, e: ["x", 1], f: { g: 1 } });
  const wrong = [
    () => fields.text("a"),
    () => fields.flag("b"),
    () => fields.count("b"),
    () => fields.count("c"),
    () => fields.count("d"),
    () => fields.texts("e"),
    () => fields.texts("b"),
    () => fields.map("f"),
    () => fields.inside("b"),
    () => new Fields([]),
  ];
  for (const read of wrong) {
    assert.throws(read, (error) => error instanceof Refusal && error.status === "invalid_argument");
  }
});
