// The contract's validation rules (buf.validate) as keywords of JSON Schema, so that who reads the description, or
// makes a client of it, sees the bounds that the server holds. What JSON Schema cannot say is said in words.
import {
  type DescField,
  getOption,
  hasOption,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import {
  type DurationRules,
  field as fieldRules,
  type FieldRules,
  Ignore,
  type MapRules,
  type RepeatedRules,
  type StringRules,
} from "@syla/contract/buf/validate/validate";

/** What rules add to a schema: keywords, and sentences for its description. */
export interface RuleKeywords {
  readonly keywords: JsonObject;
  readonly words: readonly string[];
}

/** The rules of a field; undefined when it has none. */
export function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
}

/** Whether a request without the field breaks a rule. */
export function isRequired(field: DescField): boolean {
  const rules = rulesOf(field);
  if (rules === undefined) return false;
  if (rules.required) return true;
  if (rules.ignore === Ignore.IF_ZERO_VALUE || rules.type.case !== "string") return false;
  // Unset, these are zero.
  const { minLen, minBytes, wellKnown } = rules.type.value;
  return minLen > 0n || minBytes > 0n || wellKnown.case === "uuid";
}

/** The keywords of a field's rules. */
export function keywordsOf(rules: FieldRules | undefined): RuleKeywords {
  if (rules === undefined) return { keywords: {}, words: [] };
  const words = rules.cel.map(({ message }) => sentence(message)).filter((text) => text !== "");
  const { keywords, words: more } = typeKeywords(rules);
  if (rules.ignore === Ignore.IF_ZERO_VALUE) words.push("Zero means that it is not given.");
  return { keywords, words: [...words, ...more] };
}

function sentence(text: string): string {
  if (text === "") return "";
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

function typeKeywords({ type }: FieldRules): RuleKeywords {
  switch (type.case) {
    case "string":
      return stringKeywords(type.value);
    case "bytes":
      return {
        keywords: {},
        words: sizeWords(given(type.value, "minLen"), given(type.value, "maxLen")),
      };
    case "repeated":
      return { keywords: repeatedKeywords(type.value), words: [] };
    case "map":
      return { keywords: mapKeywords(type.value), words: [] };
    case "duration":
      return { keywords: {}, words: durationWords(type.value) };
    case undefined:
    case "bool":
    case "enum":
    case "any":
    case "fieldMask":
    case "timestamp":
      return { keywords: {}, words: [] };
    default:
      return { keywords: numberKeywords(type.value), words: [] };
  }
}

const formats: Readonly<Record<string, string>> = {
  email: "email",
  hostname: "hostname",
  ipv4: "ipv4",
  ipv6: "ipv6",
  uri: "uri",
  uriRef: "uri-reference",
  uuid: "uuid",
};

function stringKeywords(rules: StringRules): RuleKeywords {
  const { wellKnown } = rules;
  const maxBytes = given(rules, "maxBytes");
  const notContains = given(rules, "notContains");
  const keywords = defined({
    minLength: numberOf(given(rules, "minLen")),
    // A character takes a byte at least, so this holds too.
    maxLength: numberOf(given(rules, "maxLen") ?? maxBytes),
    pattern: given(rules, "pattern"),
    format: wellKnown.case === undefined ? undefined : formats[wellKnown.case],
    const: given(rules, "const"),
    enum: rules.in.length === 0 ? undefined : [...rules.in],
  });
  const words = sizeWords(given(rules, "minBytes"), maxBytes);
  if (notContains !== undefined) words.push(`Without ${JSON.stringify(notContains)}.`);
  return { keywords, words };
}

function sizeWords(min: bigint | undefined, max: bigint | undefined): string[] {
  const words: string[] = [];
  if (min !== undefined && min > 0n) words.push(`At least ${min} bytes.`);
  if (max !== undefined) words.push(`At most ${max} bytes.`);
  return words;
}

interface NumberRules {
  readonly greaterThan: {
    readonly case: string | undefined;
    readonly value?: number | bigint | undefined;
  };
  readonly lessThan: {
    readonly case: string | undefined;
    readonly value?: number | bigint | undefined;
  };
}

function numberKeywords({ greaterThan, lessThan }: NumberRules): JsonObject {
  const low = greaterThan.value === undefined ? undefined : Number(greaterThan.value);
  const high = lessThan.value === undefined ? undefined : Number(lessThan.value);
  return defined({
    minimum: greaterThan.case === "gte" ? low : undefined,
    exclusiveMinimum: greaterThan.case === "gt" ? low : undefined,
    maximum: lessThan.case === "lte" ? high : undefined,
    exclusiveMaximum: lessThan.case === "lt" ? high : undefined,
  });
}

const boundWords: Readonly<Record<string, string>> = {
  gt: "More than",
  gte: "At least",
  lt: "Less than",
  lte: "At most",
};

function durationWords({ greaterThan, lessThan }: DurationRules): string[] {
  return [greaterThan, lessThan].flatMap(({ case: bound, value }) =>
    bound === undefined
      ? []
      : [`${boundWords[bound]} ${Number(value.seconds) + value.nanos / 1e9} s.`],
  );
}

function repeatedKeywords(rules: RepeatedRules): JsonObject {
  return defined({
    minItems: numberOf(given(rules, "minItems")),
    maxItems: numberOf(given(rules, "maxItems")),
    uniqueItems: given(rules, "unique") === true ? true : undefined,
  });
}

function mapKeywords(rules: MapRules): JsonObject {
  const { keywords } = keywordsOf(rules.keys);
  return defined({
    minProperties: numberOf(given(rules, "minPairs")),
    maxProperties: numberOf(given(rules, "maxPairs")),
    propertyNames: Object.keys(keywords).length === 0 ? undefined : keywords,
  });
}

// Rules have their defaults, zeros, on the prototype: only an own property was set.
function given<Rules extends object, Name extends keyof Rules>(
  rules: Rules,
  name: Name,
): Rules[Name] | undefined {
  return Object.hasOwn(rules, name) ? rules[name] : undefined;
}

function numberOf(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

// The entries that have a value.
function defined(entries: Readonly<Record<string, JsonValue | undefined>>): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(entries)) if (value !== undefined) kept[key] = value;
  return kept;
}
