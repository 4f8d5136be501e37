// JSON Schemas of messages and enums, in the form that the gateway reads and writes: JSON names, 64-bit numbers as
// text, bytes in base64. Every message met becomes a component under its full name, so that two packages may share a
// short one.
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { message as messageRules } from "@syla/contract/buf/validate/validate";
import { input_only as inputOnly } from "@syla/contract/syla/options/v1/options";
import { isRequired, keywordsOf, rulesOf } from "./rules.ts";

/** Comments of the contract by full name. */
export type Comments = Readonly<Record<string, string>>;

/** Schemas, collected while they are referred to. */
export interface Schemas {
  readonly components: Record<string, JsonObject>;
  readonly comments: Comments;
}

const integer64: JsonObject = { type: ["string", "integer"], format: "int64" };
const unsigned64: JsonObject = { type: ["string", "integer"], format: "uint64" };

const scalars: ReadonlyMap<ScalarType, JsonObject> = new Map([
  [ScalarType.STRING, { type: "string" }],
  [ScalarType.BOOL, { type: "boolean" }],
  [ScalarType.BYTES, { type: "string", contentEncoding: "base64" }],
  [ScalarType.DOUBLE, { type: "number", format: "double" }],
  [ScalarType.FLOAT, { type: "number", format: "float" }],
  [ScalarType.INT64, integer64],
  [ScalarType.SINT64, integer64],
  [ScalarType.SFIXED64, integer64],
  [ScalarType.UINT64, unsigned64],
  [ScalarType.FIXED64, unsigned64],
  [ScalarType.UINT32, { type: "integer", format: "uint32", minimum: 0 }],
  [ScalarType.FIXED32, { type: "integer", format: "uint32", minimum: 0 }],
]);

const wellKnown: Readonly<Record<string, JsonObject>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?\\d+(\\.\\d{1,9})?s$" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Struct": { type: "object" },
  "google.protobuf.ListValue": { type: "array", items: {} },
  "google.protobuf.Value": {},
  "google.protobuf.Any": { type: "object", properties: { "@type": { type: "string" } } },
};

/** The schema of a message: a reference to its component, which is made if it was not there. */
export function messageSchema(desc: DescMessage, schemas: Schemas): JsonObject {
  const known = wellKnown[desc.typeName];
  if (known !== undefined) return known;
  const wrapped = isWrapperDesc(desc) ? desc.fields[0] : undefined;
  if (wrapped !== undefined) return scalarSchema(wrapped.scalar);
  if (!Object.hasOwn(schemas.components, desc.typeName)) {
    // Known before its fields are looked at, so that a type that holds itself ends.
    schemas.components[desc.typeName] = {};
    schemas.components[desc.typeName] = objectSchema(desc, desc.fields, schemas);
  }
  return { $ref: `#/components/schemas/${desc.typeName}` };
}

/** The schema of an object with these fields of a message. */
export function objectSchema(
  desc: DescMessage,
  fields: readonly DescField[],
  schemas: Schemas,
): JsonObject {
  const properties: JsonObject = {};
  for (const field of fields) properties[field.jsonName] = fieldSchema(field, schemas);
  const required = fields.filter(isRequired).map((field) => field.jsonName);
  const exclusive = desc.oneofs.flatMap((oneof) => pairs(oneof.fields.map((f) => f.jsonName)));
  return {
    type: "object",
    ...described(schemas.comments[desc.typeName], messageWords(desc)),
    properties,
    ...(required.length === 0 ? {} : { required }),
    ...(exclusive.length === 0
      ? {}
      : { allOf: exclusive.map((names) => ({ not: { required: names } })) }),
    additionalProperties: false,
  };
}

/** What a message's own rules say, in sentences. */
export function messageWords(desc: DescMessage): readonly string[] {
  if (!hasOption(desc, messageRules)) return [];
  const { cel, oneof } = getOption(desc, messageRules);
  return [
    ...cel.map(({ message }) => `Rule: ${message}.`),
    ...oneof.map(({ fields, required }) => {
      const names = desc.fields.filter(({ name }) => fields.includes(name));
      const list = names.map(({ jsonName }) => jsonName).join(", ");
      return `Rule: give ${required ? "exactly" : "at most"} one of ${list}.`;
    }),
  ];
}

function pairs(names: readonly string[]): string[][] {
  return names.flatMap((name, index) => names.slice(index + 1).map((other) => [name, other]));
}

/** A description of comments and sentences; nothing when there are none. */
export function described(comment: string | undefined, words: readonly string[] = []): JsonObject {
  const description = [comment ?? "", ...words].filter((text) => text !== "").join(" ");
  return description === "" ? {} : { description };
}

/** The schema of a field, with its rules and its comment. */
export function fieldSchema(field: DescField, schemas: Schemas): JsonObject {
  const rules = rulesOf(field);
  const { keywords, words } = keywordsOf(rules);
  const comment = schemas.comments[`${field.parent.typeName}.${field.name}`];
  const writeOnly = getOption(field, inputOnly) ? { writeOnly: true } : {};
  return {
    ...valueSchema(field, schemas),
    ...keywords,
    ...writeOnly,
    ...described(comment, words),
  };
}

function valueSchema(field: DescField, schemas: Schemas): JsonObject {
  const { type } = rulesOf(field) ?? {};
  if (field.fieldKind === "list") {
    const { keywords, words } = keywordsOf(
      type?.case === "repeated" ? type.value.items : undefined,
    );
    return {
      type: "array",
      items: { ...itemSchema(field, schemas), ...keywords, ...described("", words) },
    };
  }
  if (field.fieldKind === "map") {
    const { keywords, words } = keywordsOf(type?.case === "map" ? type.value.values : undefined);
    const values = { ...itemSchema(field, schemas), ...keywords, ...described("", words) };
    return { type: "object", additionalProperties: values };
  }
  return itemSchema(field, schemas);
}

function itemSchema(field: DescField, schemas: Schemas): JsonObject {
  if (field.message !== undefined) return messageSchema(field.message, schemas);
  return field.enum === undefined ? scalarSchema(field.scalar) : enumSchema(field.enum, schemas);
}

function scalarSchema(scalar: ScalarType | undefined): JsonObject {
  const known = scalar === undefined ? {} : scalars.get(scalar);
  return known ?? { type: "integer", format: "int32" };
}

function enumSchema(desc: DescEnum, schemas: Schemas): JsonObject {
  if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
  const lines = desc.values.map((value) => {
    const comment = schemas.comments[`${desc.typeName}.${value.name}`];
    return `\n- \`${value.jsonName}\`${comment === undefined ? "" : `: ${comment}`}`;
  });
  const names: JsonValue[] = desc.values.map((value) => value.jsonName);
  schemas.components[desc.typeName] ??= {
    type: "string",
    description: `${schemas.comments[desc.typeName] ?? desc.name}\n${lines.join("")}`,
    enum: names,
  };
  return { $ref: `#/components/schemas/${desc.typeName}` };
}
