// A stream of events as one answer: the field that ends the stream is the answer, and what events before it carried
// goes into its fields of the same name: output, joined, into `stdout` or, when it is not UTF-8, `stdout_base64`;
// a file into the list `artifacts`.
import { isUtf8 } from "node:buffer";
import {
  clone,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage, isReflectMessage } from "@bufbuild/protobuf/reflect";
import { SylaError } from "@syla/kit/error";

/** Output of one stream that is held, in bytes: what a run may print at most. Of more, the last is. */
const outputBytesMax = 16 * 1024 ** 2;
/** Files of one call that are held, in bytes; a run brings half of that at most. */
const itemBytesMax = 64 * 1024 ** 2;

/** Collects the events of one call. */
export class Fold {
  readonly #events: DescMessage;
  readonly #resultField: DescField & { readonly message: DescMessage };
  readonly #output = new Map<string, Output>();
  readonly #items = new Map<string, ReflectMessage[]>();
  #itemBytes = 0;
  #result: Message | undefined;

  constructor(events: DescMessage, resultField: string) {
    this.#events = events;
    this.#resultField = foldField(events, resultField);
  }

  /** Takes an event in; answers what it printed, if it did. */
  add(event: Message): string {
    const reflected = reflect(this.#events, event);
    let printed = "";
    for (const field of this.#events.fields) {
      if (field.oneof === undefined || field.fieldKind !== "message" || !reflected.isSet(field)) {
        continue;
      }
      const value = reflected.get(field);
      if (!isReflectMessage(value)) continue;
      if (field.name === this.#resultField.name) this.#result = value.message;
      else printed += this.#take(field.name, value);
    }
    return printed;
  }

  #take(name: string, value: ReflectMessage): string {
    const chunk = chunkOf(value);
    if (chunk === undefined) {
      this.#keep(name, value);
      return "";
    }
    const output = this.#output.get(name) ?? { chunks: [], bytes: 0 };
    this.#output.set(name, output);
    output.bytes += chunk.length;
    output.chunks.push(chunk);
    while (output.bytes > outputBytesMax) output.bytes -= output.chunks.shift()?.length ?? 0;
    return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString("utf8");
  }

  #keep(name: string, item: ReflectMessage): void {
    if (listField(this.#resultField.message, name, item.desc) === undefined) return;
    this.#itemBytes += toBinary(item.desc, item.message).length;
    if (this.#itemBytes > itemBytesMax) return;
    const items = this.#items.get(name) ?? [];
    this.#items.set(name, items);
    items.push(item);
  }

  /** The answer; throws when the stream ended without one. */
  result(): Message {
    const desc = this.#resultField.message;
    if (this.#result === undefined) {
      throw new SylaError("internal", "The call ended without an answer.");
    }
    // The event is one that others are told, too.
    const message = clone(desc, this.#result);
    const answer = reflect(desc, message);
    for (const [name, { chunks }] of this.#output) setOutput(answer, name, Buffer.concat(chunks));
    for (const [name, items] of this.#items) setItems(answer, name, items);
    return message;
  }
}

/** The field that ends a stream; throws when it cannot be one. */
export function foldField(
  events: DescMessage,
  name: string,
): DescField & { readonly message: DescMessage } {
  const field = events.fields.find((one) => one.name === name);
  if (field?.fieldKind !== "message" || field.oneof === undefined) {
    throw new Error(`Cannot answer with ${events.typeName}: ${name} is no event that ends it.`);
  }
  return field;
}

interface Output {
  readonly chunks: Uint8Array[];
  bytes: number;
}

// Bytes that were written are a message with a oneof of a text and of bytes.
function chunkOf(value: ReflectMessage): Uint8Array | undefined {
  const [oneof] = value.desc.oneofs;
  if (oneof === undefined || value.desc.fields.some((field) => field.oneof !== oneof)) {
    return undefined;
  }
  const field = value.oneofCase(oneof);
  if (field === undefined) return new Uint8Array();
  const data: unknown = value.get(field);
  if (typeof data === "string") return Buffer.from(data);
  return data instanceof Uint8Array ? data : undefined;
}

function setOutput(answer: ReflectMessage, name: string, bytes: Buffer): void {
  const text = scalarField(answer.desc, name, ScalarType.STRING);
  const binary = scalarField(answer.desc, `${name}_base64`, ScalarType.BYTES);
  if (binary !== undefined && !isUtf8(bytes)) answer.set(binary, new Uint8Array(bytes));
  else if (text !== undefined) answer.set(text, bytes.toString("utf8"));
}

function scalarField(desc: DescMessage, name: string, scalar: ScalarType) {
  const field = desc.fields.find((one) => one.name === name);
  return field?.fieldKind === "scalar" && field.scalar === scalar ? field : undefined;
}

function listField(desc: DescMessage, name: string, item: DescMessage) {
  const field = desc.fields.find((one) => one.name === `${name}s`);
  const isList = field?.fieldKind === "list" && field.listKind === "message";
  return isList && field.message === item ? field : undefined;
}

function setItems(answer: ReflectMessage, name: string, items: readonly ReflectMessage[]): void {
  const [first] = items;
  const field = first && listField(answer.desc, name, first.desc);
  if (field === undefined || answer.isSet(field)) return;
  const list = answer.get(field);
  for (const item of items) list.add(item);
}
