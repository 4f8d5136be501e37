import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf } from "./lines.ts";

async function* pieces(...texts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === "string" ? Buffer.from(text) : text;
}

async function linesIn(...texts: readonly (string | Uint8Array)[]): Promise<string[]> {
  return Array.fromAsync(linesOf(pieces(...texts)));
}

test("lines end with line feeds, wherever the pieces end", async () => {
  assert.deepEqual(await linesIn("a\nb", "", "c\n", "\nd\n"), ["a", "bc", "", "d"]);
  assert.deepEqual(await linesIn("a\nlast"), ["a", "last"]);
});

test("no other character ends a line, and none is split", async () => {
  assert.deepEqual(await linesIn('"\u2028\u2029\u0085"\n'), ['"\u2028\u2029\u0085"']);
  const euro = Buffer.from("€");
  assert.deepEqual(await linesIn(euro.subarray(0, 1), euro.subarray(1), "\n"), ["€"]);
});
