import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { operand, sources } from "./table.ts";
import {
  compareVersions,
  discoverLanguages,
  findLanguage,
  languageForFile,
  missingLanguages,
  UnknownLanguageError,
} from "./languages.ts";
import type { Language } from "./languages.ts";

const folder = mkdtempSync(join(tmpdir(), "syla-discovery-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const signal = AbortSignal.timeout(60_000);
const discover = (environment: Record<string, string>) =>
  discoverLanguages({ cacheDirectory: join(folder, "data"), signal, environment });

const found = await discoverLanguages({ cacheDirectory: join(folder, "data"), signal });

/** A language of which only name and version matter. */
function known(name: string, version: string, aliases: readonly string[] = []): Language {
  return {
    ...{ name, version, aliases, extensions: [], defaultFile: "main", binds: [], env: {} },
    ...{ hello: "", memoryBytesMin: 0, pidsMin: 1, run: () => [], fileFor: () => "main" },
  };
}

const KNOWN = [
  known("python", "3.11.7", ["py"]),
  known("python", "3.13.0", ["py"]),
  known("python", "3.1.4", ["py"]),
  known("rust", "1.97.0-nightly"),
];

test("discoverLanguages() finds what every host has, under /usr or beside the platform", () => {
  for (const name of ["javascript", "typescript", "bash"]) {
    const language = findLanguage(found, name);
    assert.match(language.version, /^\d+\.\d+/);
    assert.equal(language.env["LANG"], "C.UTF-8");
  }
  assert.equal(findLanguage(found, "js").version, process.versions.node);
});

test("discoverLanguages() lists a version of a language once", () => {
  const keys = found.map(({ name, version }) => `${name} ${version}`);
  assert.deepEqual(keys, [...new Set(keys)]);
});

test("discoverLanguages() shows a jail no path of the host's outside of the system", () => {
  for (const { name, binds, env } of found) {
    for (const { source, target } of binds) {
      assert.ok(existsSync(source), `${name}: ${source}`);
      assert.match(target, /^\/(opt|nix)\//, `${name}: ${target}`);
      assert.ok(!Object.values(env).some((value) => value.includes(source)), name);
    }
  }
});

test("discoverLanguages() names programs that exist, by absolute path", () => {
  for (const { name, binds, compile, run, defaultFile } of found) {
    const [binary = ""] = compile?.([defaultFile]) ?? run([defaultFile], []);
    const bind = binds.find(({ target }) => binary.startsWith(`${target}/`) || binary === target);
    const outside = bind === undefined ? binary : binary.replace(bind.target, bind.source);
    assert.ok(outside.startsWith("/") && existsSync(outside), `${name}: ${outside}`);
  }
});

test("discoverLanguages() asks a version manager's shim for the real interpreter", async (t) => {
  if (!existsSync("/usr/bin/python3")) return t.skip("no python of the system");
  const shims = join(folder, "shims");
  mkdirSync(shims);
  writeFileSync(join(shims, "python3"), '#!/bin/sh\nexec /usr/bin/python3 "$@"\n');
  chmodSync(join(shims, "python3"), 0o755);
  const python = findLanguage(await discover({ PATH: shims, HOME: folder }), "python");
  assert.match(python.run(["main.py"], [])[0] ?? "", /^\/usr\/bin\/python3\.\d+$/);
});

test("discoverLanguages() passes over tools that fail, hang up or answer nonsense", async () => {
  const broken = join(folder, "broken");
  mkdirSync(broken);
  const answers = {
    python3: "exit 1",
    ruby: "kill -9 $$",
    perl: "echo what",
    go: "echo",
    cc: "echo x",
  };
  for (const [name, script] of Object.entries(answers)) {
    writeFileSync(join(broken, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(broken, name), 0o755);
  }
  const languages = await discover({ PATH: broken, HOME: folder });
  assert.ok(
    languages.some(({ name }) => name === "bash"),
    "the others are found",
  );
  const used = languages.flatMap(({ run, defaultFile }) => run([defaultFile], []));
  assert.ok(!used.some((word) => word.startsWith(broken)));
});

test("discoverLanguages() tells R nothing of the libraries that the platform was started with", async (t) => {
  const libraries = { LD_LIBRARY_PATH: "/nowhere/own" };
  const [r] = (await discover(libraries)).filter(({ name }) => name === "r");
  if (r === undefined) return t.skip("R is not on this host");
  assert.match(r.env["LD_LIBRARY_PATH"] ?? "", /^\/.*[^:]$/);
  assert.ok(!JSON.stringify(r).includes("nowhere"));
  assert.equal(findLanguage([r], "Rscript").name, "r");
});

test("discoverLanguages() needs no PATH", async () => {
  assert.equal(findLanguage(await discover({}), "bash").name, "bash");
});

test("findLanguage() takes names and aliases in any case, the host's default first", () => {
  assert.equal(findLanguage(KNOWN, "python").version, "3.11.7");
  assert.equal(findLanguage(KNOWN, " PY ").version, "3.11.7");
  assert.equal(findLanguage(KNOWN, "py", "*").version, "3.11.7");
  assert.equal(findLanguage(KNOWN, "py", "").version, "3.11.7");
});

test("findLanguage() selects a version by its beginning, whole numbers at a time", () => {
  const version = (selector: string) => findLanguage(KNOWN, "python", selector).version;
  assert.equal(version("3"), "3.11.7");
  assert.equal(version("3.13"), "3.13.0");
  assert.equal(version("v3.13.0"), "3.13.0");
  assert.equal(version("3.1"), "3.1.4", "3.1 is not the beginning of 3.11 or 3.13");
  assert.equal(version("3.x"), "3.11.7");
  assert.equal(findLanguage(KNOWN, "rust", "1.97.0").version, "1.97.0-nightly");
});

test("findLanguage() lists the languages it knows", () => {
  assert.throws(
    () => findLanguage(KNOWN, "cobol"),
    (error) =>
      error instanceof UnknownLanguageError &&
      error.field === "language" &&
      error.message === 'Cannot run "cobol": the languages here are python, rust',
  );
  assert.throws(() => findLanguage([], "python"), /the languages here are none/);
});

test("findLanguage() lists the versions it knows", () => {
  assert.throws(
    () => findLanguage(KNOWN, "py", "2"),
    (error) =>
      error instanceof UnknownLanguageError &&
      error.field === "version" &&
      error.message === 'Cannot run python "2": the versions here are 3.11.7, 3.13.0, 3.1.4',
  );
  assert.throws(() => findLanguage(KNOWN, "py", "3.11.70"), UnknownLanguageError);
  assert.throws(() => findLanguage(KNOWN, "py", "."), UnknownLanguageError);
});

test("compareVersions() compares numbers, not letters", () => {
  const versions = ["3.9.18", "3.12.1", "3.10.13"];
  assert.deepEqual(versions.toSorted(compareVersions), ["3.9.18", "3.10.13", "3.12.1"]);
});

test("languageForFile() goes by the ending", () => {
  const cases = { "a.py": "python", "b/c.MJS": "javascript", "x.cts": "typescript", "y.C": "cpp" };
  for (const [file, name] of Object.entries(cases)) assert.equal(languageForFile(file), name);
  assert.equal(languageForFile("y.c"), "c");
  assert.equal(languageForFile("Makefile"), null);
  assert.equal(languageForFile("py"), null, "a name is not an ending");
  assert.equal(languageForFile("a.b/c"), null);
});

test("languageForFile() goes by the first line where the ending tells nothing", () => {
  const cases = {
    "#!/bin/bash": "bash",
    "#!/bin/sh -e": "bash",
    "#!/usr/bin/env python3": "python",
    "#!/usr/bin/env -S PYTHONPATH=x python3.12 -u": "python",
    "#! /usr/bin/perl -w": "perl",
    "#!/usr/bin/lua5.4": "lua",
  };
  for (const [line, name] of Object.entries(cases))
    assert.equal(languageForFile("run", line), name);
  assert.equal(languageForFile("run", "#!/usr/bin/awk -f"), null);
  assert.equal(languageForFile("run", "print(1)"), null);
  assert.equal(languageForFile("run.py", "#!/bin/bash"), "python", "the ending comes first");
});

test("operand() keeps a file's name from being an option", () => {
  assert.equal(operand("-c"), "./-c");
  assert.equal(operand("main.py"), "main.py");
  assert.throws(() => operand(undefined), RangeError);
});

test("sources() picks the files to compile, and the entry when none has the ending", () => {
  assert.deepEqual(sources(["main.c", "a.h", "sub/b.c"], ["c"]), ["main.c", "sub/b.c"]);
  assert.deepEqual(sources(["program", "a.h"], ["c"]), ["program"]);
});

test("java names a nameless program after its public class and package", (t) => {
  const java = found.find(({ name }) => name === "java");
  if (java === undefined) return t.skip("java is not installed");
  assert.equal(java.fileFor("class A {}"), "Main.java");
  assert.equal(java.fileFor("/* public class No {} */\npublic final class Yes {}"), "Yes.java");
  assert.equal(java.fileFor("// public class No {}\n  public record R(int x) {}"), "R.java");
  assert.equal(java.fileFor("package a.b;\nimport x.Y;\npublic enum E { X }"), "a/b/E.java");
  assert.ok(java.run(["a/b/E.java"], ["x"]).join(" ").endsWith(" a.b.E x"));
});

test("run() tells heaps their size where a tool would take it from the host's memory", () => {
  const node = findLanguage(found, "js");
  const words = node.run(["main.js"], [], { memoryBytes: 256 * 1024 * 1024 });
  assert.ok(words.includes("--max-old-space-size=192"), words.join(" "));
  assert.ok(!node.run(["main.js"], []).some((word) => word.startsWith("--max")));
});

test("missingLanguages() names the languages that were not found, with the line that brings each", () => {
  const perl = found.filter(({ name }) => name === "perl");
  const missing = missingLanguages(perl);
  assert.ok(missing.every(({ name }) => name !== "perl"));
  const ruby = missing.find(({ name }) => name === "ruby");
  assert.equal(ruby?.remedy, "apt-get install -y ruby");
});
