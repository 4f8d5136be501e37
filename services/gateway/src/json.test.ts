import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  AnySchema,
  DescriptorProtoSchema,
  FieldMaskSchema,
  StructSchema,
  ValueSchema,
} from "@bufbuild/protobuf/wkt";
import {
  ExecutionEventSchema,
  ExecutionSchema,
  ListLanguagesResponseSchema,
} from "@syla/contract/syla/execution/v1/execution";
import {
  ListServicesResponseSchema,
  ServiceEventSchema,
} from "@syla/contract/syla/registry/v1/registry";
import { RunRequestSchema } from "@syla/contract/syla/sandbox/v1/runner";
import fc from "fast-check";
import { arbitraryJson } from "./arbitrary.test.ts";
import { answerWriter, fieldWriter, toJsonText } from "./json.ts";

const types: readonly DescMessage[] = [
  ExecutionSchema,
  ExecutionEventSchema,
  ListLanguagesResponseSchema,
  ListServicesResponseSchema,
  ServiceEventSchema,
  RunRequestSchema,
  StructSchema,
  ValueSchema,
  FieldMaskSchema,
];

for (const desc of types) {
  test(`toJsonText() writes ${desc.typeName} as protobuf's toJson does with zero values`, () => {
    fc.assert(
      fc.property(arbitraryJson(desc), (json) => {
        const message = fromJson(desc, json);
        const expected = toJson(desc, message, { alwaysEmitImplicit: true });
        assert.equal(toJsonText(desc, message), JSON.stringify(expected));
      }),
      { numRuns: 300 },
    );
  });
}

test("toJsonText() writes every zero value of an empty message", () => {
  const message = create(ExecutionSchema);
  const json: unknown = JSON.parse(toJsonText(ExecutionSchema, message));
  assert.deepEqual(json, toJson(ExecutionSchema, message, { alwaysEmitImplicit: true }));
  assert.ok(
    typeof json === "object" && json !== null && "stdoutTruncated" in json && "metadata" in json,
  );
});

test("toJsonText() writes a type that holds itself, and one with proto2 presence", () => {
  const json: JsonValue = { name: "A", nestedType: [{ name: "B", nestedType: [{ name: "C" }] }] };
  const message = fromJson(DescriptorProtoSchema, json);
  const expected = toJson(DescriptorProtoSchema, message, { alwaysEmitImplicit: true });
  assert.deepEqual(JSON.parse(toJsonText(DescriptorProtoSchema, message)), expected);
});

test("toJsonText() writes numbers that JSON has no word for as protobuf names them", () => {
  const event = create(ExecutionSchema, {
    metrics: { queueDurationMs: Number.NaN, diskIoBytes: -Infinity },
  });
  const expected = toJson(ExecutionSchema, event, { alwaysEmitImplicit: true });
  assert.deepEqual(JSON.parse(toJsonText(ExecutionSchema, event)), expected);
});

test("toJsonText() keeps an enum number that this version does not know", () => {
  const message = create(ExecutionSchema, { id: "x" });
  Object.assign(message, { status: 77 });
  assert.match(toJsonText(ExecutionSchema, message), /"status":77/);
});

test("toJsonText() writes an empty Any", () => {
  assert.equal(toJsonText(AnySchema, create(AnySchema)), "{}");
});

test("fieldWriter() writes one field's value alone", () => {
  const message = create(ListServicesResponseSchema, { services: [{ name: "a", id: "1" }] });
  const [field] = ListServicesResponseSchema.fields;
  assert.ok(field !== undefined);
  const json: unknown = JSON.parse(fieldWriter(field)(message));
  assert.ok(Array.isArray(json) && json.length === 1);
});

test("answerWriter() writes what is frozen once, and what may change every time", () => {
  const write = answerWriter(ListLanguagesResponseSchema);
  const answer = create(ListLanguagesResponseSchema, { languages: [{ name: "a" }] });
  assert.match(write(answer), /"name":"a"/);
  answer.languages.length = 0;
  assert.equal(write(answer), '{"languages":[]}');
  Object.freeze(answer);
  assert.equal(write(answer), write(answer));
  assert.equal(write(answer), '{"languages":[]}');
});
