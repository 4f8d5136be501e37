// The first bytes of a connection, looked at and put back: what it speaks, and whom it asks for.
import type { Duplex } from "node:stream";
import { readClientHello } from "./client-hello.ts";

/** What a client begins with. */
export type Opening =
  | { readonly kind: "tls"; readonly serverName: string | undefined; readonly encrypted: boolean }
  | { readonly kind: "http" }
  /** Something else. */
  | { readonly kind: "other" }
  /** It cannot be told what, and is not to be guessed. */
  | { readonly kind: "unclear" }
  /** It ended before it was clear. */
  | { readonly kind: "ended" };

type Look = Opening | { readonly kind: "more"; readonly bytesMin: number };

const requestLineBytesMax = 16_384;
const TLS_HANDSHAKE = 22;

/** What the bytes until now are the beginning of. */
export function look(bytes: Buffer): Look {
  if (bytes.length === 0) return { kind: "more", bytesMin: 1 };
  if (bytes[0] === TLS_HANDSHAKE) return lookAtTls(bytes);
  // Servers overlook empty lines before a request.
  const from = bytes.findIndex((byte) => byte !== 0x0d && byte !== 0x0a);
  if (from === -1) return more(bytes);
  const end = bytes.indexOf(0x0a, from);
  const line = bytes.toString("latin1", from, end === -1 ? undefined : end);
  if (!/^[A-Za-z!#$%&'*+.^_`|~-]{0,40}(?:$|[ \t])/.test(line)) return { kind: "other" };
  if (end === -1) return more(bytes);
  return /[ \t]HTTP\/\d/i.test(line) ? { kind: "http" } : { kind: "other" };
}

function more(bytes: Buffer): Look {
  if (bytes.length >= requestLineBytesMax) return { kind: "unclear" };
  return { kind: "more", bytesMin: bytes.length + 1 };
}

function lookAtTls(bytes: Buffer): Look {
  const hello = readClientHello(bytes);
  if (hello.kind === "incomplete") return { kind: "more", bytesMin: hello.bytesMin };
  if (hello.kind === "malformed") return { kind: "unclear" };
  return { kind: "tls", serverName: hello.serverName, encrypted: hello.encrypted };
}

/** Waits until it is clear what a client speaks; what it sent is then in the stream again. */
export function peek(stream: Duplex, signal: AbortSignal): Promise<Opening> {
  const { promise, resolve } = Promise.withResolvers<Opening>();
  const parts: Buffer[] = [];
  let bytes = 0;
  let bytesMin = 1;
  const settle = (opening: Opening) => {
    stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
    signal.removeEventListener("abort", onEnd);
    if (bytes > 0 && !stream.readableEnded) stream.unshift(Buffer.concat(parts));
    resolve(opening);
  };
  const onEnd = () => settle({ kind: "ended" });
  const onReadable = () => {
    for (let part = take(stream); part !== undefined; part = take(stream)) {
      parts.push(part);
      bytes += part.length;
    }
    if (bytes < bytesMin) return;
    const seen = look(Buffer.concat(parts));
    if (seen.kind === "more") bytesMin = seen.bytesMin;
    else settle(seen);
  };
  stream.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
  signal.addEventListener("abort", onEnd);
  if (signal.aborted || stream.destroyed) onEnd();
  return promise;
}

function take(stream: Duplex): Buffer | undefined {
  const part: unknown = stream.read();
  return Buffer.isBuffer(part) ? part : undefined;
}

/** Reads exactly so many bytes, for protocols that say how many come; undefined when it ends before. */
export function readBytes(stream: Duplex, count: number): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const settle = (found: Buffer | undefined) => {
    stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
    resolve(found);
  };
  const onEnd = () => settle(undefined);
  const onReadable = () => {
    const found: unknown = stream.read(count);
    if (Buffer.isBuffer(found)) settle(found.length === count ? found : undefined);
  };
  stream.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
  if (stream.destroyed || stream.readableEnded) onEnd();
  else onReadable();
  return promise;
}
