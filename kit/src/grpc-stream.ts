// What both ends of a gRPC stream do with Node's streams: wait while the peer does not read, and read what it sends
// without destroying the half that is still being written.
import type { Readable, Writable } from "node:stream";

/** Resolves when a stream whose `write` answered false takes more, or never will. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      for (const event of ends) stream.off(event, settle);
      resolve();
    };
    for (const event of ends) stream.on(event, settle);
    if (stream.destroyed) settle();
  });
}

const ends = ["drain", "close", "error", "cancelled"] as const;

/** The messages a stream receives, parsed, in order; ends quietly only when the sender ended it. */
export async function* received<T>(
  stream: Readable,
  parse: (chunk: unknown) => T,
): AsyncGenerator<T> {
  const chunks: AsyncIterable<unknown> = stream.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) yield parse(chunk);
}

/** Bytes as the Buffer that grpc-js asks for, without a copy. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
