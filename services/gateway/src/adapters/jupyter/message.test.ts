import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  frameOf,
  type Message,
  MessageError,
  messageOf,
  packedProtocol,
  readBytes,
  readText,
} from "./message.ts";

const name = fc.string({ minLength: 1, maxLength: 20, unit: "binary" });
const json: fc.Arbitrary<JsonObject> = fc
  .dictionary(
    fc.string({ maxLength: 8 }).filter((key) => key !== "__proto__"),
    fc.jsonValue({ maxDepth: 2, noUnicodeString: false }),
    { maxKeys: 4 },
  )
  .map((value) => parseObject(JSON.stringify(value)));
const asClient = fc.constantFrom("shell" as const, "control" as const, "stdin" as const);

const message: fc.Arbitrary<Message> = fc
  .record({ channel: asClient, id: name, type: name, parent: json, content: json })
  .map(({ channel, id, type, parent, content }) => ({
    ...{ channel, parent, content },
    header: { msg_id: id.toWellFormed(), msg_type: type.toWellFormed(), session: "s" },
  }));

function parseObject(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

/** As it is after having been JSON. */
function plain(value: unknown): JsonObject {
  return parseObject(JSON.stringify(value));
}

function bytesOf(frame: string | Buffer): Buffer {
  assert.ok(Buffer.isBuffer(frame));
  return frame;
}

test("a message is the same after having been a frame, packed or as JSON", () => {
  fc.assert(
    fc.property(message, (one) => {
      const packed = bytesOf(frameOf(one, packedProtocol));
      assert.deepEqual(plain(readBytes(packed, packedProtocol)), plain(one));
      assert.deepEqual(plain(readText(String(frameOf(one, "")))), plain(one));
    }),
  );
});

test("a packed message is laid out as its protocol says: a count, offsets, the parts", () => {
  const one = messageOf("k", "iopub", "status", { msg_id: "p" }, { execution_state: "idle" });
  const frame = bytesOf(frameOf(one, packedProtocol));
  const word = (index: number) => Number(frame.readBigUInt64LE(8 * index));
  assert.equal(word(0), 6);
  const offsets = Array.from({ length: 6 }, (_, index) => word(index + 1));
  assert.equal(offsets[0], 8 * 7);
  assert.equal(offsets[5], frame.length);
  const parts = offsets
    .slice(0, 5)
    .map((from, index) => frame.subarray(from, offsets[index + 1]).toString());
  assert.deepEqual(parts, [
    "iopub",
    JSON.stringify(one.header),
    '{"msg_id":"p"}',
    "{}",
    '{"execution_state":"idle"}',
  ]);
});

test("bytes that are no message are refused and nothing else", () => {
  const refused = (read: () => unknown) => {
    try {
      read();
    } catch (thrown) {
      assert.ok(thrown instanceof MessageError, String(thrown));
    }
  };
  const good = bytesOf(
    frameOf(messageOf("k", "shell", "execute_request", {}, { code: "ü" }), packedProtocol),
  );
  const spoiled = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
    const copy = Buffer.from(good);
    copy[at] = byte;
    return copy;
  });
  const any = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(any, spoiled), fc.constantFrom("", packedProtocol), (bytes, protocol) => {
      refused(() => readBytes(bytes, protocol));
      refused(() => readText(bytes.toString("latin1")));
    }),
    { numRuns: 500 },
  );
});

test("a client's message has its identity, is on a channel of a client's, and is bounded", () => {
  const header = { msg_id: "1", msg_type: "kernel_info_request" };
  const read = (more: object) => readText(JSON.stringify({ header, ...more }));
  assert.deepEqual(read({}), { channel: "shell", header, parent: {}, content: {} });
  for (const wrong of [
    { channel: "iopub" },
    { channel: 1 },
    { header: { msg_id: "1" } },
    { header: { ...header, msg_id: "" } },
    { header: { ...header, msg_type: "x".repeat(300) } },
    { header: { ...header, more: "x".repeat(5000) } },
    { content: [] },
    { parent_header: "x" },
  ]) {
    assert.throws(() => read(wrong), MessageError, JSON.stringify(wrong).slice(0, 80));
  }
});

test("the older binary form, for messages with buffers, is read without them", () => {
  const header = { msg_id: "1", msg_type: "comm_msg" };
  const text = Buffer.from(JSON.stringify({ header, channel: "shell", content: { a: 1 } }));
  const head = Buffer.alloc(12);
  head.writeUInt32BE(2, 0);
  head.writeUInt32BE(12, 4);
  head.writeUInt32BE(12 + text.length, 8);
  const bytes = Buffer.concat([head, text, Buffer.from([1, 2, 3])]);
  assert.deepEqual(readBytes(bytes, "").content, { a: 1 });
});
