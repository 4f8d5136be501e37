// GraphQL types made from message types: for answers objects that read protobuf messages as they are, for requests
// input objects whose values become the JSON form. A oneof is a field of its own in a request, of an input type that
// takes exactly one of its members (`@oneOf`); in an answer its members stand flat, all but one of them null.
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import {
  GraphQLBoolean,
  GraphQLEnumType,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigMap,
  type GraphQLInputFieldConfigMap,
  GraphQLInputObjectType,
  type GraphQLInputType,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  type GraphQLOutputType,
} from "graphql";
import { fieldNameOf, typeNameOf, valueNameOf } from "./names.ts";
import { jsonScalar, messageScalar, scalarOf } from "./scalars.ts";
import { fieldWriter, messageWriter } from "../json.ts";

const implicitPresence = 2;
/** GraphQL has no types without fields. */
const emptyField = "_empty";

type Source = Readonly<Record<string, unknown>>;

/** The types of one schema, each made once. */
export interface GraphqlTypes {
  output(desc: DescMessage): GraphQLObjectType;
  /** The fields of a message as arguments. */
  inputs(desc: DescMessage): GraphQLInputFieldConfigMap;
}

/** What the types of one schema are made with, and where those already made are found. */
interface Making {
  readonly described: (name: string) => { description?: string };
  readonly outputs: (desc: DescMessage) => GraphQLObjectType;
  readonly inputs: (desc: DescMessage) => GraphQLInputObjectType;
  readonly enums: (desc: DescEnum) => GraphQLEnumType;
}

/** Makes types; comments become their descriptions. */
export function createTypes(comments: Readonly<Record<string, string>>): GraphqlTypes {
  const making: Making = {
    described: (name) => {
      const description = comments[name];
      return description === undefined ? {} : { description };
    },
    outputs: memo((desc) => outputObject(making, desc)),
    inputs: memo((desc) => inputObject(making, desc)),
    enums: memo((desc) => enumType(making, desc)),
  };
  return { output: making.outputs, inputs: memo((desc) => inputFields(making, desc)) };
}

function outputObject(making: Making, desc: DescMessage): GraphQLObjectType {
  return new GraphQLObjectType<Source>({
    name: typeNameOf(desc),
    ...making.described(desc.typeName),
    fields: () => outputFields(making, desc),
  });
}

function inputObject(making: Making, desc: DescMessage): GraphQLInputObjectType {
  return new GraphQLInputObjectType({
    name: `${typeNameOf(desc)}Input`,
    ...making.described(desc.typeName),
    fields: () => inputFields(making, desc),
  });
}

function enumType({ described }: Making, desc: DescEnum): GraphQLEnumType {
  const values = desc.values.map((value) => {
    const config = { value: value.number, ...described(`${desc.typeName}.${value.name}`) };
    return [valueNameOf(value), config] as const;
  });
  return new GraphQLEnumType({
    name: typeNameOf(desc),
    ...described(desc.typeName),
    values: Object.fromEntries(values),
  });
}

function outputFields(making: Making, desc: DescMessage): GraphQLFieldConfigMap<Source, unknown> {
  const fields: Record<string, GraphQLFieldConfig<Source, unknown>> = {};
  for (const field of desc.fields) {
    fields[fieldNameOf(field)] = {
      type: outputType(making, field),
      resolve: resolverOf(field),
      ...making.described(`${desc.typeName}.${field.name}`),
    };
  }
  if (desc.fields.length === 0) fields[emptyField] = { type: GraphQLBoolean };
  return fields;
}

function outputType(making: Making, field: DescField): GraphQLOutputType {
  if (field.fieldKind === "map") return new GraphQLNonNull(jsonScalar);
  const { message } = field;
  const item =
    message === undefined
      ? simpleType(making, field)
      : (messageScalar(message) ?? making.outputs(message));
  if (field.fieldKind === "list") {
    return new GraphQLNonNull(new GraphQLList(new GraphQLNonNull(item)));
  }
  const always = field.presence === implicitPresence && field.oneof === undefined;
  return always ? new GraphQLNonNull(item) : item;
}

function simpleType({ enums }: Making, field: DescField) {
  if (field.enum?.typeName === "google.protobuf.NullValue") return jsonScalar;
  if (field.enum !== undefined) return enums(field.enum);
  return field.scalar === undefined ? jsonScalar : scalarOf(field.scalar);
}

function inputFields(making: Making, desc: DescMessage): GraphQLInputFieldConfigMap {
  const fields: GraphQLInputFieldConfigMap = {};
  for (const field of desc.fields) {
    if (field.oneof !== undefined) continue;
    const description = making.described(`${desc.typeName}.${field.name}`);
    fields[fieldNameOf(field)] = { type: inputType(making, field), ...description };
  }
  for (const oneof of desc.oneofs) {
    const members: GraphQLInputFieldConfigMap = {};
    for (const field of oneof.fields)
      members[fieldNameOf(field)] = { type: itemInput(making, field) };
    const name = `${typeNameOf(desc)}_${oneof.name}Input`;
    const type = new GraphQLInputObjectType({ name, isOneOf: true, fields: members });
    fields[oneof.localName] = { type, ...making.described(`${desc.typeName}.${oneof.name}`) };
  }
  if (Object.keys(fields).length === 0) fields[emptyField] = { type: GraphQLBoolean };
  return fields;
}

function inputType(making: Making, field: DescField): GraphQLInputType {
  if (field.fieldKind === "map") return jsonScalar;
  const item = itemInput(making, field);
  return field.fieldKind === "list" ? new GraphQLList(new GraphQLNonNull(item)) : item;
}

function itemInput(making: Making, field: DescField) {
  const { message } = field;
  if (message === undefined) return simpleType(making, field);
  return messageScalar(message) ?? making.inputs(message);
}

function memo<K extends object, V>(make: (key: K) => V): (key: K) => V {
  const made = new WeakMap<K, V>();
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const value = make(key);
    made.set(key, value);
    return value;
  };
}

function resolverOf(field: DescField): (source: Source) => unknown {
  const { localName, oneof } = field;
  const isJson =
    field.fieldKind === "map" ||
    field.enum?.typeName === "google.protobuf.NullValue" ||
    (field.message !== undefined && messageScalar(field.message) !== undefined);
  if (oneof !== undefined) {
    const write = isJson && field.message !== undefined ? messageWriter(field.message) : undefined;
    return (source) => {
      const chosen = parseSource(source[oneof.localName]);
      if (chosen["case"] !== localName) return null;
      return write === undefined ? chosen["value"] : parseText(write(chosen["value"]));
    };
  }
  if (!isJson) return (source) => source[localName];
  const write = fieldWriter(field);
  return (source) => (source[localName] === undefined ? null : parseText(write(source)));
}

function parseText(json: string): unknown {
  return JSON.parse(json);
}

// A message is an object with a property for each field, and a oneof one with case and value.
function parseSource(value: unknown): Source {
  return value as Source;
}

/** The JSON form of a message from the arguments that GraphQL checked against its input type. */
export function toRequestJson(desc: DescMessage, given: Source): JsonObject {
  const json: JsonObject = {};
  for (const field of desc.fields) {
    const holder =
      field.oneof === undefined ? given : parseSource(given[field.oneof.localName] ?? {});
    const value = holder[fieldNameOf(field)];
    if (value !== undefined) json[field.jsonName] = fieldJson(field, value);
  }
  return json;
}

function fieldJson(field: DescField, value: unknown): JsonValue {
  const { message } = field;
  const isObject = message !== undefined && messageScalar(message) === undefined;
  if (!isObject || value === null || field.fieldKind === "map") return parseJson(value);
  if (Array.isArray(value)) return value.map((item) => toRequestJson(message, parseSource(item)));
  return toRequestJson(message, parseSource(value));
}

// Scalars came out of JSON or of literals, and enums are numbers.
function parseJson(value: unknown): JsonValue {
  return value as JsonValue;
}
