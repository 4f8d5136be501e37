// What E2B's clients send to be written: one file as the body, or several as a form, each as large as it may be. Small
// ones are written together, as one message; a large one by itself, while it comes.
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { FileService } from "@syla/contract/syla/sandbox/v1/file";
import { type CallContext, callerLeft } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { Refusal } from "./errors.ts";
import { absolute, inside } from "./home.ts";
import { formFiles } from "./multipart.ts";

/** What writes files. */
export interface Writers {
  readonly files: Client<typeof FileService>;
}

interface Upload {
  /** Where, as E2B's user says it. */
  readonly path: string;
  readonly content: AsyncIterable<Buffer>;
}

/** Of one file in one message of the contract. */
const messageBytesMax = 4 * 1024 ** 2;
const messageFilesMax = 1000;

/** Writes what a request brings, and answers the paths of what was written. */
export async function writeUploads(
  writers: Writers,
  request: { readonly raw: IncomingMessage; readonly context: CallContext },
  target: { readonly sandbox: string; readonly path: string },
): Promise<string[]> {
  const { raw, context: parent } = request;
  const { sandbox } = target;
  const written: string[] = [];
  const batch = new Batch();
  const flush = async () => {
    if (batch.files.length === 0) return;
    await writers.files.writeFiles({ sandbox, files: batch.take() }, { parent });
  };
  for await (const { path, content } of uploadsOf(raw, target.path)) {
    written.push(path);
    const [begin, rest] = await beginning(content);
    if (rest !== undefined) {
      await flush();
      const upload = uploadOf(sandbox, inside(path), rest);
      await writers.files.uploadFile(upload, { parent });
      continue;
    }
    if (!batch.hasRoom(begin.length)) await flush();
    batch.add(path, begin);
  }
  await flush();
  if (written.length === 0) throw new Refusal("invalid_argument", "the form has no file");
  return written;
}

async function* uploadOf(sandbox: string, path: string, content: AsyncIterable<Buffer>) {
  yield { sandbox, path };
  for await (const data of content) yield { data };
}

class Batch {
  files: { path: string; body: { case: "contentBase64"; value: Uint8Array } }[] = [];
  #bytes = 0;

  hasRoom(bytes: number): boolean {
    return this.files.length < messageFilesMax && this.#bytes + bytes <= messageBytesMax;
  }

  add(path: string, value: Uint8Array): void {
    this.files.push({ path: inside(path), body: { case: "contentBase64", value } });
    this.#bytes += value.length;
  }

  take() {
    const { files } = this;
    this.files = [];
    this.#bytes = 0;
    return files;
  }
}

/** All of a small content, or of a large one nothing but the way to all of it. */
async function beginning(
  content: AsyncIterable<Buffer>,
): Promise<[begin: Buffer, rest: AsyncIterable<Buffer> | undefined]> {
  const iterator = content[Symbol.asyncIterator]();
  const parts: Buffer[] = [];
  let bytes = 0;
  for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
    parts.push(step.value);
    bytes += step.value.length;
    if (bytes > messageBytesMax) return [Buffer.alloc(0), joined(parts, iterator)];
  }
  return [Buffer.concat(parts), undefined];
}

async function* joined(
  parts: readonly Buffer[],
  iterator: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer> {
  yield* parts;
  for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
    yield step.value;
  }
}

async function* uploadsOf(raw: IncomingMessage, path: string): AsyncGenerator<Upload> {
  const body = bodyOf(raw);
  try {
    yield* uploadsIn(body, raw.headers["content-type"] ?? "", path);
  } finally {
    await body.return(undefined);
  }
}

async function* uploadsIn(
  body: AsyncIterable<Buffer>,
  type: string,
  path: string,
): AsyncGenerator<Upload> {
  if (!/^multipart\/form-data\s*;/i.test(type)) {
    if (path === "") throw new Refusal("invalid_argument", "path is required");
    yield { path: absolute(path), content: body };
    return;
  }
  let isFirst = true;
  for await (const file of formFiles(type, "file", body)) {
    if (path !== "" && !isFirst) {
      throw new Refusal("invalid_argument", "a path is given for one file, and the form has more");
    }
    isFirst = false;
    yield { path: absolute(path === "" ? file.name : path), content: file.content };
  }
}

/** A request's body as it comes, unpacked. What of it nobody reads is dropped, so that the answer is read. */
async function* bodyOf(raw: IncomingMessage): AsyncGenerator<Buffer> {
  const encoding = raw.headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip") {
    const message = `Cannot unpack the body: expected Content-Encoding gzip, got ${encoding}.`;
    throw new SylaError("unsupported_media_type", message);
  }
  try {
    if (encoding === "identity") yield* chunksOf(raw);
    else yield* unpacked(raw);
  } finally {
    raw.unpipe();
    raw.resume();
  }
}

async function* unpacked(raw: IncomingMessage): AsyncGenerator<Buffer> {
  const unpack = createGunzip();
  raw.once("close", () => {
    if (!raw.complete) unpack.destroy(callerLeft());
  });
  try {
    yield* chunksOf(raw.pipe(unpack));
  } catch (cause) {
    if (cause instanceof SylaError) throw cause;
    throw new SylaError("invalid_request", "Cannot unpack the body: it is not gzip.", { cause });
  }
}

async function* chunksOf(stream: Readable): AsyncGenerator<Buffer> {
  // Destroying a request would take its connection, and with it the answer.
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    if (Buffer.isBuffer(chunk)) yield chunk;
  }
}
