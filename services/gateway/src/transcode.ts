// Makes a request message of what REST has: captures of the path, parameters of the query and the body, as
// google.api.http shares them out. All three become one JSON object of the request, which is held against its shape
// once, so every fault is told together, wherever it came from.
import {
  create,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { SylaError, type Violation } from "@syla/kit/error";
import { invalidRequest } from "@syla/kit/validate";
import { faultsMax, findField, knownFields, pointerTo, shapeFaults } from "./shape.ts";

/** What part of a request the body is: all that the path does not hold, one field, or nothing. */
export type BodyPart =
  | { readonly kind: "all" }
  | { readonly kind: "field"; readonly field: DescField }
  | { readonly kind: "none" };

/** How the parts of an HTTP request make a message. */
export interface Binding {
  readonly input: DescMessage;
  /** Fields that the path holds: their way from the request down. */
  readonly captured: readonly (readonly DescField[])[];
  readonly body: BodyPart;
}

/** The parts of one HTTP request. */
export interface RequestParts {
  /** Texts of the captures, percent-decoded, in the order of `captured`. */
  readonly captures: readonly string[];
  readonly query: Readonly<Record<string, string | readonly string[]>>;
  /** The body's JSON; undefined when there was none. */
  readonly body: JsonValue | undefined;
  /** Where a client that comes back wants a stream to go on; it wins over what the request says. */
  readonly resume?: Resume | undefined;
}

/** The field that tells where a stream goes on, and its value as text. */
export interface Resume {
  readonly field: DescField;
  readonly text: string;
}

/** The way to a field by its dotted path; undefined when there is none. */
export function fieldWay(desc: DescMessage, path: string): readonly DescField[] | undefined {
  const way: DescField[] = [];
  let inside: DescMessage | undefined = desc;
  for (const name of path.split(".")) {
    const field: DescField | undefined = inside === undefined ? undefined : findField(inside, name);
    if (field === undefined) return undefined;
    way.push(field);
    inside = field.fieldKind === "message" ? field.message : undefined;
  }
  return way;
}

/** Makes the request message; throws `invalid_request` with every fault. */
export function transcode(binding: Binding, parts: RequestParts): Message {
  const { input, body } = binding;
  const faults: Violation[] = [];
  let json: JsonObject = {};
  if (body.kind === "all" && parts.body !== undefined) {
    if (!isObject(parts.body)) throw invalidRequest(shapeFaults(input, parts.body));
    json = parts.body;
  } else if (body.kind === "field" && parts.body !== undefined) {
    json[body.field.jsonName] = parts.body;
  } else if (parts.body !== undefined) {
    faults.push({ pointer: "", detail: "takes no body", rule: "body.unexpected" });
  }
  for (const [index, way] of binding.captured.entries()) {
    addCapture(json, way, parts.captures[index] ?? "", faults);
  }
  for (const name in parts.query)
    addParameter(binding, json, name, parts.query[name] ?? "", faults);
  if (parts.resume !== undefined) resumeAt(json, parts.resume);
  return toMessage(input, json, faults);
}

// A browser's EventSource comes back to the same address with `Last-Event-ID`, so the address may say otherwise.
function resumeAt(json: JsonObject, { field, text }: Resume): void {
  delete json[field.name];
  json[field.jsonName] = textToJson(field, text);
}

function toMessage(input: DescMessage, json: JsonObject, faults: Violation[]): Message {
  const empty = Object.keys(json).length === 0;
  if (!empty) faults.push(...shapeFaults(input, json));
  if (faults.length > 0) throw invalidRequest(faults.slice(0, faultsMax));
  if (empty) return create(input);
  try {
    return fromJson(input, json);
  } catch (cause) {
    throw new SylaError("invalid_json", `Cannot read the request as ${input.typeName}.`, { cause });
  }
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

// A body that says otherwise is a mistake its caller should hear of.
function addCapture(
  json: JsonObject,
  way: readonly DescField[],
  text: string,
  faults: Violation[],
): void {
  const leaf = way.at(-1);
  const holder = holderOf(json, way);
  if (leaf === undefined || holder === undefined) return;
  const value = textToJson(leaf, text);
  const given = [leaf.jsonName, leaf.name].find((name) => Object.hasOwn(holder, name));
  const said = given === undefined ? undefined : holder[given];
  // Numbers may be written as texts, and are one all the same.
  const same = said === value || (typeof said === "number" && String(said) === text);
  if (given !== undefined && !same) {
    const pointer = pointerOf(way);
    faults.push({ pointer, detail: `must be what the path says: ${text}`, rule: "path.conflict" });
    return;
  }
  holder[given ?? leaf.jsonName] = value;
}

// The JSON object that holds the last field of a way, made where it is missing.
function holderOf(json: JsonObject, way: readonly DescField[]): JsonObject | undefined {
  let holder = json;
  for (const field of way.slice(0, -1)) {
    const name = Object.hasOwn(holder, field.name) ? field.name : field.jsonName;
    const inner = (holder[name] ??= {});
    if (!isObject(inner)) return undefined;
    holder = inner;
  }
  return holder;
}

function pointerOf(way: readonly DescField[]): string {
  return way.reduce((pointer, field) => pointerTo(pointer, field.jsonName), "");
}

function addParameter(
  binding: Binding,
  json: JsonObject,
  name: string,
  given: string | readonly string[],
  faults: Violation[],
): void {
  const way = fieldWay(binding.input, name);
  const leaf = way?.at(-1);
  if (way === undefined || leaf === undefined || !isParameter(binding, way, leaf)) {
    faults.push({
      pointer: pointerTo("", name),
      detail: `is not a parameter of this query; known are ${parameterNames(binding)}`,
      rule: "query.unknown_parameter",
    });
    return;
  }
  const texts = typeof given === "string" ? [given] : given;
  const holder = holderOf(json, way);
  if (holder === undefined) return;
  const again = Object.hasOwn(holder, leaf.jsonName);
  if (again || (leaf.fieldKind !== "list" && texts.length > 1)) {
    const detail = "is given more than once";
    faults.push({ pointer: pointerOf(way), detail, rule: "query.duplicate_parameter" });
    return;
  }
  const values = texts.map((text) => textToJson(leaf, text));
  holder[leaf.jsonName] = leaf.fieldKind === "list" ? values : (values[0] ?? null);
}

/** The names of the fields that the query may hold, for a sentence. */
function parameterNames({ input, body, captured }: Binding): string {
  if (body.kind === "all") return "none";
  const names = input.fields
    .filter((field) => !captured.some((way) => way.length === 1 && way[0] === field))
    .filter((field) => body.kind !== "field" || field !== body.field)
    .map((field) => field.jsonName);
  return names.join(", ") || (input.fields.length === 0 ? knownFields(input) : "none");
}

function isParameter(
  { body, captured }: Binding,
  way: readonly DescField[],
  leaf: DescField,
): boolean {
  if (body.kind === "all" || (body.kind === "field" && way[0] === body.field)) return false;
  const isCaptured = captured.some(
    (other) => other.length === way.length && other.every((field, index) => field === way[index]),
  );
  return !isCaptured && isTextual(leaf);
}

const textual = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Duration",
  "google.protobuf.FieldMask",
]);

/** Whether a field's value can be written as a text, or as several for a repeated one. */
export function isTextual(field: DescField): boolean {
  if (field.fieldKind === "map") return false;
  const { message } = field;
  return message === undefined || textual.has(message.typeName) || isWrapperDesc(message);
}

// Numbers may be texts in protobuf's JSON, but booleans and the numbers of enums may not.
function textToJson(field: DescField, text: string): JsonValue {
  const scalar = field.message === undefined ? field.scalar : field.message.fields[0]?.scalar;
  if (scalar === ScalarType.BOOL && (text === "true" || text === "false")) return text === "true";
  if (field.enum !== undefined && /^-?\d{1,10}$/.test(text)) return Number(text);
  return text;
}
