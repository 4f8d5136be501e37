// The Model Context Protocol at `/mcp`, in its streamable HTTP transport
// (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports): one POST for each message of the client,
// answered in JSON at once, or by an event stream when the call takes its time or tells what it prints. There is
// nothing to say outside of calls, so a GET, which would wait for that, is answered 405, as the protocol has it.
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { FastifyInstance } from "fastify";
import { sendProblem } from "../answer.ts";
import { readJson } from "../body.ts";
import { openContext, parseTimeout } from "../context.ts";
import { McpCalls } from "./calls.ts";
import { type Accepted, type Exchange, McpReply, type ReplyRules, sendJson } from "./reply.ts";
import {
  type RequestId,
  readRpc,
  RpcError,
  rpcCodes,
  rpcFailure,
  type RpcMessage,
  rpcResult,
  isRequestId,
} from "./rpc.ts";
import { createMcpServer, type McpServer, protocolVersions } from "./server.ts";
import { mcpTools } from "./tools.ts";
import { sendMethodNotAllowed } from "../rest.ts";
import type { RestRoute } from "../routes.ts";
import { checkOrigin } from "../upgrade.ts";

/** What the surface needs of its gateway. */
export interface McpDeps extends ReplyRules {
  readonly version: string;
  readonly bodyBytesMax: number;
  /** Origins whose pages may call. */
  readonly origins: readonly string[];
  readonly log: { error(facts: object, message: string): void };
}

interface Surface extends McpDeps {
  readonly serve: McpServer;
  readonly calls: McpCalls;
}

const path = "/mcp";
const sessionHeader = "Mcp-Session-Id";
const sessionShape = /^[\x21-\x7e]{1,128}$/;
/** Messages in one batch. */
const batchMax = 32;

/** Registers the surface, when the contract marks any method that is served. */
export function registerMcp(
  fastify: FastifyInstance,
  routes: readonly RestRoute[],
  deps: McpDeps,
): void {
  const tools = mcpTools(routes);
  if (tools.size === 0) return;
  const serve = createMcpServer({ tools, version: deps.version, log: deps.log });
  const surface: Surface = { ...deps, serve, calls: new McpCalls() };
  fastify.route({
    method: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    url: path,
    // As in rest.ts: bodies are read by the handler, which bounds them and tells their faults.
    onRequest: (incoming, reply) => {
      reply.hijack();
      const exchange = {
        request: incoming.raw,
        response: reply.raw,
        context: openContext(incoming.raw, reply.raw, "mcp"),
      };
      take(exchange, surface).catch((thrown: unknown) => refuse(exchange, surface, thrown));
    },
    handler: () => undefined,
  });
}

async function take(exchange: Exchange, surface: Surface): Promise<void> {
  const { request, response, context } = exchange;
  checkOrigin(request, surface.origins);
  switch (request.method) {
    case "POST":
      return post(exchange, surface);
    case "DELETE":
      return endSession(exchange, surface);
    default:
      return sendMethodNotAllowed(request, response, context, ["POST", "DELETE"], surface.answers);
  }
}

// Faults of HTTP are problems, as everywhere; a body that is no message is told in the protocol's own form.
function refuse({ request, response, context }: Exchange, surface: Surface, thrown: unknown): void {
  if (thrown instanceof RpcError) {
    return sendJson({ request, response, context }, surface, 400, rpcFailure(null, thrown));
  }
  const error = toSylaError(thrown);
  if (!(thrown instanceof SylaError)) surface.log.error({ error: thrown }, "an MCP call failed");
  if (response.headersSent) response.destroy();
  else sendProblem(request, response, error, { context }, surface.answers);
}

// A session's end; without one there is nothing to end.
function endSession(exchange: Exchange, surface: Surface): void {
  const session = sessionOf(exchange, surface);
  if (session === undefined) {
    throw new SylaError("invalid_request", `Cannot end a session: ${sessionHeader} names none.`);
  }
  surface.calls.end(session);
  sendJson(exchange, surface, 204, undefined);
}

function sessionOf({ request }: Exchange, { calls }: Surface): string | undefined {
  const given = request.headers["mcp-session-id"];
  if (given === undefined) return undefined;
  if (typeof given !== "string" || !sessionShape.test(given)) {
    const detail = `expected 1 to 128 printable ASCII characters in ${sessionHeader}`;
    throw new SylaError("invalid_request", `Cannot accept the request: ${detail}.`);
  }
  if (calls.isEnded(given)) {
    throw new SylaError("route_not_found", "The session was ended: begin another.");
  }
  return given;
}

async function post(exchange: Exchange, surface: Surface): Promise<void> {
  const { request, context } = exchange;
  const session = sessionOf(exchange, surface);
  checkVersion(request);
  const accepted = acceptedOf(request);
  const timeoutMs = parseTimeout(request.headers);
  if (timeoutMs !== undefined) context.deadline = Date.now() + timeoutMs;
  const body = await readJson(request, surface.bodyBytesMax).catch(asRpcError);
  const messages = messagesOf(body);
  for (const message of messages) {
    if (message.kind === "notification") hear(message, session, surface.calls);
  }
  const requests = messages.filter((message) => message.kind === "request");
  if (requests.length === 0) return sendJson(exchange, surface, 202, undefined);
  if (requests.some(({ method }) => method === "initialize")) {
    context.responseHeaders.set(sessionHeader, randomUUID());
  }
  const reply = new McpReply(exchange, surface, accepted);
  try {
    const answers = await Promise.all(
      requests.map((one) => answerOne(one, { session, reply, exchange, surface })),
    );
    const whole = answers.filter((one) => one !== undefined);
    reply.finish(Array.isArray(body) ? whole : whole[0]);
  } finally {
    reply.dispose();
  }
}

// A client of the first version says none.
function checkVersion({ headers }: IncomingMessage): void {
  const version = headers["mcp-protocol-version"];
  if (version === undefined || protocolVersions.includes(String(version))) return;
  const known = protocolVersions.join(", ");
  const said = JSON.stringify(String(version).slice(0, 40));
  const message = `Cannot speak version ${said} of the protocol; known are ${known}.`;
  throw new SylaError("invalid_request", message);
}

// Clients are to accept both; one that names neither gets JSON, as from every other path.
function acceptedOf({ headers }: IncomingMessage): Accepted {
  const accept = headers.accept?.toLowerCase() ?? "*/*";
  const events = accept.includes("text/event-stream");
  const json = /application\/(?:json|\*)|\*\/\*/.test(accept);
  if (json || events) return { json, events };
  const message = `Cannot answer as ${accept.slice(0, 200)}: offered are application/json and text/event-stream.`;
  throw new SylaError("not_acceptable", message);
}

function asRpcError(thrown: unknown): never {
  if (!(thrown instanceof SylaError) || thrown.code !== "invalid_json") throw thrown;
  throw new RpcError(rpcCodes.parse, thrown.message);
}

function messagesOf(body: JsonValue | undefined): readonly RpcMessage[] {
  if (!Array.isArray(body)) return [readRpc(body ?? null)];
  if (body.length >= 1 && body.length <= batchMax) return body.map(readRpc);
  const why = `expected 1 to ${batchMax} messages, got ${body.length}`;
  throw new RpcError(rpcCodes.invalidRequest, `Cannot take the batch: ${why}.`);
}

function hear(
  { method, params }: Extract<RpcMessage, { kind: "notification" }>,
  session: string | undefined,
  calls: McpCalls,
): void {
  const { requestId } = params;
  if (method === "notifications/cancelled" && isRequestId(requestId)) {
    calls.cancel(session, requestId);
  }
}

interface Serving {
  readonly session: string | undefined;
  readonly reply: McpReply;
  readonly exchange: Exchange;
  readonly surface: Surface;
}

interface Asked {
  readonly id: RequestId;
  readonly method: string;
  readonly params: JsonObject;
}

// Nothing when the client cancelled: it does not wait any more.
async function answerOne(
  { id, method, params }: Asked,
  { session, reply, exchange, surface }: Serving,
): Promise<JsonObject | undefined> {
  const context = exchange.context.child();
  let forget: (() => void) | undefined;
  try {
    forget = surface.calls.begin(session, id, context);
    const notify = (message: JsonObject) => reply.notify(message);
    const result = await surface.serve(method, params, { context, notify });
    if (context.aborted?.code === "cancelled" && reply.canBeEmpty) return undefined;
    return rpcResult(id, result);
  } catch (thrown) {
    if (thrown instanceof RpcError) return rpcFailure(id, thrown);
    throw thrown;
  } finally {
    forget?.();
    context.finish();
  }
}
