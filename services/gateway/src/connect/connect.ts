// gRPC-Web and the Connect protocol, at `/<package.Service>/<Method>`, by connect's protocol handlers over our
// dispatcher. Only the protocols are connect's: calls, deadlines and errors are those of every other surface, and
// plain gRPC stays with grpc-js, because two servers on one HTTP/2 connection end each other's streams.
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type ServiceImpl,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { CallContext } from "@syla/kit/call";
import { type BoundMethod, type Dispatcher, methodPath } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { Status } from "@syla/kit/error-status";
import { errorDetails } from "@syla/kit/grpc-status";
import { methodPolicy } from "@syla/kit/policy";
import type { FastifyInstance } from "fastify";
import { type AnswerRules, securityHeaders } from "../answer.ts";
import { boundedFor, isStranger } from "../body.ts";
import { checkedBody } from "./json.ts";
import { openContext } from "../context.ts";
import { published } from "../published.ts";

/** What these surfaces need of their gateway. */
export interface ConnectDeps {
  /** The largest request message, in bytes. */
  readonly bodyBytesMax: number;
  readonly answers: AnswerRules;
  readonly log: { error(facts: object, message: string): void };
}

/** Registers every published method under both protocols. */
export function registerConnect(
  fastify: FastifyInstance,
  dispatcher: Dispatcher,
  deps: ConnectDeps,
): void {
  const router = createConnectRouter({
    grpc: false,
    readMaxBytes: deps.bodyBytesMax,
    acceptCompression: [compressionGzip, compressionBrotli],
    jsonOptions: { ignoreUnknownFields: false, alwaysEmitImplicit: true },
  });
  const methods = published(dispatcher);
  for (const service of methods.services) addService(router, service, methods);
  void fastify.register((scope, _options, done) => {
    // The protocols read their bodies themselves.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, parsed) => parsed(null));
    for (const handler of router.handlers) {
      scope.route({
        method: handler.allowedMethods.includes("GET") ? ["GET", "POST"] : "POST",
        url: handler.requestPath,
        handler: (request, reply) => {
          reply.hijack();
          serve(handler, request.raw, reply.raw, deps).catch((thrown: unknown) => {
            deps.log.error({ error: thrown }, "a Connect call failed");
            reply.raw.destroy();
          });
        },
      });
    }
    done();
  });
}

const callKey = createContextKey<CallContext | undefined>(undefined);

function addService(router: ConnectRouter, service: DescService, methods: Dispatcher): void {
  const handlers: Record<string, object> = {};
  for (const desc of service.methods) {
    const method = methods.method(methodPath(desc));
    if (method !== undefined) handlers[desc.localName] = handlerOf(desc, method);
  }
  router.service(service, parseHandlers(handlers));
}

// Made method by method from the descriptor that the type is computed from.
function parseHandlers(handlers: object): Partial<ServiceImpl<DescService>> {
  const parsed: unknown = handlers;
  return parsed as Partial<ServiceImpl<DescService>>;
}

function handlerOf(desc: DescMethod, { unary, stream }: BoundMethod): object {
  if (unary !== undefined) {
    return (request: Message, handling: HandlerContext) =>
      answered(() => unary(request, contextOf(handling)), handling);
  }
  if (stream === undefined) throw new Error(`Cannot serve ${methodPath(desc)}: it has no handler.`);
  if (desc.methodKind === "client_streaming") {
    return (requests: AsyncIterable<Message>, handling: HandlerContext) =>
      answered(() => firstOf(stream(requests, contextOf(handling))), handling);
  }
  return (request: Message | AsyncIterable<Message>, handling: HandlerContext) =>
    streamed(() => stream(request, contextOf(handling)), handling);
}

async function firstOf(answers: AsyncIterable<Message>): Promise<Message> {
  let first: Message | undefined;
  for await (const answer of answers) first ??= answer;
  if (first === undefined) throw new Error("Cannot answer: the stream was empty.");
  return first;
}

async function answered(call: () => Promise<Message>, handling: HandlerContext): Promise<Message> {
  try {
    return await call();
  } catch (thrown) {
    throw toConnectError(thrown);
  } finally {
    setHeaders(handling);
  }
}

async function* streamed(
  call: () => AsyncIterable<Message>,
  handling: HandlerContext,
): AsyncGenerator<Message> {
  let first = true;
  try {
    for await (const answer of call()) {
      if (first) setHeaders(handling);
      first = false;
      yield answer;
    }
  } catch (thrown) {
    throw toConnectError(thrown);
  } finally {
    if (first) setHeaders(handling);
  }
}

function contextOf(handling: HandlerContext): CallContext {
  const context = handling.values.get(callKey) ?? new CallContext({ surface: "connect" });
  const timeoutMs = handling.timeoutMs();
  if (timeoutMs !== undefined) context.deadline = Date.now() + timeoutMs;
  return context;
}

function setHeaders({ values, responseHeader }: HandlerContext): void {
  const context = values.get(callKey);
  if (context === undefined) return;
  responseHeader.set("x-request-id", context.requestId);
  const given = context.responseHeadersIfSet;
  if (given !== undefined) for (const [name, value] of given) responseHeader.set(name, value);
}

// An error of the catalogue as connect sends it, with the details that gRPC has.
function toConnectError(thrown: unknown): ConnectError {
  const error = toSylaError(thrown);
  const message = error.message.toWellFormed();
  return new ConnectError(message, codes[error.status], undefined, [...errorDetails(error)], error);
}

const codes: Readonly<Record<Status, Code>> = {
  cancelled: Code.Canceled,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  unauthenticated: Code.Unauthenticated,
};

async function serve(
  handler: UniversalHandler,
  request: IncomingMessage,
  response: ServerResponse,
  { answers, bodyBytesMax }: ConnectDeps,
): Promise<void> {
  const context = openContext(request, response, "connect");
  const isBounded = isStranger(request) && !methodPolicy(handler.method).signed;
  const checked = isBounded
    ? boundedFor(request)
    : checkedBody(handler.method, request, bodyBytesMax);
  const answer = await handler({
    httpVersion: request.httpVersion,
    method: request.method ?? "",
    url: new URL(request.url ?? "/", "http://syla").toString(),
    header: headersOf(request),
    body: checked === undefined ? request : withConnectErrors(checked),
    signal: context.signal,
    contextValues: createContextValues().set(callKey, context),
  });
  if (answers.draining) response.shouldKeepAlive = false;
  await write(answer, response);
}

async function* withConnectErrors(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (thrown) {
    throw thrown instanceof SylaError ? toConnectError(thrown) : thrown;
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string") headers.set(name, value);
    else for (const item of value ?? []) headers.append(name, item);
  }
  return headers;
}

// A reader that is slow holds the handler back; one that leaves ends it.
async function write(answer: UniversalServerResponse, response: ServerResponse): Promise<void> {
  const head = [...(answer.header ?? [])].flat();
  response.writeHead(answer.status, [...head, ...securityHeaders]);
  for await (const chunk of answer.body ?? []) {
    if (response.destroyed) break;
    if (!response.write(chunk)) await drained(response);
  }
  response.end();
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      response.off("drain", settle).off("close", settle);
      resolve();
    };
    response.on("drain", settle).on("close", settle);
  });
}
