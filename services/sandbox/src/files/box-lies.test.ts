// What is said in the place of `box`, as a tenant can who stops it and writes to its streams: it costs the call, and
// never more of the platform than was asked for.
import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { Channel } from "../jail/channels.ts";
import { Box, FileError, type StartBox } from "./box.ts";

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const text = (value: string) => Buffer.concat([u32(value.length), Buffer.from(value)]);
const entry = (kind: string, path: string) =>
  Buffer.concat([Buffer.from(kind), u32(0o644), Buffer.alloc(16), text(path), text("")]);
const fault = (path: string) => Buffer.concat([Buffer.from("e"), u32(13), text(path)]);
const piece = Buffer.concat([u32(65_536), Buffer.alloc(65_536)]);
const end = Buffer.alloc(1);

/** A box that says this, and then whatever comes of the second as often as it says. */
function boxThatSays(first: Buffer, again: Buffer, times: number): Box {
  const start: StartBox = (_argv, _options, listener) => {
    const channel = new Channel(0, () => undefined, listener);
    const say = async () => {
      listener.output("stdout", first);
      for (let time = 0; time < times; time += 1) {
        listener.output("stdout", again);
        await new Promise((resolve) => setImmediate(resolve));
      }
      listener.output("stdout", end);
    };
    void say();
    return channel;
  };
  return new Box(start);
}

const isProtocol = (error: unknown) =>
  error instanceof FileError && error.errno === constants.errno.EPROTO;

test("read() takes no more than it asked for", async () => {
  const { content } = await boxThatSays(entry("f", "x"), piece, 40).read("x", 1024 ** 2);
  let bytes = 0;
  await assert.rejects(async () => {
    for await (const part of content) bytes += part.length;
  }, isProtocol);
  assert.equal(bytes, 1024 ** 2);
});

test("list() takes no more entries than it asked for, and no more faults than there are folders", async () => {
  const entries = boxThatSays(Buffer.alloc(0), entry("f", "x"), 200);
  await assert.rejects(entries.list("/work", 1, 100), isProtocol);
  const faults = boxThatSays(Buffer.alloc(0), fault("/work/x"), 300);
  await assert.rejects(faults.list("/work", 1, 100), isProtocol);
});

test("list() is cut where its paths are too long for one answer", async () => {
  const many = Buffer.concat(Array.from({ length: 100 }, () => entry("f", "x".repeat(4000))));
  const { entries, truncated } = await boxThatSays(Buffer.alloc(0), many, 90).list("/", 1, 10_000);
  assert.ok(truncated);
  assert.equal(entries.length, Math.floor((16 * 1024 ** 2) / 4000));
});

test("stat() and write() take one answer for each thing", async () => {
  const box = () => boxThatSays(Buffer.alloc(0), entry("f", "x"), 10);
  await assert.rejects(box().stat("x"), isProtocol);
  await assert.rejects(
    box().write([{ path: "x", content: Buffer.from("x"), mode: 0 }]),
    isProtocol,
  );
});

test("pack() takes no more entries than it asked for, and no more of a file than it has", async () => {
  const all = async (box: Box) => {
    for await (const { content } of box.pack("/work", 10)) for await (const _ of content);
  };
  await assert.rejects(all(boxThatSays(Buffer.alloc(0), entry("d", "x"), 20)), isProtocol);
  await assert.rejects(all(boxThatSays(entry("f", "x"), piece, 3)), isProtocol);
});
