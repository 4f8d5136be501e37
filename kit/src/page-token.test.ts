import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { createPageTokens } from "./page-token.ts";

const key = randomBytes(32);
const tokens = createPageTokens({ key });
const refused = { code: "invalid_page_token" };

test("a token opens for the query it was sealed for, and for no other", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.string(),
      fc.string(),
      (cursor, query, other) => {
        const token = tokens.seal(cursor, query);
        assert.match(token, /^[A-Za-z0-9_-]+$/);
        assert.equal(tokens.open(token, query), cursor);
        if (other !== query) assert.throws(() => tokens.open(token, other), refused);
      },
    ),
  );
});

test("the line between query and cursor cannot be moved", () => {
  assert.throws(() => tokens.open(tokens.seal("bc", "a"), "ab"), refused);
});

test("a changed, invented or foreign token is refused", () => {
  const token = tokens.seal("42", "list");
  const foreign = createPageTokens({ key: randomBytes(32) }).seal("42", "list");
  for (const bad of [
    foreign,
    `A${token.slice(1)}`,
    token.slice(0, -1),
    "x",
    "",
    "é",
    "a".repeat(1e6),
  ]) {
    if (bad !== token) assert.throws(() => tokens.open(bad, "list"), refused);
  }
});
