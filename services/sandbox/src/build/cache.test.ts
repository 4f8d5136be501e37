// Builds that are kept: found again, in memory and on disk; gone when there are too many; never half.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createLog } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { BuildCache } from "./cache.ts";
import type { Build } from "./entry.ts";

const folder = mkdtempSync(join(tmpdir(), "syla-builds-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const mebibyte = 1024 ** 2;
const log = createLog({ level: "silent", name: "test" });

function openCache(name: string, bytesMax = 64 * mebibyte) {
  const directory = join(folder, name);
  const metrics = createMetrics({ processMetrics: false });
  const cache = new BuildCache({ directory, bytesMax, metrics, log });
  const counted = async (): Promise<Record<string, number>> => {
    const lines = (await metrics.text()).matchAll(/^syla_build_cache_\w+\{(.*)\} (\d+)$/gm);
    return Object.fromEntries([...lines].map(([, labels = "", count]) => [labels, Number(count)]));
  };
  return { cache, directory, counted };
}

function keyOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

function buildOf(text: string, bytes = 100): Build {
  const content = Buffer.alloc(bytes, text);
  return {
    files: [
      { path: ".program/a/Main.class", mode: 0o644, content },
      { path: ".program/tool", mode: 0o755, content: Buffer.from(`${text}'s tool`) },
      { path: ".program/empty", mode: 0o600, content: Buffer.alloc(0) },
    ],
    said: [
      { stream: "stderr", data: Buffer.from("warning: ü") },
      { stream: "stdout", data: Buffer.from([0, 255, 10]) },
    ],
  };
}

test("BuildCache.find() answers what was kept, from memory and after a restart from disk", async () => {
  const { cache, counted } = openCache("again");
  const build = buildOf("one");
  assert.equal(await cache.find(keyOf("one"), "c"), undefined);
  cache.keep(keyOf("one"), build);
  assert.deepEqual(await cache.find(keyOf("one"), "c"), build);
  await cache.settle();
  const later = openCache("again");
  assert.deepEqual(await later.cache.find(keyOf("one"), "c"), build);
  assert.deepEqual(await later.cache.find(keyOf("one"), "java"), build);
  assert.equal(await later.cache.find(keyOf("two"), "c"), undefined);
  const { 'place="memory"': memory, 'place="disk"': disk, ...requests } = await later.counted();
  assert.deepEqual(requests, {
    'language="c",result="hit"': 1,
    'language="java",result="hit"': 1,
    'language="c",result="miss"': 1,
  });
  assert.ok(Number(memory) > 100 && disk === 4096, `${memory} and ${disk}`);
  assert.equal((await counted())['language="c",result="miss"'], 1);
});

test("BuildCache.find() makes nothing of a build that is damaged on the disk, which can then be kept anew", async () => {
  const damages: Readonly<Record<string, (bytes: Buffer) => Uint8Array>> = {
    "cut short": (bytes) => bytes.subarray(0, -1),
    "cut to its hash": (bytes) => bytes.subarray(0, 32),
    empty: () => Buffer.alloc(0),
    "of zeros": (bytes) => Buffer.alloc(bytes.length),
    "one bit different": (bytes) => bytes.map((byte, at) => (at === 300 ? byte ^ 1 : byte)),
    longer: (bytes) => Buffer.concat([bytes, Buffer.from("x")]),
  };
  for (const [what, damage] of Object.entries(damages)) {
    const { cache, directory } = openCache(`damaged ${what}`);
    const file = join(directory, keyOf("one"));
    cache.keep(keyOf("one"), buildOf("one"));
    await cache.settle();
    writeFileSync(file, damage(readFileSync(file)));
    const { cache: later, counted } = openCache(`damaged ${what}`);
    assert.equal(await later.find(keyOf("one"), "c"), undefined, what);
    assert.deepEqual(readdirSync(directory), [], what);
    assert.equal((await counted())['language="c",result="damaged"'], 1, what);
    later.keep(keyOf("one"), buildOf("anew"));
    await later.settle();
    const { cache: last } = openCache(`damaged ${what}`);
    assert.deepEqual(await last.find(keyOf("one"), "c"), buildOf("anew"), what);
  }
});

test("BuildCache.find() does not take another program's build that lies under its key", async () => {
  const { cache, directory } = openCache("another");
  cache.keep(keyOf("one"), buildOf("one"));
  await cache.settle();
  writeFileSync(join(directory, keyOf("two")), readFileSync(join(directory, keyOf("one"))));
  const { cache: later } = openCache("another");
  assert.equal(await later.find(keyOf("two"), "c"), undefined);
  assert.deepEqual(await later.find(keyOf("one"), "c"), buildOf("one"));
});

test("BuildCache removes from the disk what was not used for longest, and a start keeps to the size too", async () => {
  const { cache, directory, counted } = openCache("full", 12 * 4096);
  for (const name of ["a", "b", "c"]) {
    cache.keep(keyOf(name), buildOf(name, 4 * 4096 - 2000));
    await cache.settle();
  }
  await cache.find(keyOf("a"), "c");
  cache.keep(keyOf("d"), buildOf("d", 4 * 4096 - 2000));
  await cache.settle();
  const names = ["a", "c", "d"].map(keyOf).toSorted();
  assert.deepEqual(readdirSync(directory).toSorted(), names);
  assert.equal((await counted())['place="disk"'], 12 * 4096);
  utimesSync(join(directory, keyOf("d")), 1, 1);
  writeFileSync(join(directory, ".left-by-a-crash"), "half");
  const { cache: smaller } = openCache("full", 8 * 4096);
  smaller.keep(keyOf("e"), buildOf("e"));
  await smaller.settle();
  assert.equal(await smaller.find(keyOf("d"), "c"), undefined);
  const left = readdirSync(directory);
  assert.ok(left.includes(keyOf("e")) && left.length === 2, left.join());
});

test("BuildCache keeps its memory bounded, and what it does not hold there on the disk", async () => {
  const { cache, counted } = openCache("memory", 256 * mebibyte);
  const names = Array.from({ length: 12 }, (_, index) => `build ${index}`);
  for (const name of names) cache.keep(keyOf(name), buildOf(name, 4 * mebibyte));
  cache.keep(keyOf("large"), buildOf("large", 12 * mebibyte));
  await cache.settle();
  const bytes = (await counted())['place="memory"'] ?? 0;
  assert.ok(bytes > 16 * mebibyte && bytes <= 32 * mebibyte, String(bytes));
  for (const name of [...names, "large"]) assert.ok(await cache.find(keyOf(name), "c"), name);
  assert.ok(((await counted())['place="memory"'] ?? 0) <= 32 * mebibyte);
});

test("BuildCache leaves a build larger than itself alone", async () => {
  const { cache, directory, counted } = openCache("small", 8192);
  cache.keep(keyOf("large"), buildOf("large", 8192));
  await cache.settle();
  assert.equal(await cache.find(keyOf("large"), "c"), undefined);
  assert.deepEqual(readdirSync(directory), []);
  assert.equal((await counted())['place="memory"'], 0);
});

test("BuildCache keeps and finds the same builds at the same time", async () => {
  const { cache, directory, counted } = openCache("many");
  const names = Array.from({ length: 50 }, (_, index) => `build ${index % 10}`);
  const found = await Promise.all(
    names.map(async (name) => {
      cache.keep(keyOf(name), buildOf(name));
      return cache.find(keyOf(name), "c");
    }),
  );
  assert.deepEqual(
    found,
    names.map((name) => buildOf(name)),
  );
  await cache.settle();
  assert.equal(readdirSync(directory).length, 10);
  assert.equal((await counted())['place="disk"'], 10 * 4096);
});

test("BuildCache works from memory where the disk does not", async () => {
  writeFileSync(join(folder, "file"), "not a folder");
  const { cache } = openCache("file/builds");
  cache.keep(keyOf("one"), buildOf("one"));
  await cache.settle();
  assert.deepEqual(await cache.find(keyOf("one"), "c"), buildOf("one"));
  assert.equal(await cache.find(keyOf("two"), "c"), undefined);
});
