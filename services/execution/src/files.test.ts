// Which files can be written beside one another.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { SourceFileSchema } from "@syla/contract/syla/execution/v1/execution";
import { SylaError } from "@syla/kit/error";
import { checkFiles } from "./files.ts";

function pointersOf(names: readonly string[]): string[] {
  const files = names.map((name) => create(SourceFileSchema, { name }));
  try {
    checkFiles(files, "/spec/files");
    return [];
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError);
    assert.equal(thrown.code, "invalid_request");
    return thrown.violations.map(({ pointer }) => pointer);
  }
}

test("names that differ can stand beside one another", () => {
  assert.deepEqual(pointersOf(["a", "b", "a.b", "c/a", "c/b", "c/d/e", "A"]), []);
});

test("a name that is there already is refused, once for each that is too many", () => {
  assert.deepEqual(pointersOf(["a", "b", "a", "a"]), ["/spec/files/2/name", "/spec/files/3/name"]);
});

test("a file cannot be where a folder is, whichever comes first", () => {
  assert.deepEqual(pointersOf(["a/b/c", "a/b"]), ["/spec/files/1/name"]);
  assert.deepEqual(pointersOf(["a/b", "a/b/c"]), ["/spec/files/1/name"]);
});

test("a part of more than 255 bytes is refused, 255 are not", () => {
  assert.deepEqual(pointersOf(["x".repeat(255), `${"ü".repeat(127)}/y`]), []);
  assert.deepEqual(pointersOf([`a/${"ü".repeat(128)}/b`]), ["/spec/files/0/name"]);
});
