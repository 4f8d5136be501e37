import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { look, peek } from "./peek.ts";

const kind = (text: string): string => look(Buffer.from(text, "latin1")).kind;

test("look() tells HTTP from what is not, also after empty lines, and waits until it can", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["GET / HTTP/1.1\r\n", "http"],
    ["\r\n\n\r\nGET / HTTP/1.1\n", "http"],
    ["get\t/\thttp/1.0\r\n", "http"],
    ["PRI * HTTP/2.0\r\n", "http"],
    ["M-SEARCH * HTTP/1.1\r\n", "http"],
    ["EHLO example.com\r\n", "other"],
    ["SSH-2.0-client\r\n", "other"],
    ["\u0000\u0001\u0002", "other"],
    ['{"a": 1}', "other"],
    ["", "more"],
    ["GET / HTT", "more"],
    ["\r\n", "more"],
    [`GET /${"a".repeat(20_000)}`, "unclear"],
    ["\n".repeat(20_000), "unclear"],
    ["\u0016\u0003", "more"],
    ["\u0016\u0002\u0000\u0000\u0000", "unclear"],
  ];
  for (const [text, expected] of rows) assert.equal(kind(text), expected, JSON.stringify(text));
});

test("peek() leaves in the stream what it has seen, however it came", async () => {
  const stream = new PassThrough();
  const seen = peek(stream, new AbortController().signal);
  const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const letter of text) {
    stream.write(letter);
    await new Promise(setImmediate);
  }
  assert.deepEqual(await seen, { kind: "http" });
  stream.end("more");
  let read = "";
  for await (const part of stream) read += String(part);
  assert.equal(read, `${text}more`);
});

test("peek() gives up at the end of the stream, or when it is told to", async () => {
  const ended = new PassThrough();
  ended.end("GE");
  assert.deepEqual(await peek(ended, new AbortController().signal), { kind: "ended" });
  assert.deepEqual(await peek(new PassThrough(), AbortSignal.abort()), { kind: "ended" });
});
