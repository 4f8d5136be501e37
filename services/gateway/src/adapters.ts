// Other products' APIs, spoken by translators. An adapter is a table of routes whose handlers call the contract's
// methods by a typed client, hence through the one chain of interceptors, and answer in the product's own shapes,
// errors included. Everything that a request owes the gateway is done here, once for all of them: bounds on bodies,
// request id and trace, the caller's deadline and its leaving, Retry-After, security headers, compression, draining.
//
// Routes are registered with the same router as everything else: no other request passes through here.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import { CallContext, callerLeft } from "@syla/kit/call";
import { type SylaError, toSylaError } from "@syla/kit/error";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { WebSocketServer } from "ws";
import { type AnswerRules, contextHeaders, securityHeaders, sendAnswer } from "./answer.ts";
import { readBody, readJson, vouchFor } from "./body.ts";
import { NodeHeaders, openContext, parseTimeout } from "./context.ts";
import type { HttpSide } from "./http.ts";
import { openPeer, type Peer } from "./peer.ts";
import { problemHeaders } from "./problem.ts";
import { waitForRoom } from "./sse.ts";
import { type FindUpgrade, onUpgrade, type SocketRules } from "./upgrade.ts";

export { parseJson } from "./body.ts";
export type { Peer } from "./peer.ts";

/** One product's API. */
export interface Adapter {
  /** How logs name the surface, for example `piston`. */
  readonly name: string;
  /** Where its routes begin; several when the product is known at several places. */
  readonly prefixes: readonly string[];
  readonly routes: readonly AdapterRoute[];
  /** Only requests with this header (in lower case) are for it; its paths may then be those of others, too. */
  readonly header?: string;
  /** How the product tells an error, whatever it was that failed. */
  explain(error: SylaError): WholeReply;
  /** Who takes a WebSocket handshake at a path. */
  readonly findUpgrade?: FindUpgrade;
  /** Who serves the WebSockets at a path; the context of one ends with it. */
  findSocket?(path: string): ServeSocket | undefined;
  /** Throws why a handshake is refused. */
  admitSocket?(request: IncomingMessage): void;
  /** The subprotocols of its WebSockets; left out, the first one that a client offers is taken. */
  readonly socketProtocols?: readonly string[];
  /** Ends what it does by itself, without a request. */
  close?(): void;
}

/** Serves a WebSocket that was opened by a request. */
export type ServeSocket = (peer: Peer, context: CallContext, request: IncomingMessage) => void;

/** One route of an adapter. */
export interface AdapterRoute {
  readonly httpVerb: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** After the prefix, with `:name` for a segment that varies. */
  readonly path: string;
  /** Answers a request; what it throws is told by `explain`. */
  handle(request: AdapterRequest): Promise<Reply>;
}

/** A request to an adapter. */
export interface AdapterRequest {
  readonly raw: IncomingMessage;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The parent of every call that is made for it; it ends when the client leaves. */
  readonly context: CallContext;
  /** Its body, bounded; undefined when there is none. Throws what `readJson` throws. */
  json(): Promise<JsonValue | undefined>;
  /** Its body as bytes of any media type, bounded; none when there is none. */
  bytes(): Promise<Buffer>;
}

/** An answer: at once, or piece by piece as its client reads. */
export type Reply = WholeReply | StreamReply;

/** An answer at once. */
export interface WholeReply {
  readonly kind: "whole";
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** An answer piece by piece. Its client's leaving ends the iteration. */
export interface StreamReply {
  readonly kind: "stream";
  readonly status: number;
  readonly contentType: string;
  readonly chunks: AsyncIterable<string | Uint8Array>;
}

/** An answer in JSON. */
export function jsonReply(status: number, value: unknown): WholeReply {
  const contentType = "application/json; charset=utf-8";
  return { kind: "whole", status, contentType, text: JSON.stringify(value) };
}

/** What adapters need of their gateway. */
export interface AdapterDeps {
  readonly bodyBytesMax: number;
  /** For how long a client may take nothing from a full stream. */
  readonly streamStallMs: number;
  readonly answers: AnswerRules;
  readonly sockets: SocketRules;
  readonly log: { error(facts: object, message: string): void };
}

/** Registers every route of every adapter. */
export function registerAdapters(
  { fastify, server }: HttpSide,
  adapters: readonly Adapter[],
  deps: AdapterDeps,
): void {
  for (const adapter of adapters) {
    if (adapter.findUpgrade !== undefined) onUpgrade(server, deps.sockets, adapter.findUpgrade);
    if (adapter.findSocket !== undefined) {
      onUpgrade(server, deps.sockets, socketFinder(adapter, deps.sockets));
    }
    const constraints = constraintsOf(fastify, adapter);
    for (const route of adapter.routes) {
      for (const url of placesOf(adapter, route)) {
        fastify.route({
          method: route.httpVerb === "GET" ? ["GET", "HEAD"] : route.httpVerb,
          url,
          constraints,
          // As in rest.ts: bodies are read by the handler, which bounds them and tells their faults.
          onRequest: (request, reply) => {
            reply.hijack();
            void serve(adapter, route, deps, { request, response: reply.raw });
          },
          handler: () => undefined,
        });
      }
    }
  }
}

function socketFinder(adapter: Adapter, rules: SocketRules): FindUpgrade {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: rules.frameBytesMax,
    ...protocolRule(adapter),
  });
  return (path) => {
    const serveSocket = adapter.findSocket?.(path);
    if (serveSocket === undefined) return undefined;
    return (handshake) => {
      adapter.admitSocket?.(handshake.request);
      const headers = new NodeHeaders(handshake.request.headers);
      const requestId = headers.get("x-request-id");
      const traceparent = headers.get("traceparent");
      const context = new CallContext({ headers, requestId, traceparent, surface: adapter.name });
      openPeer(server, handshake, rules.heartbeatMs, (peer) => {
        peer.endCalls = (reason) => context.abort(reason);
        peer.onClose(() => context.abort(callerLeft()));
        serveSocket(peer, context, handshake.request);
      });
    };
  };
}

function protocolRule({ socketProtocols: known }: Adapter) {
  if (known === undefined) return {};
  const handleProtocols = (offered: Set<string>) =>
    known.find((name) => offered.has(name)) ?? false;
  return { handleProtocols };
}

// The router's own means to tell requests to one path apart. A request without the header costs one look for it.
function constraintsOf(fastify: FastifyInstance, { header }: Adapter): Record<string, boolean> {
  if (header === undefined) return {};
  // It writes code with the name in it.
  const name = `has_${header.replaceAll(/\W/g, "_")}`;
  if (!fastify.hasConstraintStrategy(name)) {
    fastify.addConstraintStrategy({
      name,
      storage: () => new ByPresence(),
      deriveConstraint: ({ headers }) => (headers[header] === undefined ? undefined : true),
    });
  }
  return { [name]: true };
}

// Handlers of the router, of whichever type it has for them.
class ByPresence<H> {
  readonly #handlers = new Map<unknown, H>();

  get(key: unknown): H | null {
    return this.#handlers.get(key) ?? null;
  }

  set(key: unknown, handler: H): void {
    this.#handlers.set(key, handler);
  }
}

// The products that are spoken here take a path with and without a slash at its end, and their users write both.
function placesOf({ prefixes }: Adapter, { path }: AdapterRoute): readonly string[] {
  return prefixes.flatMap((prefix) => [prefix + path, `${prefix}${path}/`]);
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly response: ServerResponse;
}

// Never rejects: nobody waits for it.
async function serve(
  adapter: Adapter,
  route: AdapterRoute,
  deps: AdapterDeps,
  { request, response }: Exchange,
): Promise<void> {
  const context = openContext(request.raw, response, adapter.name);
  const exchange = { raw: request.raw, response, context };
  try {
    const timeoutMs = parseTimeout(request.raw.headers);
    if (timeoutMs !== undefined) context.deadline = Date.now() + timeoutMs;
    const reply = await route.handle({
      raw: request.raw,
      params: parseParams(request.params),
      query: queryOf(request.raw),
      context,
      json: () => readJson(knownBy(request.raw, context), deps.bodyBytesMax),
      bytes: () => readBody(knownBy(request.raw, context), deps.bodyBytesMax),
    });
    if (reply.kind === "stream") await sendChunks(exchange, reply, deps);
    else sendWhole(exchange, reply, [], deps);
  } catch (thrown) {
    const error = toSylaError(thrown);
    const left = context.aborted !== undefined;
    if (error.code === "internal" && !left) {
      deps.log.error({ error: thrown, surface: adapter.name }, "an adapter's call failed");
    }
    if (response.headersSent) response.destroy();
    else sendWhole(exchange, adapter.explain(error), problemHeaders(error), deps);
  }
}

// Clients of some products bring another secret than the key, which is looked at before their bodies.
function knownBy(raw: IncomingMessage, { principal }: CallContext): IncomingMessage {
  if (principal !== undefined) vouchFor(raw);
  return raw;
}

interface Open {
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  readonly context: CallContext;
}

function sendWhole(
  { raw, response, context }: Open,
  reply: WholeReply,
  more: readonly string[],
  { answers }: AdapterDeps,
): void {
  const headers = [...contextHeaders(context), ...more, "Cache-Control", "no-store"];
  sendAnswer(raw, response, { ...reply, headers }, answers);
}

async function sendChunks(
  { raw, response, context }: Open,
  { status, contentType, chunks }: StreamReply,
  { answers, streamStallMs }: AdapterDeps,
): Promise<void> {
  if (answers.draining) response.shouldKeepAlive = false;
  response.writeHead(status, [
    "Content-Type",
    contentType,
    "Cache-Control",
    "no-store, no-transform",
    "X-Accel-Buffering",
    "no",
    ...contextHeaders(context),
    ...securityHeaders,
  ]);
  response.flushHeaders();
  if (raw.method !== "HEAD") {
    for await (const chunk of chunks) {
      if (response.destroyed) return;
      if (!response.write(chunk)) await waitForRoom(response, streamStallMs);
    }
  }
  response.end();
}

/** What a request's address has after the question mark. */
export function queryOf({ url = "/" }: IncomingMessage): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start === -1 ? "" : url.slice(start + 1));
}

// Fastify's router answers an object of texts.
function parseParams(params: unknown): Readonly<Record<string, string>> {
  return params as Readonly<Record<string, string>>;
}
