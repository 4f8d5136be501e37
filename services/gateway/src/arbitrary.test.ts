// Makes JSON that a message type accepts, for the property tests of this folder.
import { type DescField, type DescMessage, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

const depthMax = 3;

const wellKnown: Readonly<Record<string, fc.Arbitrary<JsonValue>>> = {
  "google.protobuf.Timestamp": fc
    .date({ min: new Date("0001-01-02"), max: new Date("9999-12-30"), noInvalidDate: true })
    .map((date) => date.toISOString()),
  "google.protobuf.Duration": fc
    .integer({ min: -1e9, max: 1e9 })
    .map((milliseconds) => `${(milliseconds / 1000).toFixed(3)}s`),
  "google.protobuf.FieldMask": fc
    .array(fc.constantFrom("a", "fooBar", "a.b"))
    .map((paths) => paths.join(",")),
  "google.protobuf.Struct": fc.dictionary(fc.string({ maxLength: 4 }), jsonLeaf()),
  "google.protobuf.Value": jsonLeaf(),
};

function jsonLeaf(): fc.Arbitrary<JsonValue> {
  const leaf = fc.oneof(
    fc.string(),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  );
  return fc.oneof(leaf, fc.constant(null), fc.array(leaf, { maxLength: 3 }));
}

/** JSON that `fromJson` takes for a message type. */
export function arbitraryJson(desc: DescMessage, depth = 0): fc.Arbitrary<JsonValue> {
  const known = wellKnown[desc.typeName];
  if (known !== undefined) return known;
  const single: Record<string, fc.Arbitrary<JsonValue>> = {};
  for (const field of desc.fields) {
    if (field.oneof !== undefined) continue;
    if (depth >= depthMax && (field.message !== undefined || field.fieldKind === "map")) continue;
    single[field.jsonName] = arbitraryValue(field, depth);
  }
  let whole = fc.record(single, { requiredKeys: [] }).map(given);
  for (const oneof of desc.oneofs) {
    const choices = oneof.fields.map((field) =>
      arbitraryValue(field, depth).map((value) => ({ [field.jsonName]: value })),
    );
    const nothing: fc.Arbitrary<Record<string, JsonValue>> = fc.constant({});
    whole = fc
      .tuple(whole, depth >= depthMax ? nothing : fc.oneof(nothing, ...choices))
      .map(([rest, chosen]) => ({ ...rest, ...chosen }));
  }
  return whole;
}

function given(values: Readonly<Record<string, JsonValue | undefined>>): Record<string, JsonValue> {
  const kept: Record<string, JsonValue> = {};
  for (const [key, value] of Object.entries(values)) if (value !== undefined) kept[key] = value;
  return kept;
}

function arbitraryValue(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  switch (field.fieldKind) {
    case "list":
      return fc.array(arbitraryItem(field, depth), { maxLength: 3 });
    case "map":
      return fc.dictionary(
        fc.string({ unit: "grapheme", maxLength: 6 }).filter(isKey),
        arbitraryItem(field, depth),
        {
          maxKeys: 3,
        },
      );
    default:
      return arbitraryItem(field, depth);
  }
}

function isKey(text: string): boolean {
  return text !== "__proto__" && text.isWellFormed();
}

function arbitraryItem(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message !== undefined) return arbitraryJson(field.message, depth + 1);
  if (field.enum !== undefined)
    return fc.constantFrom(...field.enum.values.map((value) => value.jsonName));
  switch (field.scalar) {
    case ScalarType.STRING:
      return fc.string({ unit: "binary", maxLength: 40 }).filter((text) => text.isWellFormed());
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("base64"));
    case ScalarType.DOUBLE:
      return fc.oneof(
        fc.double({ noNaN: true }).map((n) => (Number.isFinite(n) ? n : String(n))),
        fc.integer(),
      );
    case ScalarType.INT64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
    case ScalarType.UINT32:
      return fc.integer({ min: 0, max: 2 ** 32 - 1 });
    case ScalarType.UINT64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
    default:
      return fc.integer();
  }
}
