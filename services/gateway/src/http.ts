// The HTTP/1.1 side of the shared port: Fastify as the router, bounds on heads, bodies and slow clients, and one
// shape of error for whatever goes wrong before or outside a route.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CallContext } from "@syla/kit/call";
import { type ErrorCode, SylaError, toSylaError } from "@syla/kit/error";
import { type FastifyInstance, fastify as createFastify } from "fastify";
import { type AnswerRules, pathOf, sendProblem } from "./answer.ts";
import type { GatewayConfig } from "./config.ts";
import { openContext } from "./context.ts";
import { foreignHost, ownHostCheck } from "./own-host.ts";
import { isPatient } from "./patience.ts";
import { problemAnswer } from "./problem.ts";
import { allowHeader, sendMethodNotAllowed } from "./rest.ts";
import { allowedVerbs, type RouteGroup } from "./routes.ts";

/** A log in pino's manner. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** The HTTP server, which does not listen itself: the shared port hands it its connections. */
export interface HttpSide {
  readonly fastify: FastifyInstance;
  readonly server: Server;
}

// A path longer than this cannot be, since a head is bounded; Fastify's own bound of 100 would answer 404.
const paramCharsMax = 16_384;

/** What is not for the router. */
export interface Front {
  /** Takes a request; answers whether it did. */
  take(request: IncomingMessage, response: ServerResponse): boolean;
  /** Whether a request on this socket is bounded by who took it, not by the time that it takes. */
  isPatient(socket: Socket): boolean;
}

/** Makes the HTTP server and its router. */
export function createHttp(
  config: GatewayConfig,
  answers: AnswerRules,
  log: Logger,
  front?: Front,
): HttpSide {
  let server: Server | undefined;
  const isOwnHost = ownHostCheck(config);
  const fastify = createFastify({
    logger: false,
    bodyLimit: config.bodyBytesMax,
    routerOptions: { maxParamLength: paramCharsMax },
    genReqId: () => "",
    exposeHeadRoutes: false,
    frameworkErrors: (_error, request, reply) => {
      reply.hijack();
      const error = new SylaError(
        "invalid_request",
        `Cannot read the path ${pathOf(request.raw)}.`,
      );
      const context = openContext(request.raw, reply.raw, "rest");
      sendProblem(request.raw, reply.raw, error, { context }, answers);
    },
    serverFactory: (handler) => {
      server = createServer(
        {
          maxHeaderSize: config.headerBytesMax,
          // The head is a part of the request; Node refuses to wait longer for it than for the whole.
          headersTimeout: Math.min(config.headersTimeoutMs, config.requestTimeoutMs),
          requestTimeout: config.requestTimeoutMs,
          keepAliveTimeout: config.keepAliveTimeoutMs,
          connectionsCheckingInterval: config.timeoutCheckMs,
          noDelay: true,
        },
        (request, response) => {
          // Whatever answers: nobody is to send another request to a gateway that stops.
          if (answers.draining) response.shouldKeepAlive = false;
          if (front?.take(request, response) === true) return;
          if (isOwnHost(request.headers.host)) handler(request, response);
          else sendForeignHost(request, response, answers);
        },
      );
      return server;
    },
    clientErrorHandler: (error: Error & { code?: string }, socket) => {
      if (error.code === lateCode && front?.isPatient(socket) === true) return;
      answerBadClient(error, socket);
    },
  });
  if (server === undefined) throw new Error("Cannot make the HTTP server: Fastify asked for none.");
  fastify.setErrorHandler((thrown, request, reply) => {
    reply.hijack();
    const error = fromFastify(thrown);
    if (error.code === "internal") log.error({ error: thrown }, "an HTTP request failed");
    const context = openContext(request.raw, reply.raw, "rest");
    sendProblem(request.raw, reply.raw, error, { context }, answers);
  });
  return { fastify, server };
}

function sendForeignHost(
  request: IncomingMessage,
  response: ServerResponse,
  answers: AnswerRules,
): void {
  const context = openContext(request, response, "rest");
  sendProblem(request, response, foreignHost(request.headers.host), { context }, answers);
}

/** Answers what no route takes: 405 where the path is there with another verb, else 404. */
export function registerNotFound(
  fastify: FastifyInstance,
  groups: readonly RouteGroup[],
  answers: AnswerRules,
): void {
  fastify.setNotFoundHandler((request, reply) => {
    reply.hijack();
    const path = pathOf(request.raw);
    const allowed = allowedVerbs(groups, path);
    if (allowed.length > 0 && request.method === "OPTIONS") {
      reply.raw.writeHead(204, { Allow: allowHeader(allowed) }).end();
      return;
    }
    const context = openContext(request.raw, reply.raw, "rest");
    if (allowed.length > 0) {
      return sendMethodNotAllowed(request.raw, reply.raw, context, allowed, answers);
    }
    const error = new SylaError("route_not_found", `There is nothing at ${path}.`);
    sendProblem(request.raw, reply.raw, error, { context }, answers);
  });
}

// Fastify's own errors name their HTTP status; what else was thrown is ours.
function fromFastify(thrown: unknown): SylaError {
  if (thrown instanceof SylaError || !(thrown instanceof Error) || !("statusCode" in thrown)) {
    return toSylaError(thrown);
  }
  if (thrown.statusCode === 413) return new SylaError("payload_too_large", thrown.message);
  if (thrown.statusCode === 415) return new SylaError("unsupported_media_type", thrown.message);
  if (typeof thrown.statusCode === "number" && thrown.statusCode < 500) {
    return new SylaError("invalid_request", thrown.message);
  }
  return toSylaError(thrown);
}

const lateCode = "ERR_HTTP_REQUEST_TIMEOUT";
const clientErrors: ReadonlyMap<string | undefined, readonly [code: ErrorCode, message: string]> =
  new Map([
    ["HPE_HEADER_OVERFLOW", ["headers_too_large", "The request's head is larger than allowed."]],
    [lateCode, ["request_timeout", "The request did not arrive in time."]],
  ]);

// There is no request yet, only a socket with something on it that is not one.
function answerBadClient(thrown: Error & { code?: string }, socket: Socket): void {
  if (thrown.code === "ERR_HTTP_REQUEST_TIMEOUT" && isPatient(socket)) return;
  if (thrown.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = clientErrors.get(thrown.code) ?? [
    "invalid_request",
    "What came is not an HTTP/1.1 request.",
  ];
  const { requestId } = new CallContext();
  socket.end(problemAnswer(new SylaError(code, message), { instance: undefined, requestId }));
}
