// Which pages may call from a browser. Closed by default: no header is sent, so a browser keeps a foreign page from
// reading answers, and from sending JSON at all, since that takes a preflight.
import type { IncomingMessage, ServerResponse } from "node:http";
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

/** Opens every surface to the pages of the listed origins; with none listed, nothing is registered. */
export function registerCors(fastify: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  fastify.addHook("onRequest", (request, reply, next) => {
    allowOrigin(origins, request.raw, reply.raw);
    if (!isPreflight(request.raw)) return next();
    reply.hijack();
    reply.raw.writeHead(204).end();
  });
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
