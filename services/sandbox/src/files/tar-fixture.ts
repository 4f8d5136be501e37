// Archives for tests: entries in memory, and what a reader makes of bytes.
import { type ArchiveEntry, BLOCK_BYTES } from "./tar-header.ts";
import { readTar } from "./tar-read.ts";
import { writeTar } from "./tar-write.ts";

export interface Simple {
  readonly type: ArchiveEntry["type"];
  readonly path: string;
  readonly mode: number;
  readonly mtimeSeconds: number;
  readonly target: string;
  /** In latin1. */
  readonly content: string;
}

export function simple(path: string, more: Partial<Simple> = {}): Simple {
  return { type: "file", path, mode: 0o644, mtimeSeconds: 1, target: "", content: "", ...more };
}

export async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

export async function packed(entries: readonly Simple[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of writeTar(entriesOf(entries))) parts.push(part);
  return Buffer.concat(parts);
}

export async function* entriesOf(entries: readonly Simple[]): AsyncGenerator<ArchiveEntry> {
  for (const { path, target, content, ...rest } of entries) {
    const bytes = Buffer.from(content, "latin1");
    yield {
      ...{ ...rest, path: Buffer.from(path), target: Buffer.from(target) },
      ...{ sizeBytes: bytes.length, content: buffers(bytes) },
    };
  }
}

async function* buffers(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

export async function unpacked(source: AsyncIterable<Uint8Array>): Promise<Simple[]> {
  const found: Simple[] = [];
  for await (const { path, target, content, sizeBytes: _size, ...rest } of readTar(source)) {
    const parts: Buffer[] = [];
    if (rest.type === "file") for await (const part of content) parts.push(part);
    const text = Buffer.concat(parts).toString("latin1");
    found.push({ ...rest, path: path.toString(), target: target.toString(), content: text });
  }
  return found;
}

/** A header block with a right checksum, after a change; numbers are where ustar has them. */
export function changedHeader(tar: Buffer, change: (block: Buffer) => void): Buffer {
  const bytes = Buffer.from(tar);
  const block = bytes.subarray(0, BLOCK_BYTES);
  change(block);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}
