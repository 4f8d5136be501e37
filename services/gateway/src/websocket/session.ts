// Many calls on one WebSocket. Frames are JSON texts, described in docs/reference/websocket.md; a frame that is not
// one of them ends the connection, because its sender and this side no longer agree on what is said.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { CallContext, callerLeft, type HeaderSource } from "@syla/kit/call";
import type { BoundMethod, Dispatcher } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { Peer } from "../peer.ts";
import { readMessage } from "../read-message.ts";
import { errorPart, type SocketCall, startCall } from "./call.ts";

const callsMax = 100;
const refusalsMax = 100;
const idCharsMax = 64;
const creditMax = 1_000_000;
const timeoutMsMax = 86_400_000;
/** Close code for a frame that is not understood. */
const badFrame = 4400;
/** Close code for a peer that goes on opening calls without reading that they are refused. */
const tooMany = 4429;

/** Serves calls on a connection until it ends; then every call that still runs is ended. */
export function serveSession(peer: Peer, dispatcher: Dispatcher, headers: HeaderSource): void {
  const calls = new Map<string, { readonly call: SocketCall; readonly context: CallContext }>();
  let refusals = 0;

  const open = ({ id, method: name, ...rest }: OpenFrame): void => {
    const context = new CallContext({ headers, surface: "websocket" });
    const path = name.startsWith("/") ? name : `/${name}`;
    const method = dispatcher.method(path);
    try {
      if (calls.size >= callsMax) throw busy();
      if (method === undefined) throw new SylaError("unimplemented", `${path} is not served here.`);
      if (rest.timeoutMs !== undefined) context.deadline = Date.now() + rest.timeoutMs;
      const done = () => {
        calls.delete(id);
        peer.rest();
      };
      const request = requestOf(method, rest.request);
      const call = startCall(method, request, context, { peer, id, done }, rest.credit);
      calls.set(id, { call, context });
    } catch (thrown) {
      refusals += 1;
      if (refusals > refusalsMax) return peer.close(tooMany, "Too many calls were refused.");
      const part = errorPart(toSylaError(thrown), { path }, context);
      void peer.send(`{"id":${JSON.stringify(id)},${part}}`).then(() => (refusals -= 1));
    }
  };

  peer.onText((text) => {
    const frame = readFrame(text);
    if (typeof frame === "string") return peer.close(badFrame, frame);
    const known = calls.get(frame.id)?.call;
    if (frame.kind === "open") {
      return known === undefined ? open(frame) : peer.close(badFrame, "The id is in use.");
    }
    // Frames for a call that has just ended are late, not wrong.
    if (known !== undefined) steer(known, frame);
  });
  peer.isIdle = () => calls.size === 0;
  peer.endCalls = (reason) => {
    for (const { context } of calls.values()) context.abort(reason);
  };
  peer.onClose(() => peer.endCalls(callerLeft()));
}

function busy(): SylaError {
  const message = `Cannot take more than ${callsMax} calls at one time on a connection.`;
  return new SylaError("too_many_calls", message);
}

// A method that takes a stream has no request: its messages come in frames of their own.
function requestOf(method: BoundMethod, json: JsonValue | undefined) {
  const { methodKind } = method.desc;
  if (methodKind === "unary" || methodKind === "server_streaming") return readMessage(method, json);
  if (json === undefined) return undefined;
  const message = `Cannot take a request for ${method.path}: send its messages in frames of their own.`;
  throw new SylaError("invalid_request", message);
}

/** A frame that opens a call. */
export interface OpenFrame {
  readonly kind: "open";
  readonly id: string;
  readonly method: string;
  readonly request: JsonValue | undefined;
  readonly credit: number | undefined;
  readonly timeoutMs: number | undefined;
}

/** A frame for a call that runs. */
export type SteerFrame =
  | { readonly kind: "credit"; readonly id: string; readonly count: number }
  | { readonly kind: "message"; readonly id: string; readonly message: JsonValue }
  | { readonly kind: "end"; readonly id: string }
  | { readonly kind: "cancel"; readonly id: string };

/** Does what a frame says. */
export function steer(call: SocketCall, frame: SteerFrame): void {
  switch (frame.kind) {
    case "credit":
      return call.addCredit(frame.count);
    case "message":
      return call.push(frame.message);
    case "end":
      return call.end();
    case "cancel":
      return call.cancel();
  }
}

// A client's frame, or what is wrong with it.
function readFrame(text: string): OpenFrame | SteerFrame | string {
  const json = parseObject(text);
  if (json === undefined) return "A frame is a JSON object.";
  const { id } = json;
  if (typeof id !== "string" || id === "" || id.length > idCharsMax) {
    return `A frame has an id, a string of 1 to ${idCharsMax} characters.`;
  }
  if (json["method"] !== undefined) return readOpen(id, json);
  return readSteer(id, json);
}

function readOpen(id: string, json: JsonObject): OpenFrame | string {
  const { method, request, credit, timeoutMs, ...others } = json;
  if (typeof method !== "string") return "method is a string.";
  if (Object.keys(others).length > 1) return "A frame has an unknown key.";
  if (credit !== undefined && !isCount(credit, creditMax)) return "credit is a whole number.";
  if (timeoutMs !== undefined && !isCount(timeoutMs, timeoutMsMax))
    return "timeoutMs is a whole number.";
  return { kind: "open", id, method, request, credit, timeoutMs };
}

/** A frame about the call `id`, or what is wrong with it. */
export function readSteer(id: string, json: JsonObject): SteerFrame | string {
  const { id: _id, ...said } = json;
  const [key, ...more] = Object.keys(said);
  const value = key === undefined ? undefined : said[key];
  if (more.length > 0 || value === undefined) return "A frame says one thing.";
  if (key === "credit" && isCount(value, creditMax)) return { kind: "credit", id, count: value };
  if (key === "message") return { kind: "message", id, message: value };
  if (key === "end" && value === true) return { kind: "end", id };
  if (key === "cancel" && value === true) return { kind: "cancel", id };
  return "A frame opens a call with method, or says credit, message, end or cancel.";
}

function isCount(value: JsonValue, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

/** A text as a JSON object, or undefined when it is none. */
export function parseObject(text: string): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json)
      ? (json as JsonObject)
      : undefined;
  } catch {
    return undefined;
  }
}
