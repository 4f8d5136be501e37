// SOCKS version 5 (RFC 1928), as far as it is served: a connection by name or address, without authentication.
import type { Duplex } from "node:stream";
import { parseHost, type Target } from "./host.ts";
import { readBytes } from "./peek.ts";

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const NONE_ACCEPTABLE = 0xff;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;

/** How a request is answered. */
export const REPLY = {
  done: 0,
  refused: 2,
  unreachable: 4,
  noCommand: 7,
  noAddress: 8,
} as const;

/** Reads what is asked for; undefined when it is not a connection, and the stream is then ended. */
export async function readSocks(stream: Duplex): Promise<Target | undefined> {
  const greeting = await readBytes(stream, 2);
  const methods = greeting && (await readBytes(stream, greeting[1] || 1));
  if (greeting?.[0] !== VERSION || methods === undefined) return give(stream);
  if (!methods.includes(NO_AUTHENTICATION)) return give(stream, [VERSION, NONE_ACCEPTABLE]);
  stream.write(Buffer.from([VERSION, NO_AUTHENTICATION]));
  const head = await readBytes(stream, 4);
  if (head?.[0] !== VERSION) return give(stream);
  if (head[1] !== CONNECT) return give(stream, reply(REPLY.noCommand));
  const host = await readHost(stream, head[3]);
  const port = (await readBytes(stream, 2))?.readUInt16BE();
  const parsed = host === undefined ? undefined : parseHost(host);
  if (parsed === undefined || !port) return give(stream, reply(REPLY.noAddress));
  return { ...parsed, port };
}

async function readHost(stream: Duplex, kind: number | undefined): Promise<string | undefined> {
  if (kind === IPV4) return (await readBytes(stream, 4))?.join(".");
  if (kind === IPV6) {
    const groups = (await readBytes(stream, 16))?.toString("hex").match(/.{4}/g);
    return groups?.join(":");
  }
  const length = kind === NAME ? (await readBytes(stream, 1))?.[0] : undefined;
  return length ? (await readBytes(stream, length))?.toString("latin1") : undefined;
}

function give(stream: Duplex, last: readonly number[] = []): undefined {
  stream.end(Buffer.from(last));
  stream.resume();
}

/** An answer; which address the connection is from is not told. */
export function reply(code: number): readonly number[] {
  return [VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0];
}
