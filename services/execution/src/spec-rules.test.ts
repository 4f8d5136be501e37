// What a spec must keep to across its fields.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { SylaError } from "@syla/kit/error";
import { checkSpec, specBytes } from "./spec-rules.ts";

function faultsOf(spec: MessageInitShape<typeof ExecutionSpecSchema>): string[] {
  try {
    checkSpec(create(ExecutionSpecSchema, spec), "/spec", { memoryBytesMax: 1000, pidsMax: 10 });
    return [];
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError);
    assert.equal(thrown.code, "invalid_request");
    return thrown.violations.map(({ pointer }) => pointer);
  }
}

function pointersOf(names: readonly string[]): string[] {
  return faultsOf({ files: names.map((name) => ({ name })) });
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

test("arguments, environment and names that no program could be started with are refused", () => {
  const text = "x".repeat(65_536);
  assert.deepEqual(faultsOf({ args: Array.from({ length: 13 }, () => text) }), []);
  assert.deepEqual(faultsOf({ args: Array.from({ length: 14 }, () => text) }), ["/spec/args"]);
  assert.deepEqual(
    faultsOf({
      args: [text],
      env: Object.fromEntries(Array.from({ length: 13 }, (_, n) => [`v${n}`, text])),
    }),
    ["/spec/args"],
  );
});

test("secrets count as the environment does, and keep to their own rules", () => {
  const args = Array.from({ length: 13 }, () => "x".repeat(65_536));
  const secrets = { A: "x".repeat(65_500) };
  assert.deepEqual(faultsOf({ args }), []);
  assert.deepEqual(faultsOf({ args, secrets }), ["/spec/args"]);
  assert.deepEqual(faultsOf({ env: { A: "1" }, secrets }), ["/spec/secrets/A"]);
});

test("limits above those of the installation are refused, each by its name", () => {
  assert.deepEqual(faultsOf({ limits: { memoryBytes: 1000n, pids: 10 } }), []);
  assert.deepEqual(faultsOf({ limits: { memoryBytes: 1001n, pids: 11 } }), [
    "/spec/limits/memoryBytes",
    "/spec/limits/pids",
  ]);
});

test("specBytes() counts every part of a spec that a caller can make large", () => {
  const large = "x".repeat(1000);
  const content = { case: "content", value: large } as const;
  const bytes = { case: "contentBase64", value: Buffer.from(large) } as const;
  const parts: MessageInitShape<typeof ExecutionSpecSchema>[] = [
    { code: large },
    { stdin: large },
    { args: [large] },
    { env: { A: large } },
    { secrets: { A: large } },
    { artifacts: [large] },
    { metadata: { a: large } },
    { metadata: { [large]: "" } },
    { files: [{ name: large }] },
    { files: [{ name: "a", body: content }] },
    { files: [{ name: "a", body: bytes }] },
  ];
  for (const part of parts) {
    const counted = specBytes(create(ExecutionSpecSchema, part));
    assert.ok(counted >= 1000 && counted < 1200, JSON.stringify(part).slice(0, 30));
  }
});
