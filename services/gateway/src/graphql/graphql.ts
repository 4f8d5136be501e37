// GraphQL over HTTP (https://graphql.github.io/graphql-over-http/): POST for every operation but subscriptions, GET
// for queries, and subscriptions over a WebSocket at the same path. Only `application/json` is taken, so that a page
// of another origin cannot post a mutation without asking first.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import type { Dispatcher } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { FastifyInstance } from "fastify";
import {
  execute,
  type ExecutionResult,
  getOperationAST,
  type GraphQLError,
  type GraphQLSchema,
} from "graphql";
import { type AnswerRules, contextHeaders, sendAnswer, sendProblem } from "../answer.ts";
import { readJson } from "../body.ts";
import { comments } from "../openapi/comments.ts";
import { openContext, parseTimeout } from "../context.ts";
import { createPreparer, isDocument, type Prepared } from "./document.ts";
import { type ErrorLog, errorOf, formatError } from "./error.ts";
import { createSchema, type OperationContext } from "./schema.ts";
import { registerSubscriptions } from "./socket.ts";
import type { SocketRules } from "../upgrade.ts";

/** What GraphQL needs of its gateway. */
export interface GraphqlDeps extends SocketRules {
  /** The largest request body, in bytes. */
  readonly bodyBytesMax: number;
  readonly answers: AnswerRules;
  readonly log: ErrorLog;
}

// Where GraphQL is served.
const graphqlPath = "/graphql";

const specType = "application/graphql-response+json";

/** Registers GET and POST /graphql, and the WebSocket of subscriptions. */
export function registerGraphql(
  fastify: FastifyInstance,
  http: Server,
  dispatcher: Dispatcher,
  deps: GraphqlDeps,
): void {
  const schema = createSchema(dispatcher, comments());
  const prepare = createPreparer(schema);
  const served: Served = { schema, prepare, deps };
  registerSubscriptions(http, { schema, prepare, path: graphqlPath, rules: deps, log: deps.log });
  void fastify.register((scope, _options, done) => {
    // The body is read here, which bounds it and tells its faults.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, parsed) => parsed(null));
    scope.route({
      method: ["GET", "POST"],
      url: graphqlPath,
      handler: (request, reply) => {
        reply.hijack();
        const context = openContext(request.raw, reply.raw, "graphql");
        answer(served, request.raw, reply.raw, context).catch((thrown: unknown) => {
          const error = toSylaError(thrown);
          if (error.code === "internal")
            deps.log.error({ error: thrown }, "a GraphQL request failed");
          sendProblem(request.raw, reply.raw, error, { context }, deps.answers);
        });
      },
    });
    done();
  });
}

interface OperationRequest {
  readonly query: string;
  readonly operationName: string | undefined;
  readonly variables: JsonObject | undefined;
}

interface Served {
  readonly schema: GraphQLSchema;
  readonly prepare: (text: string) => Prepared;
  readonly deps: GraphqlDeps;
}

async function answer(
  { schema, prepare, deps }: Served,
  request: IncomingMessage,
  response: ServerResponse,
  context: CallContext,
): Promise<void> {
  const timeoutMs = parseTimeout(request.headers);
  if (timeoutMs !== undefined) context.deadline = Date.now() + timeoutMs;
  const isGet = request.method === "GET";
  const asked = isGet ? fromQuery(request) : fromBody(await readJson(request, deps.bodyBytesMax));
  const document = prepare(asked.query);
  if (!isDocument(document)) return send(request, response, context, { errors: document }, deps);
  const operation = getOperationAST(document, asked.operationName);
  if (operation?.operation === "subscription") throw notHere("a subscription", "over a WebSocket");
  if (isGet && operation?.operation === "mutation") throw notHere("a mutation", "by POST");
  const contextValue: OperationContext = { call: context };
  const result = await execute({
    schema,
    document,
    contextValue,
    variableValues: asked.variables,
    operationName: asked.operationName,
  });
  send(request, response, context, result, deps);
}

function notHere(what: string, where: string): SylaError {
  return new SylaError("method_not_allowed", `Cannot take ${what} here: send it ${where}.`);
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  context: CallContext,
  result: { readonly data?: ExecutionResult["data"]; readonly errors?: readonly GraphQLError[] },
  deps: GraphqlDeps,
): void {
  const errors = result.errors?.map((error) => formatError(error, context.requestId, deps.log));
  const isSpec = request.headers.accept?.includes(specType) === true;
  const [first] = result.errors ?? [];
  // Clients of the older type expect 200 for whatever is GraphQL.
  const status =
    isSpec && result.data === undefined && first !== undefined ? errorOf(first).httpStatus : 200;
  const text = JSON.stringify({ ...result, ...(errors === undefined ? {} : { errors }) });
  const contentType = isSpec ? `${specType}; charset=utf-8` : "application/json; charset=utf-8";
  const headers = [...contextHeaders(context), "Cache-Control", "no-store"];
  sendAnswer(request, response, { status, contentType, text, headers }, deps.answers);
}

function fromQuery(request: IncomingMessage): OperationRequest {
  const url = request.url ?? "";
  const parameters = new URLSearchParams(url.slice(url.indexOf("?") + 1));
  const variables = parameters.get("variables");
  return fromBody({
    query: parameters.get("query"),
    operationName: parameters.get("operationName"),
    variables: variables === null ? null : parseVariables(variables),
  });
}

function parseVariables(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SylaError("invalid_json", "Cannot read the parameter variables as JSON.");
  }
}

function fromBody(body: unknown): OperationRequest {
  if (!isObject(body)) throw wrong("", "expected a JSON object");
  const { query, operationName, variables } = body;
  if (typeof query !== "string") throw wrong("/query", "expected a string");
  if (operationName !== undefined && operationName !== null && typeof operationName !== "string") {
    throw wrong("/operationName", "expected a string");
  }
  if (variables !== undefined && variables !== null && !isObject(variables)) {
    throw wrong("/variables", "expected an object");
  }
  return { query, operationName: operationName ?? undefined, variables: variables ?? undefined };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(pointer: string, detail: string): SylaError {
  return new SylaError("invalid_request", `Cannot accept ${pointer || "the body"}: ${detail}.`, {
    violations: [{ pointer, detail, rule: "json.type" }],
  });
}
