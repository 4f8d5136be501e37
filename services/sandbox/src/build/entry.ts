/**
 * A build as it is kept: what the compiler left at `.program`, and what it said. As bytes it begins with a hash of all
 * that follows, so that one that was cut short or changed on the disk is not taken for a program:
 *
 *   SHA-256 of the rest | u32 length of the head | head, JSON | the files' bytes | the output's bytes
 */
import { webcrypto } from "node:crypto";
import type { JailFile } from "../jail/frames.ts";

/** Something a compiler wrote; the warnings of a build are shown with every run of it. */
export interface Said {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
}

export interface Build {
  readonly files: readonly JailFile[];
  readonly said: readonly Said[];
}

interface Head {
  /** So that a file under another's name is found out. */
  readonly key: string;
  readonly files: readonly {
    readonly path: string;
    readonly mode: number;
    readonly bytes: number;
  }[];
  readonly said: readonly { readonly stream: Said["stream"]; readonly bytes: number }[];
}

const hashBytes = 32;
const lengthBytes = 4;
/** What a build takes beyond its contents. */
const entryBytes = 512;

export function buildBytes({ files, said }: Build): number {
  const contents = [...files.map(({ content }) => content), ...said.map(({ data }) => data)];
  return contents.reduce((sum, { length }) => sum + length + entryBytes, entryBytes);
}

export async function encodeBuild(key: string, { files, said }: Build): Promise<Buffer> {
  const head: Head = {
    key,
    files: files.map(({ path, mode = 0o644, content }) => ({ path, mode, bytes: content.length })),
    said: said.map(({ stream, data }) => ({ stream, bytes: data.length })),
  };
  const text = Buffer.from(JSON.stringify(head));
  const start = Buffer.alloc(hashBytes + lengthBytes);
  start.writeUInt32LE(text.length, hashBytes);
  const contents = [...files.map(({ content }) => content), ...said.map(({ data }) => data)];
  const bytes = Buffer.concat([start, text, ...contents]);
  bytes.set(await sha256(bytes.subarray(hashBytes)));
  return bytes;
}

/** Undefined when it is not what encodeBuild() made for this key. */
export async function decodeBuild(key: string, bytes: Buffer): Promise<Build | undefined> {
  const rest = bytes.subarray(hashBytes);
  if (rest.length < lengthBytes) return undefined;
  if (!(await sha256(rest)).equals(bytes.subarray(0, hashBytes))) return undefined;
  const end = lengthBytes + rest.readUInt32LE(0);
  const head = parseHead(rest.subarray(lengthBytes, end).toString("utf8"));
  if (head.key !== key) return undefined;
  let at = end;
  const take = (count: number): Buffer => rest.subarray(at, (at += count));
  return {
    files: head.files.map(({ path, mode, bytes: count }) => ({ path, mode, content: take(count) })),
    said: head.said.map(({ stream, bytes: count }) => ({ stream, data: take(count) })),
  };
}

/** The hash before it says that these are the bytes that encodeBuild() wrote. */
function parseHead(json: string): Head {
  return JSON.parse(json) as Head;
}

/** Not on this thread: a program of some megabytes takes as many milliseconds. */
async function sha256(bytes: Buffer): Promise<Buffer> {
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes));
}
