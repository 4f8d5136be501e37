// JSON requests of the Connect protocols, held against their shape before connect reads them, as on every other
// surface. connect's own reader stops at the first fault, names no pointer, and quotes what it found, which may be a
// secret.
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip } from "node:zlib";
import type { DescMethod } from "@bufbuild/protobuf";
import { invalidRequest } from "@syla/kit/validate";
import { parseJson } from "../body.ts";
import { shapeFaults } from "../shape.ts";

const jsonType = /^application\/(connect\+|grpc-web\+)?json\s*(?:;|$)/i;
/** A flag and a length stand before each message of a stream (https://connectrpc.com/docs/protocol). */
const envelopeBytes = 5;
const isCompressed = 1;

const unpackers = new Map([
  ["gzip", promisify(gunzip)],
  ["br", promisify(brotliDecompress)],
]);

/**
 * The body of a JSON request, which throws `invalid_request` or `invalid_json` when it is not what its method takes;
 * undefined when the body is no JSON, or there may be more than one message in it.
 */
export function checkedBody(
  method: DescMethod,
  request: IncomingMessage,
  bytesMax: number,
): AsyncIterable<Uint8Array> | undefined {
  const type = jsonType.exec(request.headers["content-type"] ?? "");
  const single = method.methodKind === "unary" || method.methodKind === "server_streaming";
  if (type === null || !single || request.method !== "POST") return undefined;
  return check(method, request, { enveloped: type[1] !== undefined, bytesMax });
}

interface Framing {
  readonly enveloped: boolean;
  readonly bytesMax: number;
}

async function* check(
  method: DescMethod,
  request: IncomingMessage,
  framing: Framing,
): AsyncGenerator<Uint8Array> {
  const read: Buffer[] = [];
  let bytes = 0;
  const chunks: AsyncIterable<Buffer> = request;
  for await (const chunk of chunks) {
    read.push(chunk);
    bytes += chunk.length;
    // connect refuses it for its size, and does not get to read it.
    if (bytes > framing.bytesMax + envelopeBytes) yield* read.splice(0);
  }
  const body = Buffer.concat(read);
  const text = body.length === bytes ? await textOf(body, request, framing) : undefined;
  if (text !== undefined) {
    const faults = shapeFaults(method.input, parseJson(text));
    if (faults.length > 0) throw invalidRequest(faults);
  }
  yield body;
}

/** The message's text; undefined when it is not there, which connect says better. */
async function textOf(
  body: Buffer,
  { headers }: IncomingMessage,
  { enveloped, bytesMax }: Framing,
): Promise<string | undefined> {
  const message = enveloped ? body.subarray(envelopeBytes) : body;
  const named = enveloped
    ? (headers["connect-content-encoding"] ?? headers["grpc-encoding"])
    : headers["content-encoding"];
  const packed = !enveloped || ((body[0] ?? 0) & isCompressed) !== 0;
  if (!packed || named === undefined || named === "identity") return message.toString();
  try {
    const unpacked = await unpackers.get(String(named))?.(message, { maxOutputLength: bytesMax });
    return unpacked?.toString();
  } catch {
    return undefined;
  }
}
