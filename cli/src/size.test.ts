import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "./nearest.ts";
import { formatBytes, formatSpan, parseBytes, parseDurationMs } from "./size.ts";

test("parseDurationMs() reads every unit, alone and together; a plain number is seconds", () => {
  const texts = ["500ms", "5s", "1.5s", "2m", "1h", "1m30s", "7"];
  const read = texts.map((text) => parseDurationMs(text, "--timeout"));
  assert.deepEqual(read, [500, 5000, 1500, 120_000, 3_600_000, 90_000, 7000]);
  for (const text of ["", "5 parsecs", "-1s", "0", "s", "1s2"]) {
    assert.throws(() => parseDurationMs(text, "--timeout"), { exitCode: 2 }, text);
  }
});

test("parseBytes() takes KB as 1000 and KiB as 1024", () => {
  const read = ["10", "64k", "64KB", "64KiB", "1.5MiB", "1GB"].map((text) =>
    parseBytes(text, "--memory"),
  );
  assert.deepEqual(read, [10, 64_000, 64_000, 65_536, 1_572_864, 1_000_000_000]);
  for (const text of ["", "MB", "-1", "0", "1TBX", "constructor"]) {
    assert.throws(() => parseBytes(text, "--memory"), { exitCode: 2 }, text);
  }
});

test("formatSpan() and formatBytes() use the largest unit that fits", () => {
  const spans = [12.4, 5000, 1500, 61_000, 7_200_000, 200_000_000].map(formatSpan);
  assert.deepEqual(spans, ["12 ms", "5 s", "1.5 s", "1 min", "2 h", "2 d"]);
  const sizes = [2 ** 26, 256e6, 65_536, 10].map(formatBytes);
  assert.deepEqual(sizes, ["64 MiB", "256 MB", "64 KiB", "10 bytes"]);
});

test("nearest() forgives two slips, not more", () => {
  const known = ["run", "doctor", "languages"];
  assert.equal(nearest("rnu", known), "run");
  assert.equal(nearest("docter", known), "doctor");
  assert.equal(nearest("lang", known), "languages");
  assert.equal(nearest("xyzzy", known), undefined);
});
