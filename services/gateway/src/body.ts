// Reads a request's body: bounded in both its packed and its unpacked form, of the media type that is understood, and
// text that is really UTF-8.
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { JsonValue } from "@bufbuild/protobuf";
import { callerLeft } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { keyMissing } from "@syla/kit/local-access";
import { findRepeatedKey } from "./repeated-key.ts";

const unpack = promisify(gunzip);
/** Of whoever does not bring the key where that is asked for: enough for what is signed, and to be told. */
const strangerBytesMax = 16_384;
const strangers = new WeakSet<IncomingMessage>();

/** Bounds what is read of a request whose sender is not known: what reads it has no price for them. */
export function markStranger(request: IncomingMessage): void {
  strangers.add(request);
}

/** Its sender has brought something else than the key. */
export function vouchFor(request: IncomingMessage): void {
  strangers.delete(request);
}

/** A body as it comes, of which of a stranger no more is read than may be, and nothing packed. */
export async function* boundedFor(request: IncomingMessage): AsyncGenerator<Buffer> {
  const { headers } = request;
  const names = ["content-encoding", "connect-content-encoding", "grpc-encoding"];
  if (names.some((name) => (headers[name] ?? "identity") !== "identity")) throw keyMissing();
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > strangerBytesMax) throw keyMissing();
    yield chunk;
  }
}

/** Whether it is marked. */
export function isStranger(request: IncomingMessage): boolean {
  return strangers.has(request);
}

function boundOf(request: IncomingMessage, bytesMax: number): Bound {
  if (!strangers.has(request)) return { bytesMax, refusal: () => tooLarge(bytesMax) };
  return { bytesMax: Math.min(bytesMax, strangerBytesMax), refusal: keyMissing };
}

interface Bound {
  readonly bytesMax: number;
  /** Of more than that. */
  readonly refusal: () => SylaError;
}
const jsonType = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;

// Whether a request says that it has a body.
function hasBody(request: IncomingMessage): boolean {
  const length = request.headers["content-length"];
  return (
    (length !== undefined && length !== "0") || request.headers["transfer-encoding"] !== undefined
  );
}

/** The JSON of a request's body; undefined when there is none. */
export async function readJson(
  request: IncomingMessage,
  bytesMax: number,
): Promise<JsonValue | undefined> {
  if (!hasBody(request)) return undefined;
  const bound = boundOf(request, bytesMax);
  const packed = await readBytes(request, bound);
  if (packed.byteLength === 0) return undefined;
  const type = request.headers["content-type"];
  if (type === undefined || !jsonType.test(type)) {
    const got = type === undefined ? "nothing" : JSON.stringify(type);
    const message = `Cannot read the body: expected Content-Type application/json, got ${got}.`;
    throw new SylaError("unsupported_media_type", message);
  }
  const bytes = await unpacked(packed, request.headers["content-encoding"], bound);
  if (!isUtf8(bytes)) throw new SylaError("invalid_json", "Cannot read the body: it is not UTF-8.");
  return parseJson(bytes.toString("utf8"));
}

/** A request's body as bytes, unpacked; none when there is none. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  if (!hasBody(request)) return Buffer.alloc(0);
  const bound = boundOf(request, bytesMax);
  const packed = await readBytes(request, bound);
  return unpacked(packed, request.headers["content-encoding"], bound);
}

/** JSON from its text; throws `invalid_json`, also when an object has a key twice. */
export function parseJson(text: string): JsonValue {
  const value = parseText(text);
  const repeated = findRepeatedKey(text);
  if (repeated === undefined) return value;
  const key = JSON.stringify(repeated.slice(0, 100)).toWellFormed();
  throw new SylaError(
    "invalid_json",
    `Cannot read the body as JSON: an object has the key ${key} twice.`,
  );
}

function parseText(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (thrown) {
    const said = thrown instanceof SyntaxError ? thrown.message : "it is not JSON";
    // It quotes what is around the fault, which may be a secret.
    const why = said.replace(/, (?:\.{3})?"[^]*"(?:\.{3})? is not valid JSON$/, "");
    throw new SylaError("invalid_json", `Cannot read the body as JSON: ${why.toWellFormed()}.`);
  }
}

function tooLarge(bytesMax: number): SylaError {
  return new SylaError("payload_too_large", `Cannot take the body: it is over ${bytesMax} bytes.`);
}

// The bytes of a body as they come; `payload_too_large` as soon as they are too many.
function readBytes(request: IncomingMessage, { bytesMax, refusal }: Bound): Promise<Buffer> {
  if (Number(request.headers["content-length"]) > bytesMax) return Promise.reject(refusal());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = () => {
      request.off("data", onData).off("end", onEnd).off("close", onGone).off("error", onGone);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes <= bytesMax) return void chunks.push(chunk);
      stop();
      // The rest is read and dropped, so that the client, still sending, gets to read the answer.
      request.resume();
      reject(refusal());
    };
    const onEnd = () => {
      stop();
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes));
    };
    const onGone = () => {
      stop();
      reject(callerLeft());
    };
    request.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  });
}

async function unpacked(
  bytes: Buffer,
  encoding: string | undefined,
  { bytesMax, refusal }: Bound,
): Promise<Buffer> {
  if (encoding === undefined || encoding.toLowerCase() === "identity") return bytes;
  if (encoding.toLowerCase() !== "gzip") {
    const message = `Cannot unpack the body: expected Content-Encoding gzip, got ${JSON.stringify(encoding)}.`;
    throw new SylaError("unsupported_media_type", message);
  }
  try {
    return await unpack(bytes, { maxOutputLength: bytesMax });
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code === "ERR_BUFFER_TOO_LARGE") throw refusal();
    throw new SylaError("invalid_json", "Cannot unpack the body: it is not gzip.");
  }
}
