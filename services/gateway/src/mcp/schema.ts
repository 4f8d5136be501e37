// The schemas of a tool, made by the maker of the OpenAPI document's and then laid out flat: what hands them to a model
// often reads no references, no formats beyond JSON Schema's own, and no combinations at the top.
import type { DescField, DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import {
  type Comments,
  messageSchema,
  messageWords,
  objectSchema,
  type Schemas,
} from "../openapi/schema.ts";
import { isObject } from "./rpc.ts";

/** Arguments come from a model, which writes numbers; answers have 64-bit ones as texts. */
type Side = "arguments" | "answer";

interface Flattening {
  readonly components: Readonly<Record<string, JsonObject>>;
  readonly side: Side;
}

const reference = "#/components/schemas/";
const wireFormats: ReadonlySet<JsonValue | undefined> = new Set([
  ...["int32", "int64", "uint32", "uint64", "float", "double"],
]);

/** The schema of arguments that are these fields. */
export function argumentsSchema(fields: readonly DescField[], comments: Comments): JsonObject {
  const schemas: Schemas = { components: {}, comments };
  const parts = [...Map.groupBy(fields, ({ parent }) => parent)].map(([desc, own]) =>
    objectSchema(desc, own, schemas),
  );
  const flattening = { components: schemas.components, side: "arguments" } as const;
  const properties = parts.flatMap(({ properties: own }) => {
    return isObject(own) ? Object.entries(flatProperties(own, flattening, [])) : [];
  });
  const required = parts.flatMap((part) =>
    Array.isArray(part["required"]) ? part["required"] : [],
  );
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

/** The rules among arguments that are these fields, in sentences. */
export function argumentsWords(fields: readonly DescField[]): readonly string[] {
  const among = (desc: DescMessage, own: readonly DescField[]) => {
    const groups = desc.oneofs.map((oneof) => oneof.fields.filter((field) => own.includes(field)));
    const exclusive = groups.filter((group) => group.length > 1);
    const names = exclusive.map((group) => group.map(({ jsonName }) => jsonName).join(", "));
    return [...messageWords(desc), ...names.map((list) => `Rule: give at most one of ${list}.`)];
  };
  return [...Map.groupBy(fields, ({ parent }) => parent)].flatMap(([desc, own]) =>
    among(desc, own),
  );
}

/** The schema of an answer's structured part, which has no bytes. */
export function answerSchema(desc: DescMessage, comments: Comments): JsonObject {
  const schemas: Schemas = { components: {}, comments };
  const root = messageSchema(desc, schemas);
  const flat = flatSchema(root, { components: schemas.components, side: "answer" }, []);
  return isObject(flat) ? flat : {};
}

// `open` are the types that this schema is inside of: one that holds itself is any object from there on.
function flatSchema(schema: JsonValue, flattening: Flattening, open: readonly string[]): JsonValue {
  if (Array.isArray(schema)) return schema.map((item) => flatSchema(item, flattening, open));
  if (!isObject(schema)) return schema;
  const { $ref, ...rest } = schema;
  if (typeof $ref === "string") {
    const name = $ref.slice(reference.length);
    if (open.includes(name)) return { type: "object", ...rest };
    const whole = { ...flattening.components[name], ...rest };
    return flatSchema(whole, flattening, [...open, name]);
  }
  const flat: JsonObject = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === "format" && wireFormats.has(value)) continue;
    if (keyword === "writeOnly") continue;
    if (keyword === "type" && Array.isArray(value)) {
      flat[keyword] = flattening.side === "arguments" ? "integer" : "string";
    } else if (keyword === "properties" && isObject(value)) {
      flat[keyword] = flatProperties(value, flattening, open);
    } else {
      flat[keyword] = flatSchema(value, flattening, open);
    }
  }
  return flat;
}

function flatProperties(
  properties: JsonObject,
  flattening: Flattening,
  open: readonly string[],
): JsonObject {
  const flat = Object.entries(properties).map(([name, schema]) => {
    return [name, flatSchema(schema, flattening, open)] as const;
  });
  const isTold = (schema: JsonValue) =>
    flattening.side === "arguments" || !isObject(schema) || !("contentEncoding" in schema);
  return Object.fromEntries(flat.filter(([, schema]) => isTold(schema)));
}
