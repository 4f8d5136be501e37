// A tool's answer in two forms: structured, as every JSON surface has it but for bytes, and as content that a model
// reads: texts as they are, the other facts a line each, images as images, and what is neither as an attachment.
import { isUtf8 } from "node:buffer";
import type { DescField, DescMessage, JsonObject, JsonValue, Message } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { toJsonText } from "../json.ts";
import { isObject } from "./rpc.ts";

/** The result of a tool that did its work. */
export interface ToolAnswer {
  readonly content: JsonObject[];
  readonly structuredContent: JsonObject;
}

/** What a model reads of one text, in characters; the structured form has it whole. */
const textCharsMax = 64 * 1024;
/** A larger image is an attachment; models take none of more than about 5 MB. */
const imageBytesMax = 4 * 1024 ** 2;

/** Fields whose texts are read as they are, with what stands above each. */
const texts: Readonly<Record<string, string>> = { stdout: "", stderr: "stderr:\n", content: "" };

/** Of messages with many fields, those worth a line; of the others, all. */
const toldFields: Readonly<Record<string, readonly string[]>> = {
  "syla.execution.v1.Execution": [
    ...["status", "exit_code", "signal", "error_type", "error_message"],
    ...["stdout_truncated", "stderr_truncated", "artifacts"],
  ],
  "syla.sandbox.v1.Sandbox": [
    ...["id", "status", "language", "version", "metadata"],
    ...["expires_at", "end_reason", "end_message"],
  ],
  "syla.sandbox.v1.Process": [
    ...["id", "command", "args", "tag", "running", "exit_code", "signal", "end_reason"],
  ],
  "syla.session.v1.Session": [
    ...["id", "status", "language", "version", "sandbox", "directory"],
    ...["metadata", "end_reason", "end_message"],
  ],
  "syla.session.v1.Cell": [
    ...["status", "execution_count", "results", "error", "input_request"],
    ...["stdout_truncated", "stderr_truncated"],
  ],
};

const implicitPresence = 2;

interface Found {
  /** The message that has the bytes. */
  readonly holder: JsonObject;
  readonly name: string;
  readonly bytes: Buffer;
}

/** Presents an answer. */
export function toolAnswer(desc: DescMessage, message: Message): ToolAnswer {
  const structuredContent = parseObject(JSON.parse(toJsonText(desc, message)));
  const found: Found[] = [];
  takeBytes(desc, structuredContent, found);
  const blocks = Object.entries(texts).flatMap(([name, above]) => {
    const text = structuredContent[name];
    return typeof text === "string" && text !== "" ? [above + bounded(text)] : [];
  });
  const lines = linesOf(desc, structuredContent).join("\n");
  if (lines !== "") blocks.push(bounded(lines));
  const attached = found.map(attachment);
  if (blocks.length === 0 && attached.length === 0) blocks.push("Done.");
  return { content: [...blocks.map(textBlock), ...attached], structuredContent };
}

/** A text as content. */
export function textBlock(text: string): JsonObject {
  return { type: "text", text };
}

// A message's JSON is an object.
function parseObject(json: unknown): JsonObject {
  return json as JsonObject;
}

/** The beginning and the end of a text that is long. */
function bounded(text: string): string {
  if (text.length <= textCharsMax) return text;
  const half = textCharsMax / 2;
  const left = text.length - textCharsMax;
  const [head, tail] = [text.slice(0, half), text.slice(-half)];
  return `${head}\n[... ${left} characters are left out here ...]\n${tail}`.toWellFormed();
}

// Takes bytes out of a message's JSON, to be content of their own.
function takeBytes(desc: DescMessage, json: JsonObject, found: Found[]): void {
  for (const field of desc.fields) {
    const value = json[field.jsonName];
    if (field.fieldKind === "scalar" && field.scalar === ScalarType.BYTES) {
      if (typeof value === "string" && value !== "") {
        const name = nameOf(json) ?? field.name.replace(/_base64$/, "");
        found.push({ holder: json, name, bytes: Buffer.from(value, "base64") });
      }
      delete json[field.jsonName];
    } else if (field.message !== undefined && !isWellKnown(field.message)) {
      const inner = Array.isArray(value) ? value : [value];
      for (const one of inner) if (isObject(one)) takeBytes(field.message, one, found);
    }
  }
}

function isWellKnown(desc: DescMessage): boolean {
  return desc.typeName.startsWith("google.protobuf.");
}

// What an artifact is called, or a file that was read.
function nameOf(json: JsonObject): string | undefined {
  const { name, entry } = json;
  const path = isObject(entry) ? entry["path"] : name;
  return typeof path === "string" && path !== "" ? path : undefined;
}

function attachment({ holder, name, bytes }: Found): JsonObject {
  const mimeType = imageType(bytes);
  // Half an image is none.
  const isWhole = holder["truncated"] !== true;
  if (mimeType !== undefined && isWhole && bytes.length <= imageBytesMax) {
    return { type: "image", data: bytes.toString("base64"), mimeType };
  }
  if (isUtf8(bytes) && !bytes.includes(0)) {
    return textBlock(`${name}:\n${bounded(bytes.toString("utf8"))}`);
  }
  const path = name.split("/").map(encodeURIComponent).join("/");
  const declared = holder["mimeType"];
  const otherType = typeof declared === "string" ? declared : "application/octet-stream";
  const resource = {
    uri: `syla:${path}`,
    mimeType: mimeType ?? otherType,
    blob: bytes.toString("base64"),
  };
  return { type: "resource", resource };
}

const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const jpeg = Buffer.from([0xff, 0xd8, 0xff]);

// By what they begin with: a name is the program's word.
function imageType(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, png.length).equals(png)) return "image/png";
  if (bytes.subarray(0, jpeg.length).equals(jpeg)) return "image/jpeg";
  if (/^GIF8[79]a$/.test(bytes.toString("latin1", 0, 6))) return "image/gif";
  const isWebp = bytes.toString("latin1", 0, 4) === "RIFF";
  return isWebp && bytes.toString("latin1", 8, 12) === "WEBP" ? "image/webp" : undefined;
}

// A line for each fact; a list of messages has one for each of them.
function linesOf(desc: DescMessage, json: JsonObject): string[] {
  return factsOf(desc, json).flatMap(({ field, value }) => {
    const { message } = field;
    if (message === undefined || isWellKnown(message)) return [lineOf(field, value)];
    if (isObject(value) && field.fieldKind === "message") return linesOf(message, value);
    if (!Array.isArray(value) || field.fieldKind !== "list") return [lineOf(field, value)];
    const items = value.filter(isObject).map((item) => `- ${rowOf(message, item)}`);
    return [`${field.jsonName}:`, ...items];
  });
}

function rowOf(desc: DescMessage, json: JsonObject): string {
  return factsOf(desc, json)
    .map(({ field, value }) => lineOf(field, value))
    .join(", ");
}

function lineOf(field: DescField, value: JsonValue): string {
  return `${field.jsonName}: ${textOf(field, value)}`;
}

function textOf(field: DescField, value: JsonValue): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return JSON.stringify(value);
  const isForms = field.message?.fields.some(({ name }) => name === "mime_type") === true;
  if (isForms) return simplestOf(value.filter(isObject));
  const isTrace = field.name === "traceback" && value.every((line) => typeof line === "string");
  return isTrace ? `\n${value.join("\n")}` : JSON.stringify(value);
}

// Of one thing in several forms, what can be read; that there is another is told by its type.
function simplestOf(forms: readonly JsonObject[]): string {
  const readable = forms.filter(({ text }) => typeof text === "string");
  const plain = readable.find(({ mimeType }) => mimeType === "text/plain") ?? readable[0];
  const others = forms.filter((form) => form !== plain);
  const types = others.flatMap(({ mimeType }) => (typeof mimeType === "string" ? [mimeType] : []));
  const text = plain?.["text"];
  const told = typeof text === "string" ? [text] : [];
  return [...told, ...(types.length === 0 ? [] : [`[${types.join(", ")}]`])].join(" ");
}

interface Fact {
  readonly field: DescField;
  readonly value: JsonValue;
}

function factsOf(desc: DescMessage, json: JsonObject): Fact[] {
  const told = toldFields[desc.typeName];
  return desc.fields.flatMap((field) => {
    const value = json[field.jsonName];
    if (value === undefined || Object.hasOwn(texts, field.name)) return [];
    if (told !== undefined && !told.includes(field.name)) return [];
    return isNothing(field, value) ? [] : [{ field, value }];
  });
}

// An exit code of 0 says something, because it need not be there.
function isNothing(field: DescField, value: JsonValue): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isObject(value)) return Object.keys(value).length === 0;
  if (field.presence !== implicitPresence) return false;
  return value === "" || value === 0 || value === "0" || value === false;
}
