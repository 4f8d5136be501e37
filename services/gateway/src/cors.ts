// Which pages may call from a browser. Closed by default: no header is sent, so a browser keeps a foreign page from
// reading answers, and from sending JSON at all, since that takes a preflight. What takes none, as a request without a
// body, is refused here: on loopback there may be no key that a foreign page would lack.
import type { IncomingMessage, ServerResponse } from "node:http";
import { SylaError } from "@syla/kit/error";
import type { FastifyInstance } from "fastify";

const preflightAgeSeconds = "7200";

const requestHeaders = [
  "Accept",
  "Authorization",
  "Connect-Protocol-Version",
  "Connect-Timeout-Ms",
  "Content-Encoding",
  "Content-Type",
  "Grpc-Timeout",
  "Idempotency-Key",
  "If-Match",
  "If-None-Match",
  "Last-Event-ID",
  "Mcp-Protocol-Version",
  "Mcp-Session-Id",
  "Range",
  "Traceparent",
  "X-API-Key",
  "X-Auth-Token",
  "X-Auth-User",
  "X-Grpc-Web",
  "X-Request-Id",
  "X-Request-Timeout",
  "X-User-Agent",
  "X-XSRFToken",
].join(", ");

const answerHeaders = [
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Range",
  "ETag",
  "Grpc-Message",
  "Grpc-Status",
  "Grpc-Status-Details-Bin",
  "Location",
  "Mcp-Session-Id",
  "Retry-After",
  "Traceparent",
  "X-Request-Id",
].join(", ");

// Whether a page of this origin may call.
function isOriginAllowed(origins: readonly string[], origin: string | undefined): boolean {
  if (origin === undefined) return false;
  return origins.includes("*") || origins.includes(origin);
}

/** Opens every surface to the pages of the listed origins, and closes what changes anything to all others. */
export function registerCors(fastify: FastifyInstance, origins: readonly string[]): void {
  fastify.addHook("onRequest", (request, reply, next) => {
    if (origins.length > 0) allowOrigin(origins, request.raw, reply.raw);
    if (origins.length > 0 && isPreflight(request.raw)) {
      reply.hijack();
      reply.raw.writeHead(204).end();
      return;
    }
    next(isForeignChange(origins, request.raw) ? foreignPage(request.raw) : undefined);
  });
}

const reading: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

// A page of the sandboxes' own, which has no origin that it may name, is foreign, too.
function isForeignChange(
  origins: readonly string[],
  { method = "GET", headers }: IncomingMessage,
): boolean {
  const { origin, host } = headers;
  if (origin === undefined || reading.has(method) || isOriginAllowed(origins, origin)) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

function foreignPage({ headers }: IncomingMessage): SylaError {
  const origin = (headers.origin ?? "").slice(0, 200);
  const message = `Cannot take this from a page of ${origin}: add it to the allowed origins.`;
  return new SylaError("origin_not_allowed", message);
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
}

function allowOrigin(
  origins: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { origin } = request.headers;
  response.appendHeader("Vary", "Origin");
  if (origin === undefined || !isOriginAllowed(origins, origin)) return;
  response.setHeader("Access-Control-Allow-Origin", origin);
  response.setHeader("Access-Control-Expose-Headers", answerHeaders);
  if (!isPreflight(request)) return;
  response.setHeader(
    "Access-Control-Allow-Methods",
    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
  );
  response.setHeader("Access-Control-Allow-Headers", requestHeaders);
  response.setHeader("Access-Control-Max-Age", preflightAgeSeconds);
}
