// Messages of Jupyter's protocol (https://jupyter-client.readthedocs.io/en/stable/messaging.html) on a WebSocket: as
// JSON, and packed by the subprotocol `v1.kernel.websocket.jupyter.org`. What a client sends is bounded and checked
// here; of its binary buffers, which belong to widgets, nothing is read.
import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { parseJson } from "../../adapters.ts";

export type Channel = "shell" | "control" | "stdin" | "iopub";

/** A message, whoever sends it. */
export interface Message {
  readonly channel: Channel;
  readonly header: JsonObject;
  /** The header of what it answers; empty when it answers nothing. */
  readonly parent: JsonObject;
  readonly content: JsonObject;
}

/** A frame is no message; its sender and this side do not agree on what is said. */
export class MessageError extends Error {
  override readonly name = "MessageError";
}

/** The subprotocol in which messages are packed. */
export const packedProtocol = "v1.kernel.websocket.jupyter.org";
/** The version of the messages themselves. */
export const protocolVersion = "5.3";

const wordBytes = 8;
const jsonParts = 5;
const buffersMax = 1024;
/** A header comes back in each message that answers it, and is kept while it may. */
const headerCharsMax = 4096;
const nameCharsMax = 256;

/** Makes a message of a kernel; the kernel's id stands for its own session. */
export function messageOf(
  kernel: string,
  channel: Channel,
  type: string,
  parent: JsonObject,
  content: JsonObject,
): Message {
  return { channel, header: headerOf(kernel, type), parent, content };
}

/** A header of a kernel's own. */
export function headerOf(kernel: string, type: string, id: string = randomUUID()): JsonObject {
  return {
    ...{ msg_id: id, msg_type: type, session: kernel, username: "syla" },
    ...{ date: new Date().toISOString(), version: protocolVersion },
  };
}

/** A message as the frame that a client of this subprotocol understands. */
export function frameOf(message: Message, protocol: string): string | Buffer {
  return protocol === packedProtocol ? pack(message) : JSON.stringify(jsonOf(message));
}

/** Reads a text frame; throws MessageError. */
export function readText(text: string): Message {
  return messageFrom(objectOf(parsed(text), "a message"));
}

/** Reads a binary frame of a client of this subprotocol; throws MessageError. */
export function readBytes(bytes: Buffer, protocol: string): Message {
  if (protocol === packedProtocol) return unpack(bytes);
  // The older form, for messages with buffers: how many parts there are, where each begins, JSON first.
  const count = bytes.length >= 4 ? bytes.readUInt32BE(0) : 0;
  if (count < 2 || count > buffersMax || bytes.length < 4 * (count + 1)) throw odd();
  const [start, end] = [bytes.readUInt32BE(4), bytes.readUInt32BE(8)];
  if (start < 4 * (count + 1) || end < start || end > bytes.length) throw odd();
  return readText(textFrom(bytes.subarray(start, end)));
}

function jsonOf({ channel, header, parent, content }: Message): JsonObject {
  const { msg_id = "", msg_type = "" } = header;
  const said = { header, msg_id, msg_type, parent_header: parent, content };
  return { ...said, metadata: {}, buffers: [], channel };
}

// A count of offsets, the offsets of the parts and of the end, the parts: channel, header, parent, metadata, content.
function pack({ channel, header, parent, content }: Message): Buffer {
  const json = [header, parent, {}, content].map((part) => Buffer.from(JSON.stringify(part)));
  const parts = [Buffer.from(channel), ...json];
  const offsets = parts.length + 1;
  const head = Buffer.alloc(wordBytes * (1 + offsets));
  head.writeBigUInt64LE(BigInt(offsets));
  let at = head.length;
  for (const [index, { length }] of [...parts, Buffer.alloc(0)].entries()) {
    head.writeBigUInt64LE(BigInt(at), wordBytes * (1 + index));
    at += length;
  }
  return Buffer.concat([head, ...parts]);
}

function unpack(bytes: Buffer): Message {
  const count = wordAt(bytes, 0);
  if (count < jsonParts + 1 || count > jsonParts + 1 + buffersMax) throw odd();
  const offsets = Array.from({ length: count }, (_, index) => wordAt(bytes, index + 1));
  let least = wordBytes * (1 + count);
  for (const offset of offsets) {
    if (offset < least || offset > bytes.length) throw odd();
    least = offset;
  }
  const textAt = (index: number) => textFrom(bytes.subarray(offsets[index], offsets[index + 1]));
  const [channel, header, parent, , content] = Array.from({ length: jsonParts }, (_, at) => {
    return at === 0 ? textAt(at) : parsed(textAt(at));
  });
  return messageFrom({
    ...{ channel: channel ?? null, header: header ?? null },
    ...{ parent_header: parent ?? null, content: content ?? null },
  });
}

function wordAt(bytes: Buffer, index: number): number {
  const at = wordBytes * index;
  if (at + wordBytes > bytes.length) throw odd();
  const word = bytes.readBigUInt64LE(at);
  return word <= BigInt(bytes.length) ? Number(word) : bytes.length + 1;
}

function textFrom(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new MessageError("A message is in UTF-8.");
  return bytes.toString("utf8");
}

function parsed(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch {
    throw new MessageError("A message is JSON.");
  }
}

function messageFrom(json: JsonObject): Message {
  const header = objectOf(json["header"], "a header");
  for (const name of ["msg_id", "msg_type"]) {
    const text = header[name];
    if (typeof text !== "string" || text === "" || text.length > nameCharsMax) {
      throw new MessageError(`A header has ${name}, a text of 1 to ${nameCharsMax} characters.`);
    }
  }
  const parent = objectOf(json["parent_header"] ?? {}, "a parent header");
  if (JSON.stringify(header).length > headerCharsMax) {
    throw new MessageError(`A header has ${headerCharsMax} characters at most.`);
  }
  const content = objectOf(json["content"] ?? {}, "the content");
  return { channel: channelOf(json["channel"] ?? "shell"), header, parent, content };
}

function channelOf(value: JsonValue): Channel {
  if (value === "shell" || value === "control" || value === "stdin") return value;
  throw new MessageError("A client's message is on shell, control or stdin.");
}

function objectOf(value: JsonValue | undefined, what: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new MessageError(`Of a message ${what} is an object.`);
}

function odd(): MessageError {
  return new MessageError("A packed message's offsets are not in it.");
}

/** The text of a field, or none. */
export function textIn(content: JsonObject, name: string): string {
  const value = content[name];
  return typeof value === "string" ? value : "";
}
