import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { ListExecutionsRequestSchema } from "@syla/contract/syla/execution/v1/execution";
import { RunRequestSchema } from "@syla/contract/syla/sandbox/v1/runner";
import { WatchServiceRequestSchema } from "@syla/contract/syla/registry/v1/registry";
import { ExecuteRequestSchema } from "@syla/contract/syla/execution/v1/execution";
import { SylaError } from "@syla/kit/error";
import { type Binding, fieldWay, transcode } from "./transcode.ts";

function binding(input: Binding["input"], captured: readonly string[] = [], body = ""): Binding {
  const field = input.fields.find(({ name }) => name === body);
  return {
    input,
    captured: captured.map((path) => fieldWay(input, path) ?? []),
    body:
      body === "*"
        ? { kind: "all" }
        : field === undefined
          ? { kind: "none" }
          : { kind: "field", field },
  };
}

function read(
  bound: Binding,
  parts: { captures?: string[]; query?: Record<string, string | string[]>; body?: JsonValue },
): JsonValue {
  const { captures = [], query = {}, body } = parts;
  return toJson(bound.input, transcode(bound, { captures, query, body }));
}

function faults(...given: Parameters<typeof read>): string[] {
  try {
    read(...given);
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError);
    return thrown.violations.map(({ pointer, rule }) => `${pointer} ${rule}`);
  }
  return [];
}

test("transcode() puts captures, query and body where they belong", () => {
  const watch = binding(WatchServiceRequestSchema, ["name"]);
  const parts = { captures: ["web"], query: { afterRevision: "9007199254740993" } };
  assert.deepEqual(read(watch, parts), { name: "web", afterRevision: "9007199254740993" });
  assert.deepEqual(read(binding(ExecuteRequestSchema, [], "spec"), { body: { language: "c" } }), {
    spec: { language: "c" },
  });
});

test("transcode() reads nested, repeated and duration parameters, by either name", () => {
  const run = binding(ExecuteRequestSchema);
  const query = {
    "spec.limits.wallTime": "1.5s",
    "spec.limits.memory_bytes": "4194304",
    "spec.args": ["a", "b"],
    "spec.artifacts": "one",
  };
  assert.deepEqual(read(run, { query }), {
    spec: {
      args: ["a", "b"],
      artifacts: ["one"],
      limits: { wallTime: "1.500s", memoryBytes: "4194304" },
    },
  });
});

test("transcode() refuses parameters that the body or the path holds, and those that are no text", () => {
  const cancel = binding(WatchServiceRequestSchema, ["name"], "*");
  assert.deepEqual(faults(cancel, { captures: ["a"], query: { afterRevision: "1" } }), [
    "/afterRevision query.unknown_parameter",
  ]);
  const watch = binding(WatchServiceRequestSchema, ["name"]);
  assert.deepEqual(faults(watch, { captures: ["a"], query: { name: "b" } }), [
    "/name query.unknown_parameter",
  ]);
  const execute = binding(ExecuteRequestSchema, [], "spec");
  assert.deepEqual(faults(execute, { query: { "spec.code": "x" } }), [
    "/spec.code query.unknown_parameter",
  ]);
  const run = binding(RunRequestSchema);
  assert.deepEqual(faults(run, { query: { env: "A", "files.name": "x", __proto__x: "1" } }), [
    "/env query.unknown_parameter",
    "/files.name query.unknown_parameter",
    "/__proto__x query.unknown_parameter",
  ]);
});

test("transcode() refuses a parameter under both of its names, and a wrong value by its pointer", () => {
  const list = binding(ListExecutionsRequestSchema);
  assert.deepEqual(faults(list, { query: { pageSize: "1", page_size: "2" } }), [
    "/pageSize query.duplicate_parameter",
  ]);
  assert.deepEqual(faults(list, { query: { pageSize: "1e3" } }), ["/pageSize json.type"]);
});

test("transcode() refuses a body where none is taken, and one that is no object", () => {
  assert.deepEqual(faults(binding(ListExecutionsRequestSchema), { body: {} }), [
    " body.unexpected",
  ]);
  assert.deepEqual(faults(binding(ExecuteRequestSchema, [], "*"), { body: [1] }), [" json.type"]);
});

test("transcode() takes up a stream where its client left it", () => {
  const watch = binding(WatchServiceRequestSchema, ["name"]);
  const field = WatchServiceRequestSchema.field.afterRevision;
  const query = { after_revision: "1" };
  const parts = { captures: ["a"], query, body: undefined, resume: { field, text: "7" } };
  const message = transcode(watch, parts);
  assert.deepEqual(toJson(watch.input, message), { name: "a", afterRevision: "7" });
});
