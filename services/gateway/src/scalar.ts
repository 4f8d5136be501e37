// What JSON a scalar or an enum takes. Each function answers what was expected when it got something else, and
// undefined when all is well. Narrower than fromJson on purpose: "0x10" is no number, a whole number beyond 2^53 has
// already lost digits when it was not written as a string, and half a surrogate pair is no text.
import { type DescEnum, type JsonValue, ScalarType } from "@bufbuild/protobuf";

interface Bounds {
  readonly min: bigint;
  readonly max: bigint;
  readonly name: string;
}

const int32: Bounds = { min: -(2n ** 31n), max: 2n ** 31n - 1n, name: "a whole number of 32 bits" };
const uint32: Bounds = { min: 0n, max: 2n ** 32n - 1n, name: "a positive whole number of 32 bits" };
const int64: Bounds = { min: -(2n ** 63n), max: 2n ** 63n - 1n, name: "a whole number of 64 bits" };
const uint64: Bounds = { min: 0n, max: 2n ** 64n - 1n, name: "a positive whole number of 64 bits" };

const integers: ReadonlyMap<ScalarType, Bounds> = new Map([
  [ScalarType.INT32, int32],
  [ScalarType.SINT32, int32],
  [ScalarType.SFIXED32, int32],
  [ScalarType.UINT32, uint32],
  [ScalarType.FIXED32, uint32],
  [ScalarType.INT64, int64],
  [ScalarType.SINT64, int64],
  [ScalarType.SFIXED64, int64],
  [ScalarType.UINT64, uint64],
  [ScalarType.FIXED64, uint64],
]);

const wholeNumber = /^-?\d{1,20}$/;
const canonicalNumber = /^(?:0|-?[1-9]\d{0,19})$/;
const decimalNumber = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const base64Text = /^[A-Za-z0-9+/_-]*={0,2}$/;
const floatMax = 3.4028234663852886e38;

/** What a scalar field expects instead of a JSON value. */
export function scalarFault(scalar: ScalarType | undefined, json: JsonValue): string | undefined {
  switch (scalar) {
    case undefined:
      return undefined;
    case ScalarType.STRING:
      return typeof json === "string" ? stringFault(json) : "a string";
    case ScalarType.BOOL:
      return typeof json === "boolean" ? undefined : "true or false";
    case ScalarType.BYTES:
      return isBase64(json) ? undefined : "bytes in base64";
    case ScalarType.DOUBLE:
      return isNumber(json, Number.MAX_VALUE) ? undefined : "a number";
    case ScalarType.FLOAT:
      return isNumber(json, floatMax) ? undefined : "a number of single precision";
    default: {
      const bounds = integers.get(scalar);
      return bounds === undefined || isInteger(json, bounds) ? undefined : bounds.name;
    }
  }
}

/** What a text must be to be one: half a surrogate pair cannot be encoded. */
export function stringFault(text: string): string | undefined {
  return text.isWellFormed() ? undefined : "text of whole Unicode characters";
}

/** What an enum field expects instead of a JSON value. */
export function enumFault(desc: DescEnum, json: JsonValue): string | undefined {
  const isNull = desc.typeName === "google.protobuf.NullValue";
  if (isNull && json === null) return undefined;
  const named = desc.values.some((value) => value.jsonName === json || value.name === json);
  const numbered = desc.open
    ? typeof json === "number" && isInteger(json, int32)
    : desc.values.some((value) => value.number === json);
  if (named || numbered) return undefined;
  return isNull ? "null" : `one of ${desc.values.map((value) => value.jsonName).join(", ")}`;
}

/** What a map expects instead of a key. */
export function mapKeyFault(scalar: ScalarType, key: string): string | undefined {
  // As an object's own key it is right in JSON, and a trap in most languages that read it.
  if (key === "__proto__") return "another name";
  if (scalar === ScalarType.STRING) return stringFault(key);
  if (scalar === ScalarType.BOOL)
    return key === "true" || key === "false" ? undefined : "true or false";
  // Only the canonical form, so that "1" and "01" are not two keys of one entry.
  return canonicalNumber.test(key)
    ? scalarFault(scalar, key)
    : (integers.get(scalar)?.name ?? "a number");
}

/** What a JSON value is, without itself. */
export function kindOfJson(json: JsonValue): string {
  if (json === null) return "null";
  if (Array.isArray(json)) return "an array";
  return typeof json === "object" ? "an object" : `a ${typeof json}`;
}

/** A JSON value in a few words, for "expected ..., got ...". */
export function describeJson(json: JsonValue): string {
  if (typeof json === "object") return kindOfJson(json);
  if (typeof json !== "string") return String(json);
  const shownMax = 40;
  const shown = json.length > shownMax ? `${json.slice(0, shownMax)}...` : json;
  return JSON.stringify(shown.toWellFormed());
}

function isInteger(json: JsonValue, { min, max }: Bounds): boolean {
  if (typeof json === "string") {
    if (!wholeNumber.test(json)) return false;
  } else if (typeof json !== "number" || !Number.isSafeInteger(json)) {
    return false;
  }
  const value = BigInt(json);
  return value >= min && value <= max;
}

function isNumber(json: JsonValue, max: number): boolean {
  if (json === "NaN" || json === "Infinity" || json === "-Infinity") return true;
  if (typeof json === "string" && !decimalNumber.test(json)) return false;
  if (typeof json !== "string" && typeof json !== "number") return false;
  return Math.abs(Number(json)) <= max;
}

function isBase64(json: JsonValue): boolean {
  if (typeof json !== "string" || !base64Text.test(json)) return false;
  const digits = json.replace(/=+$/, "").length;
  return digits % 4 !== 1 && (json.length === digits || json.length % 4 === 0);
}
