// What an interpreter says of its cells: JSON objects, a line each, on a stream of its own. They come from where a
// tenant's code runs, which can write there too; so each is taken apart here, everything in it has a bound, and what
// does not fit ends the interpreter and nothing else.
import { isUtf8 } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import {
  type CellError,
  CellErrorSchema,
  type CellResult,
  CellResultSchema,
  type ExpressionValue,
  ExpressionValueSchema,
  type InputRequest,
  InputRequestSchema,
  type MimePart,
  MimePartSchema,
} from "@syla/contract/syla/session/v1/cell";

/** One thing said. */
export type Word =
  | { readonly kind: "ready" }
  | { readonly kind: "started"; readonly cell: number; readonly count: number | undefined }
  | { readonly kind: "result" | "update"; readonly result: CellResult }
  | { readonly kind: "clear"; readonly wait: boolean }
  | { readonly kind: "input"; readonly request: InputRequest }
  | { readonly kind: "error"; readonly error: CellError }
  | { readonly kind: "expression"; readonly value: ExpressionValue }
  | { readonly kind: "ended"; readonly cell: number; readonly outcome: Outcome }
  | { readonly kind: "reply"; readonly to: number; readonly body: Fields };

/** How an interpreter says that a cell ended. */
export type Outcome = "ok" | "error" | "interrupted";

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

/** What was said is no word. */
export class WordError extends Error {
  override readonly name = "WordError";
}

const partsMax = 32;
const tracebackMax = 1000;
const textMax = 65_536;
const nameMax = 256;
const mimeShape =
  /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}(?:; ?[a-z0-9=._-]{1,64})?$/i;

/** Puts lines together from pieces. */
export class Words {
  readonly #bytesMax: number;
  /** What has come of a word, with room for more: pieces can be of a byte each, and each takes more than that. */
  #held: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The words that are whole with this piece; throws WordError at what is none. */
  *take(piece: Buffer): Generator<{ readonly word: Word; readonly bytes: number }> {
    let from = 0;
    for (;;) {
      const end = piece.indexOf(10, from);
      const part = piece.subarray(from, end === -1 ? piece.length : end);
      if (this.#bytes + part.length > this.#bytesMax) {
        throw new WordError("it said more at once than it may");
      }
      if (end === -1) return this.#hold(part);
      from = end + 1;
      let line = part;
      if (this.#bytes > 0) {
        this.#hold(part);
        line = this.#held.subarray(0, this.#bytes);
        this.#held = Buffer.alloc(0);
        this.#bytes = 0;
      }
      yield { word: parseWord(line), bytes: line.length };
    }
  }

  #hold(part: Buffer): void {
    const bytes = this.#bytes + part.length;
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(2 * bytes, this.#bytesMax));
      this.#held.copy(larger, 0, 0, this.#bytes);
      this.#held = larger;
    }
    part.copy(this.#held, this.#bytes);
    this.#bytes = bytes;
  }
}

/** Reads one word; throws WordError. */
export function parseWord(line: Buffer): Word {
  const fields = parseObject(line);
  switch (fields["say"]) {
    case "ready":
      return { kind: "ready" };
    case "started": {
      const count = fields["count"] === undefined ? undefined : whole(fields, "count");
      return { kind: "started", cell: whole(fields, "cell"), count };
    }
    case "result":
    case "update":
      return { kind: fields["say"], result: resultOf(fields) };
    case "clear":
      return { kind: "clear", wait: fields["wait"] === true };
    case "input":
      return { kind: "input", request: inputOf(fields) };
    case "error":
      return { kind: "error", error: errorOf(fields) };
    case "expression":
      return { kind: "expression", value: expressionOf(fields) };
    case "ended":
      return { kind: "ended", cell: whole(fields, "cell"), outcome: outcomeOf(fields) };
    case "reply":
      return { kind: "reply", to: whole(fields, "to"), body: fields };
    default:
      throw new WordError("it said what is no word");
  }
}

/** The forms of a thing: text, and bytes for media types that are not text. */
export function partsOf(forms: unknown): MimePart[] {
  if (!isObject(forms)) throw new WordError("it showed something without forms");
  const entries = Object.entries(forms);
  if (entries.length > partsMax) throw new WordError(`it showed more than ${partsMax} forms`);
  return entries.map(([mimeType, data]) => partOf(mimeType, data));
}

/** The text of a field, cut to a length; empty when it has none. */
export function textOf(fields: Fields, name: string, charactersMax = textMax): string {
  const value = fields[name];
  if (typeof value !== "string") return "";
  return wellFormed(value.length > charactersMax ? value.slice(0, charactersMax) : value);
}

/** The texts of a list, cut to a number and a length. */
export function textsOf(fields: Fields, name: string, countMax: number): string[] {
  const value = fields[name];
  if (!Array.isArray(value)) return [];
  const texts = value.filter((one): one is string => typeof one === "string");
  return texts.slice(0, countMax).map((one) => wellFormed(one.slice(0, textMax)));
}

/** A whole number from 0 that a message can hold. */
export function whole(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31) {
    return value;
  }
  throw new WordError(`it said no number for ${name}`);
}

function parseObject(line: Buffer): Fields {
  if (!isUtf8(line)) throw new WordError("it said what is not UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch {
    throw new WordError("it said what is not JSON");
  }
  if (!isObject(value)) throw new WordError("it said what is no object");
  return value;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function partOf(mimeType: string, data: unknown): MimePart {
  if (!mimeShape.test(mimeType)) throw new WordError("it showed a form with no media type");
  if (typeof data === "string") {
    return create(MimePartSchema, { mimeType, data: { case: "text", value: wellFormed(data) } });
  }
  if (isObject(data) && typeof data["base64"] === "string") {
    const value = Buffer.from(data["base64"], "base64");
    return create(MimePartSchema, { mimeType, data: { case: "base64", value } });
  }
  throw new WordError(`it showed a form ${mimeType} that is neither text nor bytes`);
}

function resultOf(fields: Fields): CellResult {
  const parts = partsOf(fields["forms"]);
  if (!parts.some(({ mimeType }) => mimeType === "text/plain")) {
    parts.unshift(partOf("text/plain", ""));
  }
  return create(CellResultSchema, {
    main: fields["main"] === true,
    parts,
    displayId: textOf(fields, "displayId", nameMax),
    metadataJson: metadataOf(fields),
  });
}

function metadataOf({ metadata }: Fields): string {
  return isObject(metadata) && Object.keys(metadata).length > 0 ? JSON.stringify(metadata) : "";
}

function expressionOf(fields: Fields): ExpressionValue {
  const name = textOf(fields, "name", nameMax);
  if (isObject(fields["error"])) {
    return create(ExpressionValueSchema, { name, error: errorOf(fields["error"]) });
  }
  const parts = partsOf(fields["forms"]);
  return create(ExpressionValueSchema, { name, parts, metadataJson: metadataOf(fields) });
}

function inputOf(fields: Fields): InputRequest {
  return create(InputRequestSchema, {
    prompt: textOf(fields, "prompt"),
    password: fields["password"] === true,
  });
}

function errorOf(fields: Fields): CellError {
  return create(CellErrorSchema, {
    name: textOf(fields, "name", nameMax) || "Error",
    message: textOf(fields, "message"),
    traceback: textsOf(fields, "traceback", tracebackMax),
  });
}

function outcomeOf(fields: Fields): Outcome {
  const value = fields["outcome"];
  if (value === "ok" || value === "error" || value === "interrupted") return value;
  throw new WordError("it said no outcome of a cell");
}

/** Half a surrogate pair cannot be sent on. */
function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}
