import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutputChunk } from "@syla/contract/syla/execution/v1/execution";
import fc from "fast-check";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { OutputChunker, toChunk } from "./output.ts";

function collect(pieces: readonly Uint8Array[]): OutputChunk[] {
  const chunks: OutputChunk[] = [];
  const chunker = new OutputChunker({
    emit: (chunk) => chunks.push(chunk),
    lingerMs: 10_000,
    chunkBytesMax: 1,
  });
  for (const piece of pieces) chunker.write(piece);
  chunker.end();
  return chunks;
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted(
    (a, b) => a - b,
  );
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

test("OutputChunker loses and changes no byte, however they are cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(200)), (bytes, places) => {
      const chunks = collect(cut(bytes, places));
      assert.deepEqual(Buffer.concat(chunks.map(bytesOf)), Buffer.from(bytes));
    }),
  );
});

test("OutputChunker never splits a character of text over two chunks", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.nat(200)), (text, places) => {
      const chunks = collect(cut(new TextEncoder().encode(text), places));
      assert.ok(chunks.every((chunk) => chunk.data.case === "text"));
      assert.equal(chunks.map((chunk) => chunk.data.value).join(""), text.toWellFormed());
    }),
  );
});

test("OutputChunker emits the first bytes at once and what follows soon together", async () => {
  const chunks: OutputChunk[] = [];
  const chunker = new OutputChunker({
    emit: (chunk) => chunks.push(chunk),
    lingerMs: 5,
    chunkBytesMax: 1000,
  });
  chunker.write(Buffer.from("a"));
  assert.equal(chunks.length, 1);
  for (const letter of "bcd") chunker.write(Buffer.from(letter));
  assert.equal(chunks.length, 1);
  while (chunks.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(
    chunks.map((chunk) => chunk.data.value),
    ["a", "bcd"],
  );
  chunker.end();
});

test("OutputChunker keeps the order of two streams, until a program switches a thousand times", () => {
  const chunks: string[] = [];
  const open = (name: string) =>
    new OutputChunker({
      emit: () => chunks.push(name),
      lingerMs: 10_000,
      chunkBytesMax: 1000,
    });
  const [one, other] = [open("one"), open("other")];
  for (let turn = 0; turn < 100_000; turn += 1) {
    other.giveWay();
    one.write(Buffer.from("a"));
    one.giveWay();
    other.write(Buffer.from("b"));
  }
  const expected = Array.from({ length: 1000 }, () => ["one", "other"]).flat();
  assert.deepEqual(chunks.slice(0, 2000), expected);
  assert.ok(chunks.length < 2400, `${chunks.length} chunks`);
  one.end();
  other.end();
});

test("toChunk() keeps bytes that are not UTF-8 as bytes, and NUL as text", () => {
  assert.equal(toChunk(Buffer.from([0xff, 0x00])).data.case, "base64");
  assert.equal(toChunk(Buffer.from([0x00])).data.case, "text");
});
