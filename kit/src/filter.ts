// The filter of list methods: comparisons joined by AND, a subset of https://google.aip.dev/160. It is parsed into
// values that a store passes as parameters, never into text of a statement.
//
//   filter     = comparison { "AND" comparison }
//   comparison = field ( "=" | "!=" ) ( "quoted \"text\"" | word )
import { SylaError } from "./error.ts";

/** One comparison of a filter. */
export interface Comparison {
  /** One of the allowed fields, or of the form that an allowed `prefix.*` gives. */
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

export interface FilterOptions {
  /** Which fields may be compared; `metadata.*` allows every key below `metadata`. */
  readonly fields: readonly string[];
}

const lengthMax = 2000;
const comparisonsMax = 20;

const tokenShape =
  /\s*(?:(?<operator>!=|=)|"(?<quoted>(?:[^"\\]|\\.)*)"|(?<word>[\p{L}\p{N}_.:/+-]+))/uy;

interface Token {
  readonly kind: "operator" | "quoted" | "word" | "end";
  readonly text: string;
  /** Where it begins, from 1. */
  readonly position: number;
}

/** Parses a filter; "" has no comparisons. Throws `invalid_filter` saying what is wrong at which position. */
export function parseFilter(filter: string, options: FilterOptions): Comparison[] {
  if (filter.length > lengthMax) {
    throw new SylaError(
      "invalid_filter",
      `Cannot read the filter: it has ${filter.length} characters, more than ${lengthMax}.`,
    );
  }
  const tokens = tokenize(filter);
  const comparisons: Comparison[] = [];
  if (tokens[0]?.kind === "end") return comparisons;
  for (let index = 0; ; index += 4) {
    if (comparisons.length === comparisonsMax) {
      throw wrong(tokens[index], `at most ${comparisonsMax} comparisons`);
    }
    comparisons.push(readComparison(tokens.slice(index, index + 3), options.fields));
    const joint = tokens[index + 3];
    if (joint?.kind === "end") return comparisons;
    if (joint?.kind !== "word" || joint.text !== "AND") throw wrong(joint, "AND or the end");
  }
}

function readComparison(tokens: readonly Token[], fields: readonly string[]): Comparison {
  const [field, operator, value] = tokens;
  if (field?.kind !== "word" || !isAllowed(field.text, fields)) {
    throw wrong(field, `a field (one of ${fields.join(", ")})`);
  }
  if (operator?.kind !== "operator") throw wrong(operator ?? field, "= or !=");
  if (value?.kind !== "quoted" && value?.kind !== "word") throw wrong(value ?? operator, "a value");
  return { field: field.text, operator: operator.text === "=" ? "=" : "!=", value: value.text };
}

function isAllowed(name: string, fields: readonly string[]): boolean {
  return fields.some((field) => {
    if (!field.endsWith(".*")) return field === name;
    const prefix = field.slice(0, -1);
    return name.startsWith(prefix) && name.length > prefix.length;
  });
}

function tokenize(filter: string): Token[] {
  const tokens: Token[] = [];
  const shape = new RegExp(tokenShape);
  let end = 0;
  for (let match = shape.exec(filter); match !== null; match = shape.exec(filter)) {
    tokens.push(toToken(match));
    end = shape.lastIndex;
  }
  const rest = filter.slice(end).trimStart();
  const position = filter.length - rest.length + 1;
  if (rest === "") return [...tokens, { kind: "end", text: "", position }];
  const unclosed = rest.startsWith('"');
  throw wrong(
    { kind: "end", text: rest.slice(0, 1), position },
    unclosed ? "the quoted text to end" : "a field, a value, =, != or AND",
  );
}

function toToken(match: RegExpExecArray): Token {
  const { operator, quoted, word = "" } = match.groups ?? {};
  const position = match.index + match[0].length - match[0].trimStart().length + 1;
  if (operator !== undefined) return { kind: "operator", text: operator, position };
  if (quoted === undefined) return { kind: "word", text: word, position };
  return { kind: "quoted", text: quoted.replaceAll(/\\(.)/gsu, "$1"), position };
}

function wrong(token: Token | undefined, expected: string): SylaError {
  const found = token === undefined || token.text === "" ? "the end" : JSON.stringify(token.text);
  return new SylaError(
    "invalid_filter",
    `Cannot read the filter at position ${token?.position ?? 1}: expected ${expected}, found ${found}.`,
  );
}
