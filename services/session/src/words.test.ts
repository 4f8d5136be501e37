import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parseWord, type Word, WordError, Words } from "./words.ts";

const kib = 1024;

function word(fields: object): Word {
  return parseWord(Buffer.from(JSON.stringify(fields)));
}

test("a result has its forms as text or bytes, and always a plain one", () => {
  const forms = { "image/png": { base64: "AAEC" }, "text/html": "<b>" };
  const said = word({ say: "result", forms, main: true, metadata: { a: 1 }, displayId: "d" });
  assert.ok(said.kind === "result");
  const { main, parts, displayId, metadataJson } = said.result;
  assert.deepEqual([main, displayId, metadataJson], [true, "d", '{"a":1}']);
  const told = parts.map(({ mimeType, data }) => [
    mimeType,
    data.case === "base64" ? [...data.value] : data.value,
  ]);
  assert.deepEqual(told, [
    ["text/plain", ""],
    ["image/png", [0, 1, 2]],
    ["text/html", "<b>"],
  ]);
});

test("what is no word is refused with a reason, whatever it is", () => {
  const wrong: readonly [unknown, RegExp][] = [
    [[], /no object/],
    [{}, /no word/],
    [{ say: "result" }, /without forms/],
    [{ say: "result", forms: { "no type": "x" } }, /no media type/],
    [{ say: "result", forms: { "text/plain": 5 } }, /neither text nor bytes/],
    [{ say: "started", cell: -1 }, /no number for cell/],
    [{ say: "started", cell: 2 ** 40 }, /no number for cell/],
    [{ say: "ended", cell: 1, outcome: "fine" }, /no outcome/],
  ];
  for (const [value, reason] of wrong) {
    const isReason = (error: unknown) => error instanceof WordError && reason.test(error.message);
    assert.throws(() => parseWord(Buffer.from(JSON.stringify(value))), isReason);
  }
  assert.throws(() => parseWord(Buffer.from("{")), /not JSON/);
  assert.throws(() => parseWord(Buffer.from([0x22, 0xff, 0x22])), /not UTF-8/);
  assert.equal(word({ say: "ended", cell: 1, outcome: "ok" }).kind, "ended");
});

test("texts are cut and lists are short, however much is said", () => {
  const traceback = Array.from({ length: 1200 }, () => "x".repeat(65 * kib));
  const said = word({
    say: "error",
    name: "N".repeat(kib),
    message: "m".repeat(kib * kib),
    traceback,
  });
  assert.ok(said.kind === "error");
  const { error } = said;
  assert.deepEqual([error.name.length, error.message.length], [256, 64 * kib]);
  assert.deepEqual([error.traceback.length, error.traceback[0]?.length], [1000, 64 * kib]);
  assert.ok(!word({ say: "error", message: "\ud800" }).kind.includes("\ud800"));
});

test("words are put together from pieces of any size, and one that is too long is refused", () => {
  const lines = [
    { say: "started", cell: 1, count: 1 },
    { say: "ended", cell: 1, outcome: "ok" },
  ];
  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  for (const size of [1, 7, bytes.length]) {
    const words = new Words(kib);
    const kinds: string[] = [];
    for (let from = 0; from < bytes.length; from += size) {
      for (const { word: said } of words.take(bytes.subarray(from, from + size)))
        kinds.push(said.kind);
    }
    assert.deepEqual(kinds, ["started", "ended"]);
  }
  const words = new Words(kib);
  assert.throws(() => [...words.take(Buffer.alloc(2 * kib, "x"))], /more at once/);
});

test("a word that comes byte by byte takes no more than its bytes", () => {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  assert.ok(typeof collect === "function");
  const words = new Words(2 * kib * kib);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < kib * kib; n += 1) {
    assert.deepEqual([...words.take(Buffer.from("x"))], []);
  }
  collect();
  assert.ok(process.memoryUsage().heapUsed - before < 16 * kib * kib);
  assert.throws(() => [...words.take(Buffer.from("\n"))], /not JSON/);
});
