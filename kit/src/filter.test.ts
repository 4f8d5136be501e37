import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SylaError } from "./error.ts";
import { parseFilter } from "./filter.ts";

const fields = ["status", "language", "metadata.*"];

test("parseFilter() reads comparisons joined by AND", () => {
  assert.deepEqual(
    parseFilter('status = "RUNNING" AND language!=python AND metadata.team = "a \\"b\\" \\\\"', {
      fields,
    }),
    [
      { field: "status", operator: "=", value: "RUNNING" },
      { field: "language", operator: "!=", value: "python" },
      { field: "metadata.team", operator: "=", value: 'a "b" \\' },
    ],
  );
  assert.deepEqual(parseFilter("  ", { fields }), []);
});

const wrong: readonly [string, RegExp][] = [
  [
    "owner = 1",
    /position 1: expected a field \(one of status, language, metadata\.\*\), found "owner"/,
  ],
  ["metadata. = 1", /position 1/],
  ["status", /position 7: expected = or !=, found the end/],
  ["status =", /position 9: expected a value, found the end/],
  ["status = = 1", /position 10: expected a value, found "="/],
  ["status = 1 OR language = 2", /position 12: expected AND or the end, found "OR"/],
  ["status = 1 AND", /position 15: expected a field .* found the end/],
  ['status = "open', /position 10: expected the quoted text to end/],
  ["status = 1; drop", /position 11: expected .* found ";"/],
  ["status > 1", /position 8/],
  ["a".repeat(2001), /2001 characters/],
  [Array.from({ length: 21 }, () => "status=1").join(" AND "), /at most 20 comparisons/],
];

for (const [filter, message] of wrong) {
  test(`parseFilter() refuses ${filter.slice(0, 30)} saying where and why`, () => {
    assert.throws(() => parseFilter(filter, { fields }), { code: "invalid_filter", message });
  });
}

test("any value survives being quoted", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (value) => {
      const quoted = JSON.stringify(value.replaceAll(/[\p{Cc}]/gu, "")).replaceAll("\u007f", "");
      const [comparison] = parseFilter(`status = ${quoted}`, { fields });
      assert.equal(comparison?.value, JSON.parse(quoted));
    }),
  );
});

test("whatever the text, it is read or refused with invalid_filter", () => {
  const pieces = fc.array(
    fc.constantFrom("status", "=", "!=", '"', "AND", " ", "\\", "x", "\n", "é"),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        pieces.map((parts) => parts.join("")),
      ),
      (filter) => {
        try {
          parseFilter(filter, { fields });
        } catch (error) {
          assert.ok(error instanceof SylaError && error.code === "invalid_filter");
        }
      },
    ),
  );
});
