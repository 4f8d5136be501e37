import assert from "node:assert/strict";
import { test } from "node:test";
import { formFiles } from "./multipart.ts";

async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function filesOf(type: string, body: AsyncIterable<Buffer>): Promise<[string, Buffer][]> {
  const found: [string, Buffer][] = [];
  for await (const { name, content } of formFiles(type, "file", body)) {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    found.push([name, Buffer.concat(parts)]);
  }
  return found;
}

const bytes = Buffer.from(Array.from({ length: 3000 }, (_, index) => (index * 7) % 256));
const form = new FormData();
form.append("other", "not a file");
form.append("file", new Blob([bytes]), 'a folder/ä "q".bin');
form.append("file", new Blob([]), "empty");
form.append("file", new Blob(["\r\n--x\r\n\r\n"]), "ends");
const response = new Response(form);
const type = response.headers.get("content-type") ?? "";
const body = Buffer.from(await response.arrayBuffer());

test("formFiles() tells a form's files, in whatever pieces they come", async () => {
  for (const length of [1, 2, 3, 7, 64, 1000, body.length]) {
    const found = await filesOf(type, pieces(body, length));
    assert.deepEqual(
      found.map(([name, content]) => [name, content.length]),
      [
        ['a folder/ä "q".bin', bytes.length],
        ["empty", 0],
        ["ends", 9],
      ],
    );
    assert.ok(found[0]?.[1].equals(bytes));
  }
});

test("formFiles() passes over what nobody read", async () => {
  const names: string[] = [];
  for await (const { name } of formFiles(type, "file", pieces(body, 10))) names.push(name);
  assert.equal(names.length, 3);
});

test("formFiles() refuses what is no whole form", async () => {
  const wrong: readonly (readonly [string, Buffer])[] = [
    ["multipart/form-data", body],
    [type, body.subarray(0, body.length - 10)],
    [type, Buffer.from("hello")],
    [type, Buffer.alloc(0)],
    ["multipart/form-data; boundary=x", Buffer.from(`--x\r\n${"a".repeat(20_000)}`)],
  ];
  for (const [contentType, content] of wrong) {
    await assert.rejects(filesOf(contentType, pieces(content, 100)), /as a form/);
  }
});
