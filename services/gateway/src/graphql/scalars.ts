// The scalars that GraphQL lacks, in the form that JSON gives them everywhere else. They take any JSON: what is wrong
// with it is told with a pointer when the request is read, as on REST.
import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import {
  type ConstValueNode,
  GraphQLBoolean,
  GraphQLFloat,
  GraphQLInt,
  GraphQLScalarType,
  GraphQLString,
  Kind,
  valueFromASTUntyped,
} from "graphql";

function scalar(
  name: string,
  description: string,
  coerceOutputValue: (value: unknown) => unknown = (value) => value,
): GraphQLScalarType {
  return new GraphQLScalarType({
    name,
    description,
    coerceOutputValue,
    coerceInputValue: (value: unknown) => value,
    coerceInputLiteral,
  });
}

// A whole number keeps its digits as text: as a number it would lose those beyond 2^53.
function coerceInputLiteral(literal: ConstValueNode): unknown {
  return literal.kind === Kind.INT ? literal.value : valueFromASTUntyped(literal);
}

const int64 = scalar("Int64", "A whole number of 64 bits, as a string.", String);
const uint64 = scalar("UInt64", "A positive whole number of 64 bits, as a string.", String);
const uint32 = scalar("UInt32", "A positive whole number of 32 bits.");
const bytes = scalar("Bytes", "Bytes in base64.", (value) =>
  value instanceof Uint8Array ? base64Encode(value) : value,
);

/** Any JSON value. */
export const jsonScalar = new GraphQLScalarType({
  name: "JSON",
  description: "Any JSON value.",
  coerceOutputValue: (value: unknown) => value,
  coerceInputValue: (value: unknown) => value,
});

const wellKnown: Readonly<Record<string, GraphQLScalarType>> = {
  "google.protobuf.Timestamp": scalar(
    "Timestamp",
    "A time as RFC 3339 has it: 2026-01-31T12:00:00Z.",
  ),
  "google.protobuf.Duration": scalar("Duration", "Seconds with an s: 1.5s."),
  "google.protobuf.FieldMask": scalar("FieldMask", "Names of fields, separated by commas."),
  "google.protobuf.Struct": jsonScalar,
  "google.protobuf.Value": jsonScalar,
  "google.protobuf.ListValue": jsonScalar,
  "google.protobuf.Any": jsonScalar,
};

/** The scalar of a protobuf scalar type. */
export function scalarOf(type: ScalarType): GraphQLScalarType {
  switch (type) {
    case ScalarType.BOOL:
      return GraphQLBoolean;
    case ScalarType.STRING:
      return GraphQLString;
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return GraphQLFloat;
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return GraphQLInt;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    default:
      return int64;
  }
}

const wrapper = /^google\.protobuf\.(?:Bool|String|Bytes|Double|Float|U?Int(?:32|64))Value$/;

/** The scalar of a message that JSON does not write as an object; undefined for all others. */
export function messageScalar(desc: DescMessage): GraphQLScalarType | undefined {
  const value = wrapper.test(desc.typeName) ? desc.fields[0]?.scalar : undefined;
  return value === undefined ? wellKnown[desc.typeName] : scalarOf(value);
}
