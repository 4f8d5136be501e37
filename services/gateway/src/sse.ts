// Server-streaming methods over REST, as server-sent events (https://html.spec.whatwg.org/#server-sent-events) or the
// same messages as lines of JSON. An event's id is the message's cursor, so a client that lost its connection names
// the last one it saw in `Last-Event-ID` and gets the rest. A stream that ends well says so with its last event; one
// whose last event is missing was cut off.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import { type CallContext, callerLeft } from "@syla/kit/call";
import type { BoundMethod } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import { contextHeaders, pathOf, securityHeaders } from "./answer.ts";
import { type StreamFormat, formatsOf } from "./stream-format.ts";
import { toProblem } from "./problem.ts";
import type { Resume } from "./transcode.ts";

/** What holds for all streams of a running gateway. */
export interface StreamRules {
  readonly heartbeatMs: number;
  readonly streamOpenMs: number;
  readonly streamLifeMs: number;
  readonly streamStallMs: number;
  /** The streams that are open, so that a gateway that stops can end them. */
  readonly open: Set<EventStream>;
}

/** One call of a streaming method. */
export interface StreamCallOptions {
  readonly method: BoundMethod;
  readonly message: Message;
  readonly context: CallContext;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly bodyField: string | undefined;
}

/** What a stream's response is written for. */
export interface StreamPlace {
  readonly context: CallContext;
  readonly response: ServerResponse;
  /** A client that lost it can come back for the rest. */
  readonly resumable: boolean;
}

/** Where the client wants the stream to go on, by `Last-Event-ID`. */
export function resumeFrom(method: BoundMethod, request: IncomingMessage): Resume | undefined {
  const text = request.headers["last-event-id"];
  const field = method.desc.input.fields.find(
    ({ localName }) => localName === method.policy.resumeField,
  );
  if (field === undefined || typeof text !== "string" || text === "") return undefined;
  return { field, text };
}

/** How a client asks for a method's stream; throws `not_acceptable` when none of its media types can be produced. */
export function streamFormats(method: BoundMethod): (request: IncomingMessage) => StreamFormat {
  const { events, lines } = formatsOf(method);
  return (request) => {
    const accept = request.headers.accept?.toLowerCase() ?? "*/*";
    if (accept.includes("text/event-stream")) return events;
    if (accept.includes("application/x-ndjson")) return lines;
    if (/(?:\*|text)\/\*/.test(accept)) return events;
    const message = `Cannot answer as ${accept}: offered are text/event-stream and application/x-ndjson.`;
    throw new SylaError("not_acceptable", message);
  };
}

/** Answers a call with its stream; throws what went wrong before the first byte. */
export async function sendStream(
  call: StreamCallOptions,
  format: StreamFormat,
  rules: StreamRules,
): Promise<void> {
  const { method, context, response } = call;
  if (method.stream === undefined) return;
  const resumable = method.policy.resumeField !== undefined;
  const sink = new EventStream({ context, response, resumable }, format, rules);
  if (call.request.method === "HEAD") return sink.finish("");
  const messages = method.stream(call.message, context)[Symbol.asyncIterator]();
  try {
    const opening = setTimeout(() => sink.open(), rules.streamOpenMs);
    let next = await messages.next().finally(() => clearTimeout(opening));
    while (next.done !== true) {
      await sink.write(format.event(next.value));
      next = await messages.next();
    }
    sink.finish(format.end);
  } catch (thrown) {
    const error = toSylaError(thrown);
    if (!response.headersSent) throw error;
    const place = { instance: pathOf(call.request), requestId: context.requestId };
    sink.finish(format.error(toProblem(error, { ...place, bodyField: call.bodyField })));
  } finally {
    sink.dispose();
    void messages.return?.();
  }
}

/** What a stream says beside its events. */
export type StreamFrame = Pick<StreamFormat, "contentType" | "heartbeat" | "reconnect">;

/** The response of one stream, from its head to its end. */
export class EventStream {
  readonly context: CallContext;
  readonly #response: ServerResponse;
  readonly #format: StreamFrame;
  readonly #rules: StreamRules;
  readonly #resumable: boolean;
  #heartbeat: NodeJS.Timeout | undefined;
  #life: NodeJS.Timeout | undefined;

  constructor(place: StreamPlace, format: StreamFrame, rules: StreamRules) {
    this.context = place.context;
    this.#response = place.response;
    this.#format = format;
    this.#rules = rules;
    this.#resumable = place.resumable;
    rules.open.add(this);
  }

  /** Sends the head, if it was not sent yet. */
  open(): void {
    if (this.#response.headersSent || this.#response.destroyed) return;
    this.#response.writeHead(200, [
      "Content-Type",
      this.#format.contentType,
      "Cache-Control",
      "no-store, no-transform",
      // Tells nginx and those who took over its habit not to collect the stream.
      "X-Accel-Buffering",
      "no",
      ...contextHeaders(this.context),
      ...securityHeaders,
    ]);
    this.#response.flushHeaders();
    this.#heartbeat = setInterval(() => this.#beat(), this.#rules.heartbeatMs);
    if (this.#resumable) this.#life = setTimeout(() => this.reconnect(), this.#rules.streamLifeMs);
  }

  /** Writes one event; answers when the client has room for the next. */
  write(text: string): Promise<void> | undefined {
    this.open();
    if (this.#response.destroyed || this.#response.writableEnded) return undefined;
    const { streamStallMs } = this.#rules;
    return this.#response.write(text) ? undefined : waitForRoom(this.#response, streamStallMs);
  }

  /** Ends a stream that can be resumed without its last event, so that its client comes back for the rest. */
  reconnect(): void {
    if (!this.#resumable || this.#response.writableEnded) return;
    this.finish(this.#format.reconnect);
    this.context.abort(callerLeft());
  }

  /** Writes the last event and ends the response. */
  finish(text: string): void {
    this.open();
    this.dispose();
    if (!this.#response.destroyed && !this.#response.writableEnded) this.#response.end(text);
  }

  /** Stops the timers. */
  dispose(): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#life);
    this.#rules.open.delete(this);
  }

  #beat(): void {
    if (!this.#response.writableNeedDrain && !this.#response.writableEnded) {
      this.#response.write(this.#format.heartbeat);
    }
  }
}

/**
 * Resolves when a response has room again or is over; one whose client takes nothing for `stallMs` is ended.
 */
export function waitForRoom(response: ServerResponse, stallMs: number): Promise<void> {
  return new Promise((resolve) => {
    const stalled = setTimeout(() => response.destroy(), stallMs);
    const go = () => {
      clearTimeout(stalled);
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}
