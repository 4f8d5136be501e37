import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesGlob } from "./glob.ts";

test("matchesGlob() takes * for any text and ? for a character", () => {
  for (const pattern of ["*", "abc", "a*", "*c", "a?c", "*b*", "a*b*c*", "??c"]) {
    assert.ok(matchesGlob("abc", pattern), pattern);
  }
  for (const pattern of ["", "ab", "b*", "a?", "*d*", "abc?", "A*"]) {
    assert.ok(!matchesGlob("abc", pattern), pattern);
  }
  assert.ok(matchesGlob("", "**"));
  assert.ok(!matchesGlob("a".repeat(4000), `${"*a".repeat(120)}b`));
});
