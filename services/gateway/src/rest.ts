// REST: for every route of the contract a handler that reads the request into a message, calls the method and writes
// the answer. Handlers answer on Node's own response (`hijack`), since all that Fastify would add after them
// (serialisers, hooks, header objects) is done here or not needed.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescField, JsonValue, Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { CallContext } from "@syla/kit/call";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type AnswerRules, contextHeaders, pathOf, sendAnswer, sendProblem } from "./answer.ts";
import { readJson } from "./body.ts";
import { openContext, parseTimeout } from "./context.ts";
import { answerWriter, fieldWriter, type Writer } from "./json.ts";
import {
  rangeField,
  rawRequestField,
  rawRequests,
  rawResponseField,
  refusePacked,
  requestedRange,
  sendRaw,
} from "./raw.ts";
import { groupRoutes, type HttpVerb, type RestRoute, type RouteGroup, verbOf } from "./routes.ts";
import { resumeFrom, sendStream, streamFormats, type StreamRules } from "./sse.ts";
import { type Resume, transcode } from "./transcode.ts";

/** What REST needs of its gateway. */
export interface RestDeps {
  readonly bodyBytesMax: number;
  readonly answers: AnswerRules;
  readonly streams: StreamRules;
  readonly log: { error(facts: object, message: string): void };
}

type Handler = (
  request: FastifyRequest,
  response: ServerResponse,
  captures: readonly string[],
) => void;

/** Registers every REST route; answers their groups. */
export function registerRest(
  fastify: FastifyInstance,
  routes: readonly RestRoute[],
  deps: RestDeps,
): readonly RouteGroup[] {
  const groups = groupRoutes(routes);
  for (const group of groups) registerGroup(fastify, group, deps);
  return groups;
}

function registerGroup(fastify: FastifyInstance, group: RouteGroup, deps: RestDeps): void {
  const httpVerbs = new Set(group.routes.map(({ httpVerb }) => httpVerb));
  for (const httpVerb of httpVerbs) {
    const handle = groupHandler(group, httpVerb, deps);
    fastify.route({
      method: httpVerb === "GET" ? ["GET", "HEAD"] : httpVerb,
      url: group.routerPath,
      // The last hook before Fastify looks for the parser of a body: bodies are read by `handle`, which bounds them and
      // tells their faults.
      onRequest: (request, reply) => {
        reply.hijack();
        handle(request, reply);
      },
      handler: () => undefined,
    });
  }
}

function groupHandler(
  group: RouteGroup,
  httpVerb: HttpVerb,
  deps: RestDeps,
): (request: FastifyRequest, reply: FastifyReply) => void {
  const handlers = new Map<string, { readonly handle: Handler; readonly route: RestRoute }>();
  for (const [verb, byHttpVerb] of group.byVerb) {
    const route = byHttpVerb.get(httpVerb);
    if (route !== undefined) handlers.set(verb, { handle: routeHandler(route, deps), route });
  }
  const plain = handlers.get("");
  return (request, reply) => {
    const verb = group.byVerb.size === 1 && plain !== undefined ? "" : verbOf(pathOf(request.raw));
    const known = group.byVerb.has(verb) ? verb : "";
    const chosen = handlers.get(known);
    if (chosen === undefined) return refuseVerb(group, known, request.raw, reply.raw, deps);
    const captures = capturesOf(chosen.route, request.params, known);
    if (!(captures instanceof SylaError)) return chosen.handle(request, reply.raw, captures);
    const place = { context: openContext(request.raw, reply.raw, "rest") };
    sendProblem(request.raw, reply.raw, captures, place, deps.answers);
  };
}

// The path is there, but not with this HTTP verb.
function refuseVerb(
  group: RouteGroup,
  verb: string,
  request: IncomingMessage,
  response: ServerResponse,
  deps: RestDeps,
): void {
  const allowed = [...(group.byVerb.get(verb)?.keys() ?? [])];
  const context = openContext(request, response, "rest");
  if (allowed.length === 0) {
    const error = new SylaError("route_not_found", `There is nothing at ${pathOf(request)}.`);
    return sendProblem(request, response, error, { context }, deps.answers);
  }
  sendMethodNotAllowed(request, response, context, allowed, deps.answers);
}

/** Answers 405 with `Allow`. */
export function sendMethodNotAllowed(
  request: IncomingMessage,
  response: ServerResponse,
  context: CallContext,
  allowed: readonly string[],
  rules: AnswerRules,
): void {
  context.responseHeaders.set("Allow", allowHeader(allowed));
  const message = `Cannot ${request.method ?? "call"} ${pathOf(request)}: it takes ${allowHeader(allowed)}.`;
  sendProblem(request, response, new SylaError("method_not_allowed", message), { context }, rules);
}

/** The value of `Allow`: the verbs of the contract, HEAD where there is GET, and OPTIONS. */
export function allowHeader(allowed: readonly string[]): string {
  return [...allowed, ...(allowed.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
}

const noCaptures: readonly string[] = [];

// The texts of a route's variables. An empty one is none, and `a%2Fb` must not pass for the longer name a/b.
function capturesOf(
  { template, binding }: RestRoute,
  given: unknown,
  verb: string,
): readonly string[] | SylaError {
  if (binding.captured.length === 0) return noCaptures;
  const params = parseParams(given);
  const texts: string[] = [];
  for (const [index, segment] of template.segments.entries()) {
    if (segment.kind === "literal") texts.push(segment.text);
    else texts.push(params[segment.kind === "one" ? String(index) : "*"] ?? "");
    const text = texts[index] ?? "";
    if (text === "") return new SylaError("route_not_found", "There is nothing at an empty name.");
    if (segment.kind === "one" && text.includes("/")) {
      const message =
        "Cannot take the path: an encoded slash stands where one segment is expected.";
      return new SylaError("invalid_request", message);
    }
  }
  const last = texts.at(-1);
  if (verb !== "" && last !== undefined) texts[texts.length - 1] = last.slice(0, -verb.length - 1);
  return template.variables.map(({ start, end }) => texts.slice(start, end).join("/"));
}

// Fastify's router answers an object of texts.
function parseParams(params: unknown): Readonly<Record<string, string>> {
  return params as Readonly<Record<string, string>>;
}

function parseQuery(query: unknown): Readonly<Record<string, string | readonly string[]>> {
  return query as Readonly<Record<string, string | readonly string[]>>;
}

function routeHandler(route: RestRoute, deps: RestDeps): Handler {
  const { body } = route.binding;
  const bodyField = body.kind === "field" ? body.field.jsonName : undefined;
  const call = callOf(route, deps);
  return (request, response, captures) => {
    const context = openContext(request.raw, response, "rest");
    call({ request, response, captures, context }).catch((thrown: unknown) => {
      const error = toSylaError(thrown);
      if (!(thrown instanceof SylaError)) deps.log.error({ error: thrown }, "a REST call failed");
      sendProblem(request.raw, response, error, { context, bodyField }, deps.answers);
    });
  };
}

function callOf(route: RestRoute, deps: RestDeps): Call {
  const uploaded = rawRequestField(route);
  if (uploaded !== undefined) return uploadCall(uploaded, route, deps);
  const downloaded = rawResponseField(route);
  if (downloaded !== undefined) return downloadCall(downloaded, route, deps);
  return route.method.unary === undefined ? streamCall(route, deps) : unaryCall(route, deps);
}

/** One HTTP request to a route. */
interface Incoming {
  readonly request: FastifyRequest;
  readonly response: ServerResponse;
  readonly captures: readonly string[];
  readonly context: CallContext;
  readonly resume?: Resume | undefined;
}

type Call = (incoming: Incoming) => Promise<void>;

const headersOfJson: readonly string[] = ["Cache-Control", "no-store"];

type Answering = (incoming: Incoming, answer: Message) => void;

// Writes the one answer of a call.
function answering(route: RestRoute, deps: RestDeps): Answering {
  const { policy, desc } = route.method;
  const write: Writer =
    route.responseField === undefined
      ? answerWriter(desc.output)
      : fieldWriter(route.responseField);
  const locate = policy.location === undefined ? undefined : locationOf(policy.location);
  const status = locate === undefined ? 200 : 201;
  return ({ request, response, context }, answer) => {
    const headers = contextHeaders(context);
    headers.push(...headersOfJson);
    if (locate !== undefined) headers.push("Location", locate(route, answer));
    const contentType = "application/json";
    sendAnswer(
      request.raw,
      response,
      { status, contentType, text: write(answer), headers },
      deps.answers,
    );
  };
}

function unaryCall(route: RestRoute, deps: RestDeps): Call {
  const { unary } = route.method;
  const answerTo = answering(route, deps);
  return async (incoming) => {
    const message = await readRequest(route, incoming, deps);
    if (unary !== undefined) answerTo(incoming, await unary(message, incoming.context));
  };
}

// The body goes to the method as it comes; what is left of it when that has answered is dropped, so that its sender
// gets to read the answer.
function uploadCall(field: DescField, route: RestRoute, deps: RestDeps): Call {
  const { stream } = route.method;
  const answerTo = answering(route, deps);
  return async (incoming) => {
    const { context } = incoming;
    const request = incoming.request.raw;
    try {
      refusePacked(request);
      const message = readHead(route, incoming, undefined);
      const requests = rawRequests(field, message, request, deps.streams.streamStallMs);
      const answers = stream?.(requests, context) ?? [];
      for await (const answer of answers) answerTo(incoming, answer);
    } finally {
      request.resume();
    }
  };
}

function downloadCall(field: DescField, route: RestRoute, deps: RestDeps): Call {
  const range = rangeField(route.method);
  const { answers, streams } = deps;
  return async (incoming) => {
    const { response, context } = incoming;
    const request = incoming.request.raw;
    const message = await readRequest(route, incoming, deps);
    const part = range === undefined ? undefined : requestedRange(request);
    if (range !== undefined && part !== undefined) {
      Object.assign(message, { [range.localName]: part });
    }
    const { streamStallMs } = streams;
    await sendRaw(
      field,
      { route, message, context, request, response },
      { answers, streamStallMs },
    );
  };
}

// Reads a request into a message, and its caller's deadline into the context.
async function readRequest(route: RestRoute, incoming: Incoming, deps: RestDeps): Promise<Message> {
  const body = await readJson(incoming.request.raw, deps.bodyBytesMax);
  return readHead(route, incoming, body);
}

function readHead(
  { binding }: RestRoute,
  { request, captures, context, resume }: Incoming,
  body: JsonValue | undefined,
): Message {
  const timeoutMs = parseTimeout(request.raw.headers);
  if (timeoutMs !== undefined) context.deadline = Date.now() + timeoutMs;
  return transcode(binding, { captures, query: parseQuery(request.query), body, resume });
}

// `/api/v1/executions/{id}` with the fields of the answer.
function locationOf(template: string): (route: RestRoute, answer: Message) => string {
  return (route, answer) => {
    const message = reflect(route.method.desc.output, answer);
    return template.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => {
      const field = route.method.desc.output.fields.find((other) => other.name === name);
      const value = field?.fieldKind === "scalar" ? message.get(field) : "";
      return encodeURIComponent(value instanceof Uint8Array ? "" : String(value));
    });
  };
}

function streamCall(route: RestRoute, deps: RestDeps): Call {
  const { method, binding } = route;
  const bodyField = binding.body.kind === "field" ? binding.body.field.jsonName : undefined;
  const format = streamFormats(method);
  return async (incoming) => {
    const { response, context } = incoming;
    const request = incoming.request.raw;
    const chosen = format(request);
    const resume = resumeFrom(method, request);
    const message = await readRequest(route, { ...incoming, resume }, deps);
    await sendStream(
      { method, message, context, request, response, bodyField },
      chosen,
      deps.streams,
    );
  };
}
