import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { ExecutionEventSchema, ExecutionSchema } from "@syla/contract/syla/execution/v1/execution";
import { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { ServiceInfoSchema } from "@syla/contract/syla/registry/v1/registry";
import fc from "fast-check";
import { arbitraryJson } from "./arbitrary.test.ts";
import { shapeFaults } from "./shape.ts";

function faultsOf(desc: DescMessage, json: JsonValue): string[] {
  return shapeFaults(desc, json).map(
    ({ pointer, detail, rule }) => `${pointer} ${rule}: ${detail}`,
  );
}

for (const desc of [
  ExecutionSchema,
  ExecutionEventSchema,
  ExecutionSpecSchema,
  ServiceInfoSchema,
  StructSchema,
]) {
  test(`shapeFaults() finds nothing wrong with what ${desc.typeName} takes`, () => {
    fc.assert(
      fc.property(arbitraryJson(desc), (json) => assert.deepEqual(shapeFaults(desc, json), [])),
    );
  });
}

test("what shapeFaults() passes, fromJson takes: right JSON with any one value put in its place", () => {
  const spoiled = fc.tuple(
    arbitraryJson(ExecutionSpecSchema),
    fc.jsonValue({ maxDepth: 2 }),
    fc.nat(),
  );
  fc.assert(
    fc.property(spoiled, ([json, value, seed]) => {
      const broken = spoil(json, parseJson(JSON.stringify(value)), seed);
      if (shapeFaults(ExecutionSpecSchema, broken).length === 0)
        fromJson(ExecutionSpecSchema, broken);
    }),
    { numRuns: 2000 },
  );
});

function parseJson(text: string): JsonValue {
  return JSON.parse(text) as JsonValue;
}

// Puts the value in place of one that the seed chooses, anywhere in the tree.
function spoil(json: JsonValue, value: JsonValue, seed: number): JsonValue {
  if (typeof json !== "object" || json === null) return value;
  const keys = Object.keys(json);
  const key = keys[seed % Math.max(keys.length, 1)];
  if (key === undefined || seed % 5 === 0) return value;
  const copy: unknown = structuredClone(json);
  const old: unknown = Reflect.get(json, key);
  if (typeof copy === "object" && copy !== null)
    Reflect.set(copy, key, spoil(parseJson(JSON.stringify(old)), value, seed >> 2));
  return parseJson(JSON.stringify(copy));
}

test("shapeFaults() tells every fault at once, each with its pointer", () => {
  const faults = faultsOf(ExecutionSpecSchema, {
    language: 7,
    codee: "x",
    files: [{ name: "a", content: "x", contentBase64: "eA==" }, 3],
    limits: { wallTime: "2 seconds", memoryBytes: "many", pids: 1.5 },
    env: { A: null },
    args: "x",
  });
  assert.deepEqual(faults, [
    "/language json.type: expected a string, got 7",
    "/codee json.unknown_field: is not a field; known are language, version, code, files, stdin, args, env, limits, artifacts, metadata, secrets, maskSecrets, network",
    "/files/0/contentBase64 json.oneof: cannot be given together with /files/0/content",
    "/files/1 json.type: expected an object, got 3",
    '/limits/wallTime json.type: expected a duration in seconds such as "1.5s", got "2 seconds"',
    '/limits/memoryBytes json.type: expected a whole number of 64 bits, got "many"',
    "/limits/pids json.type: expected a whole number of 32 bits, got 1.5",
    "/env/A json.type: expected a string, got null",
    '/args json.type: expected an array, got "x"',
  ]);
});

test("shapeFaults() tells of a sensitive field what kind it is and not what is in it", () => {
  const secrets = { A: 123_456, B: ["hidden"], C: "hidden\ud800", D: false, E: null };
  assert.deepEqual(faultsOf(ExecutionSpecSchema, { secrets, env: { A: 123_456 } }), [
    "/secrets/A json.type: expected a string, got a number",
    "/secrets/B json.type: expected a string, got an array",
    "/secrets/C json.type: expected text of whole Unicode characters, got a string",
    "/secrets/D json.type: expected a string, got a boolean",
    "/secrets/E json.type: expected a string, got null",
    "/env/A json.type: expected a string, got 123456",
  ]);
  assert.deepEqual(faultsOf(ExecutionSpecSchema, { secrets: "hidden" }), [
    "/secrets json.type: expected an object, got a string",
  ]);
});

test("shapeFaults() escapes a pointer's ~ and /", () => {
  assert.match(faultsOf(ExecutionSpecSchema, { "a/b~c": 1 })[0] ?? "", /^\/a~1b~0c /);
});

test("shapeFaults() stops at twenty faults", () => {
  const args = Array.from({ length: 100 }, (_, index) => index);
  assert.equal(shapeFaults(ExecutionSpecSchema, { args }).length, 20);
});

test("shapeFaults() refuses JSON nested deeper than a hundred", () => {
  let json: JsonValue = "leaf";
  for (let depth = 0; depth < 5000; depth += 1) json = [json];
  assert.deepEqual(
    shapeFaults(ValueSchema, json).map(({ rule }) => rule),
    ["json.depth"],
  );
});

test("shapeFaults() refuses one field under both of its names", () => {
  const [fault] = shapeFaults(ExecutionSpecSchema, { limits: { wallTime: "1s", wall_time: "2s" } });
  assert.equal(fault?.pointer, "/limits/wall_time");
  assert.equal(fault?.rule, "json.duplicate_field");
});

test("shapeFaults() refuses a number that lost digits, half a surrogate pair and the key __proto__", () => {
  const json = parseJson(
    '{"limits":{"memoryBytes":9007199254740993},"code":"\\ud800","env":{"__proto__":"x"},"metadata":{"a":"\\udc00"}}',
  );
  assert.deepEqual(
    shapeFaults(ExecutionSpecSchema, json).map(({ pointer }) => pointer),
    ["/limits/memoryBytes", "/code", "/env/__proto__", "/metadata/a"],
  );
});

test("shapeFaults() takes null for a field that is not there", () => {
  assert.deepEqual(shapeFaults(ExecutionSpecSchema, { limits: null, args: null, code: null }), []);
});

test("shapeFaults() names an enum's values", () => {
  assert.deepEqual(faultsOf(ServiceInfoSchema, { status: "well" }), [
    '/status json.type: expected one of STATUS_UNSPECIFIED, healthy, unhealthy, starting, stopping, got "well"',
  ]);
});
