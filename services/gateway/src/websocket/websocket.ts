// WebSockets: `/ws` for many calls of any method on one connection, and every REST path of a server-streaming method
// for one. The protocol is described in docs/reference/websocket.md.
import type { IncomingMessage, Server } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import { CallContext, callerLeft } from "@syla/kit/call";
import type { Dispatcher } from "@syla/kit/dispatch";
import { type SylaError, toSylaError } from "@syla/kit/error";
import { WebSocketServer } from "ws";
import { NodeHeaders, parseTimeout } from "../context.ts";
import { openPeer, type Peer } from "../peer.ts";
import { published } from "../published.ts";
import { restRoutes } from "../routes.ts";
import { matchStream, type StreamMatch } from "../stream-match.ts";
import { transcode } from "../transcode.ts";
import { onUpgrade, type SocketRules, type TakeUpgrade } from "../upgrade.ts";
import { errorPart, type SocketCall, startCall } from "./call.ts";
import { parseObject, readSteer, serveSession, steer } from "./session.ts";

const sessionPath = "/ws";
const normalEnd = 1000;
/** Close codes from 4000 on are an application's own: this and the HTTP status of the error. */
const errorBase = 4000;
const badFrame = 4400;

/** Serves every published method at `/ws`, and server-streaming ones at their REST paths. */
export function registerWebsocket(http: Server, dispatcher: Dispatcher, rules: SocketRules): void {
  const methods = published(dispatcher);
  const routes = restRoutes(dispatcher);
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: rules.frameBytesMax,
  });
  const session: TakeUpgrade = (handshake) =>
    openPeer(server, handshake, rules.heartbeatMs, (peer) =>
      serveSession(peer, methods, new NodeHeaders(handshake.request.headers)),
    );
  onUpgrade(http, rules, (path) => {
    if (path === sessionPath) return session;
    const match = matchStream(routes, path);
    if (match === undefined) return undefined;
    return (handshake) => {
      const timeoutMs = parseTimeout(handshake.request.headers);
      openPeer(server, handshake, rules.heartbeatMs, (peer) =>
        serveStream(peer, match, handshake.request, timeoutMs),
      );
    };
  });
}

// One stream on one connection. A route with a body takes it from the first frame.
function serveStream(
  peer: Peer,
  match: StreamMatch,
  request: IncomingMessage,
  timeoutMs: number | undefined,
): void {
  const headers = new NodeHeaders(request.headers);
  const context = new CallContext({
    headers,
    requestId: headers.get("x-request-id"),
    traceparent: headers.get("traceparent"),
    deadline: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
    surface: "websocket",
  });
  const { binding, method } = match.route;
  const bodyField = binding.body.kind === "field" ? binding.body.field.jsonName : undefined;
  const finish = (error: SylaError | undefined) =>
    error === undefined
      ? peer.close(normalEnd, "")
      : peer.close(errorBase + error.httpStatus, error.code);
  const begin = (body: JsonValue | undefined): SocketCall | undefined => {
    try {
      const query = queryOf(request, match);
      const message = transcode(binding, { captures: match.captures, query, body });
      const sink = { peer, id: undefined, bodyField, done: finish };
      return startCall(method, message, context, sink, undefined);
    } catch (thrown) {
      const error = toSylaError(thrown);
      void peer
        .send(`{${errorPart(error, method, context, { bodyField })}}`)
        .then(() => finish(error));
      return undefined;
    }
  };
  let call = binding.body.kind === "none" ? begin(undefined) : undefined;
  let begun = binding.body.kind === "none";
  // Whoever can resume the stream elsewhere, or has not said yet what it is, need not be waited for.
  peer.isIdle = () => !begun || method.policy.resumeField !== undefined;
  peer.endCalls = (reason) => context.abort(reason);
  peer.onText((text) => {
    const json = parseObject(text);
    if (json === undefined) return peer.close(badFrame, "A frame is a JSON object.");
    if (!begun) {
      begun = true;
      call = begin(json);
      return;
    }
    const frame = readSteer("", json);
    if (typeof frame === "string") return peer.close(badFrame, frame);
    if (call !== undefined) steer(call, frame);
  });
  peer.onClose(() => peer.endCalls(callerLeft()));
}

// `Last-Event-ID`, as a resumed event stream has it, fills the field that the contract names, unless the query does.
function queryOf(
  request: IncomingMessage,
  { route }: StreamMatch,
): Readonly<Record<string, string | readonly string[]>> {
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  const parameters = new URLSearchParams(mark === -1 ? "" : url.slice(mark));
  const query: Record<string, readonly string[]> = {};
  for (const name of new Set(parameters.keys())) query[name] = parameters.getAll(name);
  const field = route.method.policy.resumeField;
  const last = request.headers["last-event-id"];
  const jsonName = route.method.desc.input.fields.find(
    ({ localName }) => localName === field,
  )?.jsonName;
  if (jsonName === undefined || typeof last !== "string" || query[jsonName] !== undefined)
    return query;
  return { ...query, [jsonName]: last };
}
