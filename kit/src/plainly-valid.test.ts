import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  createRegistry,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageInitShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import {
  ExecutionService,
  ExecuteRequestSchema,
  ListExecutionsRequestSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { file_syla_registry_v1_registry as registry } from "@syla/contract/syla/registry/v1/registry";
import { ReplService } from "@syla/contract/syla/repl/v1/repl";
import { RunRequestSchema, RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import fc from "fast-check";
import { plainCheck } from "./plainly-valid.ts";

const inputs: readonly DescMessage[] = [
  ...[ExecutionService, ReplService, RunnerService].flatMap((service) =>
    service.methods.map(({ input }) => input),
  ),
  ...[...createRegistry(registry)].filter((type) => type.kind === "message"),
];
const validator = createValidator();

// Around the bounds that the contract has, in characters of one, two and four bytes.
const lengths = [0, 1, 2, 32, 33, 63, 64, 65, 128, 256, 1023, 1024, 1025];
const texts = ["a", "é", "😀", "\0"].flatMap((char) => lengths.map((count) => char.repeat(count)));
const numbers = [-1, 0, 1, 2, 100, 65_535, 65_536, 2 ** 31 - 1];

function arbitraryMessage(desc: DescMessage, depth = 0): fc.Arbitrary<JsonValue> {
  if (desc.typeName === "google.protobuf.Duration") return fc.constantFrom("0s", "1s", "9999s");
  if (desc.typeName === "google.protobuf.Timestamp") return fc.constant("2030-01-01T00:00:00Z");
  const fields: Record<string, fc.Arbitrary<JsonValue>> = {};
  const oneofs = new Set<string>();
  for (const field of depth > 3 ? [] : desc.fields) {
    if (field.oneof !== undefined && oneofs.has(field.oneof.name)) continue;
    if (field.oneof !== undefined) oneofs.add(field.oneof.name);
    fields[field.jsonName] = arbitraryField(field, depth);
  }
  return fc.record(fields, { requiredKeys: [] }).map(given);
}

function given(values: Readonly<Record<string, JsonValue | undefined>>): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(values)) if (value !== undefined) kept[key] = value;
  return kept;
}

function arbitraryField(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  const item = arbitraryItem(field, depth);
  if (field.fieldKind === "list") return fc.array(item, { maxLength: 3 });
  if (field.fieldKind !== "map") return item;
  return fc.dictionary(fc.constantFrom("A", "b c", "x".repeat(257)), item, { maxKeys: 2 });
}

function arbitraryItem({ message, enum: values, scalar }: DescField, depth: number) {
  if (message !== undefined) return arbitraryMessage(message, depth + 1);
  if (values !== undefined) return fc.constantFrom(...values.values.map(({ name }) => name), 99);
  switch (scalar) {
    case ScalarType.STRING:
      return fc.constantFrom(...texts);
    case ScalarType.BYTES:
      return fc.constantFrom("", "AAAA");
    case ScalarType.BOOL:
      return fc.boolean();
    default:
      return fc.constantFrom(...numbers);
  }
}

for (const desc of inputs) {
  test(`plainCheck() of ${desc.typeName} says yes to nothing that the validator refuses`, () => {
    const isPlainlyValid = plainCheck(desc);
    const holds = fc.property(arbitraryMessage(desc), (json) => {
      const message = fromJson(desc, json);
      if (isPlainlyValid(message))
        assert.equal(validator.validate(desc, message).kind, "valid", JSON.stringify(json));
    });
    fc.assert(holds, { numRuns: 1000 });
  });
}

const spec = { language: "python", code: "print(1)" };

test("plainCheck() says yes to what is usual", () => {
  const check = plainCheck(ExecuteRequestSchema);
  const isPlain = (more: MessageInitShape<typeof ExecuteRequestSchema>["spec"]) =>
    check(create(ExecuteRequestSchema, { spec: { ...spec, ...more } }));
  assert.ok(isPlain({}));
  assert.ok(isPlain({ version: "3", stdin: "x", args: ["a", "é"], metadata: { k: "v" } }));
  assert.ok(isPlain({ limits: { pids: 5, memoryBytes: 64n * 1024n ** 2n } }));
  const limits = { wallTime: {}, cpuTime: {}, memoryBytes: 1n, pids: 1 };
  const bytes = { diskBytes: 1n, outputBytes: 1n, artifactBytes: 1n };
  const run = { language: "python", files: [{ name: "" }], limits: { ...limits, ...bytes } };
  assert.ok(plainCheck(RunRequestSchema)(create(RunRequestSchema, run)));
  assert.ok(plainCheck(ListExecutionsRequestSchema)(create(ListExecutionsRequestSchema, {})));
});

test("plainCheck() says no to what breaks a rule, and to what it leaves to the validator", () => {
  const check = plainCheck(ExecuteRequestSchema);
  const isPlain = (more: MessageInitShape<typeof ExecuteRequestSchema>["spec"]) =>
    check(create(ExecuteRequestSchema, { spec: { ...spec, ...more } }));
  assert.equal(check(create(ExecuteRequestSchema, {})), false, "there is no spec");
  assert.equal(isPlain({ language: "" }), false);
  assert.equal(isPlain({ language: "x".repeat(65) }), false);
  assert.equal(isPlain({ code: "" }), false, "neither code nor files");
  assert.equal(isPlain({ files: [{ name: "a" }] }), false, "both");
  assert.equal(isPlain({ code: "é".repeat(2 ** 20 + 1) }), false, "2 MiB and two bytes");
  assert.equal(isPlain({ args: ["a\0b"] }), false);
  assert.equal(isPlain({ limits: { pids: -1 } }), false);
  assert.equal(isPlain({ env: { A: "1" } }), false, "names are held against a pattern");
  assert.equal(isPlain({ artifacts: ["a"] }), false, "paths are held against an expression");
});
