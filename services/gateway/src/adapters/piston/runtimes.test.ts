import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { findRuntime, toRuntimes } from "./runtimes.ts";

const offered: readonly [name: string, version: string, ...aliases: string[]][] = [
  ["python", "3.11.2", "py", "python3"],
  ["python", "3.12.1", "py", "python3"],
  ["python", "2.7.18", "py", "python3"],
  ["cpp", "12.2.0", "c++", "g++"],
  ["rust", "1.97.0-nightly", "rs"],
  ["lua", "5.4"],
];
const runtimes = toRuntimes(
  offered.map(([name, version, ...aliases]) => create(LanguageSchema, { name, version, aliases })),
);

const versionOf = (name: string, selector: string) =>
  findRuntime(runtimes, name, selector)?.version;

test("findRuntime() takes the newest version that a semver range allows", () => {
  for (const [selector, version] of [
    ["*", "3.12.1"],
    ["3.x", "3.12.1"],
    ["3", "3.12.1"],
    [">=3", "3.12.1"],
    ["^3.11.0", "3.12.1"],
    ["~3.11.0", "3.11.2"],
    ["3.11.2", "3.11.2"],
    ["<3", "2.7.18"],
    ["2.7.18 || >4", "2.7.18"],
    [">=4", undefined],
    ["latest", undefined],
    [`3.12.1${" || 1".repeat(100)}`, undefined],
  ] as const) {
    assert.equal(versionOf("python", selector), version, selector);
  }
});

test("findRuntime() knows versions that are not of three parts, and pre-releases by their whole name only", () => {
  assert.equal(versionOf("lua", "5.4"), "5.4");
  assert.equal(versionOf("lua", "5.4.x"), "5.4");
  assert.equal(versionOf("rust", "*"), undefined);
  assert.equal(versionOf("rust", "1.97.0-nightly"), "1.97.0-nightly");
});

test("a runtime has Piston's name, and is found by that and by every other", () => {
  const found = ["c++", "cpp", "g++"].map((name) => findRuntime(runtimes, name, "*"));
  assert.deepEqual(new Set(found).size, 1);
  assert.equal(found[0]?.language, "c++");
  assert.deepEqual(found[0]?.aliases, ["g++", "cpp"]);
  assert.equal(found[0]?.own.name, "cpp");
  assert.equal(versionOf("py3", "*"), "3.12.1");
  assert.equal(versionOf("Python", "*"), undefined);
});
