import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { assert as assertProperty, constantFrom, array, property } from "fast-check";
import { splitArguments } from "./arguments.ts";

test("splitArguments() splits at blanks, and takes quotes and backslashes as a shell does", () => {
  const rows: readonly (readonly [line: string, words: readonly string[]])[] = [
    ["", []],
    ["  a\tb\nc  ", ["a", "b", "c"]],
    ["'a b'c \"d 'e'\"", ["a bc", "d 'e'"]],
    ["'' \"\"", ["", ""]],
    ["a\\ b \\'c\\' 'd\\'", ["a b", "'c'", "d\\"]],
    ['"a\\"b\\$c\\d\\\\"', ['a"b$c\\d\\']],
    ["a\\\nb", ["ab"]],
  ];
  for (const [line, words] of rows) assert.deepEqual(splitArguments(line), words, line);
});

test("splitArguments() keeps what a shell would act on", () => {
  const line = "$HOME & ; < > | `id` * ? ~ #x {a,b} $(id) a=b !";
  assert.deepEqual(splitArguments(line), line.split(" "));
});

test("splitArguments() answers nothing for a quote or a backslash without its end", () => {
  for (const line of ["'a", '"a', "a\\", '"a\\']) assert.equal(splitArguments(line), undefined);
});

test("splitArguments() agrees with a shell where that acts on nothing", () => {
  const pieces = constantFrom("a", "b ", " ", "'x y'", '"x y"', "\\ ", "\\'", '\\"', "''", '"\\""');
  assertProperty(
    property(array(pieces, { maxLength: 12 }), (chosen) => {
      const line = chosen.join("");
      const script = `for word in ${line}; do printf '%s\\0' "$word"; done`;
      const words = execFileSync("bash", ["-c", script]).toString().split("\0").slice(0, -1);
      assert.deepEqual(splitArguments(line), words);
    }),
    { numRuns: 40 },
  );
});
