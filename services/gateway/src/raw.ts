// Methods whose point is bytes, over REST: the bytes are the body of the request or of the answer, just as they are, at
// the pace of both sides and without a bound of the gateway's own. Which methods those are, the contract says by what
// it has anyway (syla/body/v1/body.proto): `response_body` names a field of bytes of a stream's messages, or `body` one
// of a stream of requests.
//
// An answer that fails after its head was sent breaks its connection off, so that no client takes it for whole.
import type { IncomingMessage, ServerResponse } from "node:http";
import { create, type DescField, type Message, ScalarType } from "@bufbuild/protobuf";
import { type BodyHead, BodyHeadSchema, ByteRangeSchema } from "@syla/contract/syla/body/v1/body";
import { type CallContext, callerLeft } from "@syla/kit/call";
import type { BoundMethod } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { type AnswerRules, contextHeaders, securityHeaders } from "./answer.ts";
import { patientBody } from "./patience.ts";
import type { RestRoute } from "./routes.ts";
import { waitForRoom } from "./sse.ts";

/** One call whose answer is bytes. */
export interface RawCall {
  readonly route: RestRoute;
  readonly message: Message;
  readonly context: CallContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** What holds for all answers of bytes. */
export interface RawRules {
  readonly answers: AnswerRules;
  /** For how long a client may take nothing. */
  readonly streamStallMs: number;
}

/** The field of a method's requests that is the body, where it is bytes of any number. */
export function rawRequestField({ method, binding }: RestRoute): DescField | undefined {
  const { body } = binding;
  const streams = method.desc.methodKind === "client_streaming";
  return streams && body.kind === "field" && isBytes(body.field) ? body.field : undefined;
}

/** The field of a method's answers that is the body, where it is bytes of any number. */
export function rawResponseField({ method, responseField }: RestRoute): DescField | undefined {
  const streams = method.desc.methodKind === "server_streaming";
  return streams && responseField !== undefined && isBytes(responseField)
    ? responseField
    : undefined;
}

/** The field of a method's request that says which part of the bytes is wanted. */
export function rangeField({ desc }: BoundMethod): DescField | undefined {
  return desc.input.fields.find(({ message }) => message?.typeName === ByteRangeSchema.typeName);
}

function isBytes(field: DescField): boolean {
  return field.fieldKind === "scalar" && field.scalar === ScalarType.BYTES;
}

/** The requests that a body makes: the message with what the path and the query say, and then one for each piece. */
export async function* rawRequests(
  field: DescField,
  message: Message,
  request: IncomingMessage,
  stallMs: number,
): AsyncGenerator<Message> {
  yield message;
  try {
    for await (const data of patientBody(request, stallMs)) {
      yield create(field.parent, { [field.localName]: data });
    }
  } catch (thrown) {
    throw request.complete ? thrown : callerLeft();
  }
}

/** Throws where a body is packed: what is to be unpacked is not known to be less than what may be kept. */
export function refusePacked({ headers }: IncomingMessage): void {
  const encoding = headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (encoding === "identity") return;
  const message = `Cannot take a body that is packed as ${encoding}: send it as it is.`;
  throw new SylaError("unsupported_media_type", message);
}

const rangeShape = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/;

/** The part that `Range` asks for (RFC 9110, 14.2). Several parts, or what cannot be read, is all of it. */
export function requestedRange({ headers, method }: IncomingMessage): Message | undefined {
  const match = method === "GET" ? rangeShape.exec(headers.range ?? "") : null;
  if (match === null || headers["if-range"] !== undefined) return undefined;
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    return Number(suffix) === 0 ? undefined : create(ByteRangeSchema, { start: -BigInt(suffix) });
  }
  const start = BigInt(first ?? 0);
  if (last === undefined) return create(ByteRangeSchema, { start });
  const length = BigInt(last) - start + 1n;
  return length < 1n ? undefined : create(ByteRangeSchema, { start, length });
}

/** Answers a call with its bytes; throws what went wrong before the first of them. */
export async function sendRaw(
  field: DescField,
  { route, message, context, request, response }: RawCall,
  { answers, streamStallMs }: RawRules,
): Promise<void> {
  const messages = route.method.stream?.(message, context)[Symbol.asyncIterator]();
  if (messages === undefined) return;
  const isRange = requestedRange(request) !== undefined && rangeField(route.method) !== undefined;
  try {
    let next = await messages.next();
    if (answers.draining) response.shouldKeepAlive = false;
    writeHead(response, context, next.done === true ? undefined : headIn(next.value), isRange);
    if (request.method === "HEAD") return void response.end();
    for (; next.done !== true; next = await messages.next()) {
      const data = dataIn(field, next.value);
      if (response.destroyed) return;
      if (data.length === 0 || response.write(data)) continue;
      await waitForRoom(response, streamStallMs);
    }
    response.end();
  } catch (thrown) {
    if (!response.headersSent) throw thrown;
    response.destroy();
  } finally {
    void messages.return?.();
  }
}

function writeHead(
  response: ServerResponse,
  context: CallContext,
  head: BodyHead | undefined,
  isRange: boolean,
): void {
  const { contentType = "", name = "", sizeBytes, start = 0n, lengthBytes } = head ?? {};
  const headers = ["Content-Type", contentType || "application/octet-stream"];
  // Never as something to show: it is somebody's word, and this is not their address.
  headers.push("Content-Disposition", disposition(name));
  headers.push("Cache-Control", "no-store, no-transform", "X-Accel-Buffering", "no");
  if (lengthBytes !== undefined) headers.push("Content-Length", String(lengthBytes));
  const isPart = isRange && sizeBytes !== undefined && lengthBytes !== undefined;
  if (isPart) {
    headers.push("Content-Range", `bytes ${start}-${start + lengthBytes - 1n}/${sizeBytes}`);
  }
  if (sizeBytes !== undefined) headers.push("Accept-Ranges", "bytes");
  headers.push(...contextHeaders(context), ...securityHeaders);
  response.writeHead(isPart ? 206 : 200, headers);
  response.flushHeaders();
}

// RFC 6266: the name in ASCII, and as it is.
function disposition(name: string): string {
  if (name === "") return "attachment";
  const plain = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, "_");
  const whole = encodeURIComponent(name.toWellFormed()).replaceAll(/['()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
  return `attachment; filename="${plain}"; filename*=UTF-8''${whole}`;
}

// The message's type, which names its fields, is only known at run time.
function parseFields(message: Message): Readonly<Record<string, unknown>> {
  return message;
}

function headIn(message: Message): BodyHead | undefined {
  return Object.values(parseFields(message)).find(isHead);
}

function isHead(value: unknown): value is BodyHead {
  const isMessage = typeof value === "object" && value !== null && "$typeName" in value;
  return isMessage && value.$typeName === BodyHeadSchema.typeName;
}

function dataIn(field: DescField, message: Message): Uint8Array {
  const data = parseFields(message)[field.localName];
  return data instanceof Uint8Array ? data : new Uint8Array();
}
