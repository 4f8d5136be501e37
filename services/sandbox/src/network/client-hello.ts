// The first message of a TLS client (RFC 8446, section 4.1.2): the name that it asks for, as far as it says it in the
// open. Reads what has come so far; what does not fit the protocol is malformed, and what would hide the name says so.

/** What is known of a client's first bytes. */
export type ClientHello =
  /** With fewer bytes than these it stays so. */
  | { readonly kind: "incomplete"; readonly bytesMin: number }
  | { readonly kind: "malformed" }
  | {
      readonly kind: "complete";
      /** As it was sent; undefined when it names none. */
      readonly serverName: string | undefined;
      /** It has a name, or may have one, that only the server can read. */
      readonly encrypted: boolean;
    };

const recordHeaderBytes = 5;
const recordBytesMax = 2 ** 14;
/** A message in pieces of a byte would only cost the reader. */
const recordsMax = 16;
const handshakeHeaderBytes = 4;
/** More than any client sends, keys for quantum computers included. */
const HELLO_BYTES_MAX = 2 ** 15;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
/** What it was called in drafts: no client of today sends it but to hide a name. */
const ENCRYPTED_SERVER_NAME = 0xffce;

const malformed = { kind: "malformed" } as const;

function incomplete(bytesMin: number) {
  return { kind: "incomplete", bytesMin } as const;
}

/** Reads the bytes that a client has sent until now. */
export function readClientHello(bytes: Buffer): ClientHello {
  const joined = joinRecords(bytes);
  if (joined.kind !== "whole") return joined;
  try {
    return readBody(new Reader(joined.message.subarray(handshakeHeaderBytes)));
  } catch (error) {
    if (error instanceof RangeError) return malformed;
    throw error;
  }
}

type Joined =
  | { readonly kind: "whole"; readonly message: Buffer }
  | { readonly kind: "incomplete"; readonly bytesMin: number }
  | { readonly kind: "malformed" };

/** The message out of the records that carry it. */
function joinRecords(bytes: Buffer): Joined {
  const parts: Buffer[] = [];
  let joined = 0;
  for (let at = 0, records = 0; ; records += 1) {
    if (records === recordsMax) return malformed;
    if (at < bytes.length && bytes[at] !== HANDSHAKE_RECORD) return malformed;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return malformed;
    if (at + recordHeaderBytes > bytes.length) return incomplete(at + recordHeaderBytes);
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > recordBytesMax) return malformed;
    at += recordHeaderBytes;
    if (at + length > bytes.length) return incomplete(at + length);
    parts.push(bytes.subarray(at, at + length));
    joined += length;
    at += length;
    if (joined < handshakeHeaderBytes) continue;
    const message = Buffer.concat(parts);
    const messageBytes = handshakeHeaderBytes + message.readUIntBE(1, 3);
    if (message[0] !== CLIENT_HELLO || messageBytes > HELLO_BYTES_MAX) return malformed;
    if (joined >= messageBytes)
      return { kind: "whole", message: message.subarray(0, messageBytes) };
  }
}

function readBody(body: Reader): ClientHello {
  body.skip(2 + 32); // version, random
  body.block(1); // session
  body.block(2); // ciphers
  body.block(1); // compression
  if (body.atEnd) return { kind: "complete", serverName: undefined, encrypted: false };
  const extensions = new Reader(body.block(2));
  if (!body.atEnd) return malformed;
  const seen = new Set<number>();
  let serverName: string | undefined;
  while (!extensions.atEnd) {
    const type = extensions.number(2);
    const content = new Reader(extensions.block(2));
    if (seen.has(type)) return malformed;
    seen.add(type);
    if (type === SERVER_NAME) serverName = readServerName(content);
  }
  const encrypted = seen.has(ENCRYPTED_CLIENT_HELLO) || seen.has(ENCRYPTED_SERVER_NAME);
  return { kind: "complete", serverName, encrypted };
}

/** RFC 6066, section 3. There is one kind of name; of more than one, servers could choose either. */
function readServerName(content: Reader): string {
  const list = new Reader(content.block(2));
  const kind = list.number(1);
  const name = list.block(2);
  if (kind !== 0 || name.length === 0 || !list.atEnd || !content.atEnd) {
    throw new RangeError("Cannot read the server's name");
  }
  return name.toString("latin1");
}

/** Takes from the front; throws RangeError beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new RangeError("Beyond the end");
    this.#at += count;
  }

  number(bytes: number): number {
    const at = this.#at;
    this.skip(bytes);
    return this.#bytes.readUIntBE(at, bytes);
  }

  /** What its length stands before, in so many bytes. */
  block(lengthBytes: number): Buffer {
    const length = this.number(lengthBytes);
    const at = this.#at;
    this.skip(length);
    return this.#bytes.subarray(at, at + length);
  }
}
