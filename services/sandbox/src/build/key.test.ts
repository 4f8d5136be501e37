// Every input of a compiler is in the key of its build: whatever changes, changes the key.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { buildKey, type BuildRequest } from "./key.ts";
import type { Language } from "../languages/languages.ts";

const folder = mkdtempSync(join(tmpdir(), "syla-toolchain-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const compiler = join(folder, "bin/compiler");
mkdirSync(join(folder, "bin"));
writeFileSync(compiler, "version 1");

const language: Language = {
  ...{ name: "made", aliases: [], version: "1.0", extensions: ["m"], defaultFile: "main.m" },
  ...{ binds: [{ source: folder, target: "/opt/made" }], env: { MODE: "fast" } },
  ...{ hello: "", memoryBytesMin: 0, pidsMin: 1, fileFor: () => "main.m", run: () => [] },
  compile: (files) => ["/usr/bin/env", "tool=/opt/made/bin/compiler", ...files],
};
const [main, other] = [
  { path: "main.m", content: Buffer.from("abc") },
  { path: "other.m", content: Buffer.from("de") },
];
const request: BuildRequest = {
  ...{ language, argv: ["/opt/made/bin/compiler", "-O2", "main.m"], files: [main, other] },
  agent: "syla-agent-1",
};
const withFiles = (...files: BuildRequest["files"]) => ({ ...request, files });
const withLanguage = (changes: Partial<Language>) => ({
  ...request,
  language: { ...language, ...changes },
});

test("buildKey() is the same for the same build, and another for any other", () => {
  const key = buildKey(request);
  assert.match(key ?? "", /^[0-9a-f]{64}$/);
  const copy = { ...main, content: Buffer.from("abc") };
  assert.equal(buildKey(withFiles(copy, { ...other })), key);
  const others: Readonly<Record<string, BuildRequest>> = {
    "a byte of a file": withFiles({ ...main, content: Buffer.from("abd") }, other),
    "bytes moved to another file": withFiles(
      { ...main, content: Buffer.from("abcd") },
      { ...other, content: Buffer.from("e") },
    ),
    "a name": withFiles(main, { ...other, path: "others.m" }),
    "a mode": withFiles(main, { ...other, mode: 0o755 }),
    "the order of files": withFiles(other, main),
    "a file more": withFiles(main, other, { path: "empty", content: Buffer.alloc(0) }),
    "a file less": withFiles(main),
    "an option": { ...request, argv: ["/opt/made/bin/compiler", "-O3", "main.m"] },
    "words cut elsewhere": { ...request, argv: ["/opt/made/bin/compiler", "-O2 main.m"] },
    "the agent": { ...request, agent: "syla-agent-2" },
    "the version": withLanguage({ version: "1.1" }),
    "the language": withLanguage({ name: "other" }),
    "a variable": withLanguage({ env: { MODE: "small" } }),
    "a variable more": withLanguage({ env: { MODE: "fast", MORE: "" } }),
    "a folder it sees": withLanguage({
      binds: [...language.binds, { source: "/a", target: "/b" }],
    }),
  };
  const keys = Object.entries(others).map(([what, changed]) => {
    assert.notEqual(buildKey(changed), key, what);
    return buildKey(changed);
  });
  assert.equal(new Set(keys).size, keys.length);
});

test("buildKey() changes with the compiler's file, even when its size and time were set back", () => {
  const keys = [buildKey(request)];
  writeFileSync(compiler, "version 10");
  keys.push(buildKey(request));
  utimesSync(compiler, 1, 1);
  keys.push(buildKey(request));
  writeFileSync(compiler, "version 11");
  utimesSync(compiler, 1, 1);
  keys.push(buildKey(request));
  assert.equal(new Set(keys).size, 4);
  assert.equal(buildKey(request), keys[3], "and stays the same when nothing does");
});

test("buildKey() is none for what asks for the time, or lies where the program goes", () => {
  for (const macro of ["__TIME__", "__DATE__", "__TIMESTAMP__"]) {
    const content = Buffer.from(`puts("built at " ${macro});`);
    assert.equal(buildKey(withFiles(main, { path: "time.h", content })), undefined, macro);
    const own = Buffer.concat([content, Buffer.from("TIME")]).subarray(content.length);
    assert.ok(buildKey(withFiles(main, { path: "time.h", content: own })), "only its own bytes");
  }
  for (const path of [".program", ".program/Main.class"]) {
    assert.equal(buildKey(withFiles(main, { ...other, path })), undefined, path);
  }
  assert.ok(buildKey(withFiles(main, { ...other, path: ".programs" })));
});
