// Holds JSON against a message's shape before it becomes a message, and tells every fault with the JSON pointer of
// its field. protobuf's own fromJson stops at the first fault and names no pointer. What passes here passes there; a
// property test holds the two together.
import {
  type DescField,
  type DescMessage,
  fromJson,
  getOption,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import { AnySchema, FieldMaskSchema, isWrapperDesc, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { sensitive } from "@syla/contract/syla/options/v1/options";
import type { Violation } from "@syla/kit/error";
import {
  describeJson,
  enumFault,
  kindOfJson,
  mapKeyFault,
  scalarFault,
  stringFault,
} from "./scalar.ts";

/** More faults than this are not told. */
export const faultsMax = 20;
// JSON nested deeper than this is refused.
const depthMax = 100;

const durationShape = /^-?(\d+)(?:\.\d{1,9})?s$/;
const durationSecondsMax = 315_576_000_000;

interface Faults {
  readonly found: Violation[];
}

type Check = (json: JsonValue, pointer: string, depth: number, faults: Faults) => void;

/** Every way, up to twenty, in which JSON is not what a message type takes. */
export function shapeFaults(
  desc: DescMessage,
  json: JsonValue,
  pointer = "",
): readonly Violation[] {
  const faults: Faults = { found: [] };
  checkMessage(desc, json, pointer, 0, faults);
  return faults.found;
}

/** A JSON pointer one step further (RFC 6901). */
export function pointerTo(pointer: string, step: string | number): string {
  return `${pointer}/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function tell(faults: Faults, pointer: string, rule: string, detail: string): void {
  if (faults.found.length < faultsMax) faults.found.push({ pointer, detail, rule });
}

// Of a field that is sensitive, no more is told than what kind of value it was given.
function tellType(
  faults: Faults,
  pointer: string,
  expected: string,
  json: JsonValue,
  field?: DescField,
): void {
  const secret = field !== undefined && getOption(field, sensitive);
  const got = secret ? kindOfJson(json) : describeJson(json);
  tell(faults, pointer, "json.type", `expected ${expected}, got ${got}`);
}

function tellDepth(faults: Faults, pointer: string): void {
  tell(faults, pointer, "json.depth", `is nested deeper than ${depthMax}`);
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function checkMessage(
  desc: DescMessage,
  json: JsonValue,
  pointer: string,
  depth: number,
  faults: Faults,
): void {
  if (depth >= depthMax) return tellDepth(faults, pointer);
  const wellKnown = wellKnownChecks[desc.typeName];
  if (wellKnown !== undefined) return wellKnown(json, pointer, depth, faults);
  const wrapped = isWrapperDesc(desc) ? desc.fields[0] : undefined;
  if (wrapped !== undefined) return checkItem(wrapped, json, pointer, depth, faults);
  if (!isObject(json)) return tellType(faults, pointer, "an object", json);
  const seen = new Map<string, string>();
  for (const [key, value] of Object.entries(json)) {
    if (faults.found.length >= faultsMax) return;
    const field = findField(desc, key);
    if (field === undefined) {
      const detail = `is not a field; known are ${knownFields(desc)}`;
      tell(faults, pointerTo(pointer, key), "json.unknown_field", detail);
      continue;
    }
    const at = pointerTo(pointer, key);
    checkOnce(field, value, at, seen, faults);
    checkField(field, value, at, depth, faults);
  }
}

// A field may be written by its JSON name or its proto name, and of a oneof only one member may be there.
function checkOnce(
  field: DescField,
  value: JsonValue,
  pointer: string,
  seen: Map<string, string>,
  faults: Faults,
): void {
  const before = seen.get(field.name);
  if (before !== undefined) {
    tell(faults, pointer, "json.duplicate_field", `is the same field as ${before}`);
  }
  seen.set(field.name, pointer);
  if (field.oneof === undefined || (value === null && field.fieldKind === "scalar")) return;
  const group = `oneof ${field.oneof.name}`;
  const other = seen.get(group);
  if (other !== undefined && before === undefined) {
    tell(faults, pointer, "json.oneof", `cannot be given together with ${other}`);
  }
  seen.set(group, pointer);
}

const fieldTables = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** The field that a JSON name or a proto name means. */
export function findField(desc: DescMessage, name: string): DescField | undefined {
  let table = fieldTables.get(desc);
  if (table === undefined) {
    table = new Map([
      ...desc.fields.map((field) => [field.name, field] as const),
      ...desc.fields.map((field) => [field.jsonName, field] as const),
    ]);
    fieldTables.set(desc, table);
  }
  return table.get(name);
}

/** The JSON names of a message's fields, for a sentence. */
export function knownFields(desc: DescMessage): string {
  return desc.fields.map((field) => field.jsonName).join(", ") || "none";
}

function checkField(
  field: DescField,
  json: JsonValue,
  pointer: string,
  depth: number,
  faults: Faults,
): void {
  // null is "not there", or for google.protobuf.Value a value: right in both.
  if (json === null) return;
  if (field.fieldKind === "list") return checkList(field, json, pointer, depth, faults);
  if (field.fieldKind === "map") return checkMap(field, json, pointer, depth, faults);
  checkItem(field, json, pointer, depth, faults);
}

function checkList(
  field: DescField,
  json: JsonValue,
  pointer: string,
  depth: number,
  faults: Faults,
): void {
  if (!Array.isArray(json)) return tellType(faults, pointer, "an array", json, field);
  for (const [index, item] of json.entries()) {
    if (faults.found.length >= faultsMax) return;
    checkItem(field, item, pointerTo(pointer, index), depth, faults);
  }
}

function checkMap(
  field: DescField & { fieldKind: "map" },
  json: JsonValue,
  pointer: string,
  depth: number,
  faults: Faults,
): void {
  if (!isObject(json)) return tellType(faults, pointer, "an object", json, field);
  for (const [key, value] of Object.entries(json)) {
    if (faults.found.length >= faultsMax) return;
    const at = pointerTo(pointer, key);
    const expected = mapKeyFault(field.mapKey, key);
    if (expected !== undefined) tell(faults, at, "json.map_key", `expected ${expected} as the key`);
    checkItem(field, value, at, depth, faults);
  }
}

function checkItem(
  field: DescField,
  json: JsonValue,
  pointer: string,
  depth: number,
  faults: Faults,
): void {
  if (field.message !== undefined)
    return checkMessage(field.message, json, pointer, depth + 1, faults);
  const expected =
    field.enum === undefined ? scalarFault(field.scalar, json) : enumFault(field.enum, json);
  if (expected !== undefined) tellType(faults, pointer, expected, json, field);
}

// fromJson knows the exact form of these; here is only told what it expects.
function byParsing(schema: DescMessage, expected: string): Check {
  return (json, pointer, _depth, faults) => {
    try {
      fromJson(schema, json);
    } catch {
      tellType(faults, pointer, expected, json);
    }
  };
}

// fromJson ignores what follows the unit and fails on a tenth digit, so durations are looked at here.
function checkDuration(json: JsonValue, pointer: string, _depth: number, faults: Faults): void {
  const match = typeof json === "string" ? durationShape.exec(json) : null;
  if (match === null || Number(match[1]) > durationSecondsMax) {
    tellType(faults, pointer, 'a duration in seconds such as "1.5s"', json);
  }
}

function checkStruct(json: JsonValue, pointer: string, depth: number, faults: Faults): void {
  if (!isObject(json)) return tellType(faults, pointer, "an object", json);
  checkAnyJson(json, pointer, depth, faults);
}

function checkArray(json: JsonValue, pointer: string, depth: number, faults: Faults): void {
  if (!Array.isArray(json)) return tellType(faults, pointer, "an array", json);
  checkAnyJson(json, pointer, depth, faults);
}

function checkAnyJson(json: JsonValue, pointer: string, depth: number, faults: Faults): void {
  if (depth >= depthMax) return tellDepth(faults, pointer);
  if (typeof json === "string") {
    const expected = stringFault(json);
    if (expected !== undefined) tellType(faults, pointer, expected, json);
  }
  if (typeof json !== "object" || json === null) return;
  for (const [key, value] of Object.entries(json)) {
    if (faults.found.length >= faultsMax) return;
    if (key === "__proto__")
      tell(faults, pointerTo(pointer, key), "json.map_key", "expected another key");
    else checkAnyJson(value, pointerTo(pointer, key), depth + 1, faults);
  }
}

const wellKnownChecks: Readonly<Record<string, Check>> = {
  "google.protobuf.Duration": checkDuration,
  "google.protobuf.Timestamp": byParsing(
    TimestampSchema,
    'a time of RFC 3339 such as "2030-01-31T12:00:00Z"',
  ),
  "google.protobuf.FieldMask": byParsing(FieldMaskSchema, "field names joined by commas"),
  "google.protobuf.Any": byParsing(AnySchema, "an object with a known @type"),
  "google.protobuf.Struct": checkStruct,
  "google.protobuf.ListValue": checkArray,
  "google.protobuf.Value": checkAnyJson,
};
