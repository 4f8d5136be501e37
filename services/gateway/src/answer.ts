// Writes answers. Heads are flat arrays of names and values, which Node writes without looking anything up, and the
// security headers are among them from the start: plugins that set them cost 37 us a request.
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { CallContext } from "@syla/kit/call";
import type { SylaError } from "@syla/kit/error";
import { problemHeaders, problemType, toProblem } from "./problem.ts";

/** What every answer says to a browser: guess no type, tell no referrer, run and frame nothing. */
export const securityHeaders: readonly string[] = [
  "X-Content-Type-Options",
  "nosniff",
  "Referrer-Policy",
  "no-referrer",
  "X-Frame-Options",
  "DENY",
  "Content-Security-Policy",
  "default-src 'none'; frame-ancestors 'none'",
];

/** What holds for all answers of a running gateway. */
export interface AnswerRules {
  readonly compressBytesMin: number;
  /** The gateway stops: connections are closed after their answers. */
  draining: boolean;
}

/** An answer, before it is written. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

type Encoding = "br" | "gzip";

const joinedCharsMax = 65_536;
const varies: readonly string[] = ["Vary", "Accept-Encoding"];
const compressGzip = promisify(gzip);
const compressBrotli = promisify(brotliCompress);
// Quality 11, the default, takes a hundred times as long for a tenth less.
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

/** Writes a whole answer, compressed when it is large and that is accepted. */
export function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  rules: AnswerRules,
): void {
  if (response.headersSent || response.destroyed) return;
  if (rules.draining) response.shouldKeepAlive = false;
  // A character takes at least a byte, so short texts need no counting here.
  const mayCompress = answer.text.length >= rules.compressBytesMin;
  const encoding = mayCompress ? chooseEncoding(request) : undefined;
  if (encoding !== undefined) {
    sendCompressed(request, response, answer, encoding).catch(() => response.destroy());
    return;
  }
  const body = asSent(answer.text);
  writeHead(response, answer, Buffer.byteLength(body), mayCompress ? varies : []);
  response.end(request.method === "HEAD" ? undefined : body);
}

// Node sends a text in one piece with the head, for which it copies it; a long one is made bytes once.
function asSent(text: string): string | Buffer {
  return text.length < joinedCharsMax ? text : Buffer.from(text);
}

function writeHead(
  response: ServerResponse,
  { status, contentType, headers }: Omit<Answer, "text">,
  bytes: number,
  more: readonly string[],
): void {
  // No content has no type and, by RFC 9110, must not tell a length.
  const body = status === 204 ? [] : ["Content-Type", contentType, "Content-Length", String(bytes)];
  response.writeHead(status, [...body, ...headers, ...more, ...securityHeaders]);
}

async function sendCompressed(
  request: IncomingMessage,
  response: ServerResponse,
  { text, ...answer }: Answer,
  encoding: Encoding,
): Promise<void> {
  const bytes = await compress(Buffer.from(text), encoding);
  if (response.headersSent || response.destroyed) return;
  writeHead(response, answer, bytes.byteLength, ["Content-Encoding", encoding, ...varies]);
  response.end(request.method === "HEAD" ? undefined : bytes);
}

function compress(bytes: Buffer, encoding: Encoding): Promise<Buffer> {
  return encoding === "br"
    ? compressBrotli(bytes, brotliOptions)
    : compressGzip(bytes, { level: 5 });
}

/** The compression that a client accepts, brotli before gzip; one with `q=0` is refused. */
export function chooseEncoding(request: IncomingMessage): Encoding | undefined {
  const header = request.headers["accept-encoding"];
  if (typeof header !== "string") return undefined;
  const refused = /;\s*q=0(?:\.0*)?\s*$/;
  const accepted = header
    .toLowerCase()
    .split(",")
    .filter((item) => !refused.test(item))
    .map((item) => item.split(";", 1)[0]?.trim());
  if (accepted.includes("br")) return "br";
  return accepted.includes("gzip") ? "gzip" : undefined;
}

const headerText = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The headers by which a call is followed, and those that its handler set. */
export function contextHeaders(context: CallContext): string[] {
  const headers = ["X-Request-Id", context.requestId, "Traceparent", context.traceparent];
  const more = context.responseHeadersIfSet;
  if (more === undefined) return headers;
  // Node refuses to write what could break out of a header; that must not cost the answer.
  for (const [name, value] of more) if (headerText.test(value)) headers.push(name, value);
  return headers;
}

/** Writes an error as problem+json. */
export function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  error: SylaError,
  place: { readonly context: CallContext; readonly bodyField?: string | undefined },
  rules: AnswerRules,
): void {
  const problem = toProblem(error, {
    instance: pathOf(request),
    requestId: place.context.requestId,
    bodyField: place.bodyField,
  });
  const headers = [
    ...contextHeaders(place.context),
    ...problemHeaders(error),
    "Cache-Control",
    "no-store",
  ];
  const text = JSON.stringify(problem);
  sendAnswer(
    request,
    response,
    { status: problem.status, contentType: problemType, text, headers },
    rules,
  );
}

/** The path of a request as it was sent, without its query. */
export function pathOf(request: IncomingMessage): string {
  const url = request.url ?? "/";
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}
