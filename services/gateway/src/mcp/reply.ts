// The response to one message of the Model Context Protocol: JSON, unless it becomes a stream of events on the way,
// because the call takes its time or tells what it prints.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import { type AnswerRules, contextHeaders, sendAnswer } from "../answer.ts";
import { EventStream, type StreamFrame, type StreamRules } from "../sse.ts";

/** One POST, GET or DELETE. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly context: CallContext;
}

/** What a client takes. */
export interface Accepted {
  readonly json: boolean;
  readonly events: boolean;
}

/** What holds for all of them. */
export interface ReplyRules {
  readonly answers: AnswerRules;
  readonly streams: StreamRules;
}

const frame: StreamFrame = {
  contentType: "text/event-stream",
  heartbeat: ": still here\n\n",
  reconnect: "",
};

/** Writes one JSON value, or a status alone. */
export function sendJson(
  { request, response, context }: Exchange,
  { answers }: Pick<ReplyRules, "answers">,
  status: number,
  json: JsonValue | undefined,
): void {
  const headers = [...contextHeaders(context), "Cache-Control", "no-store"];
  const text = json === undefined ? "" : JSON.stringify(json);
  const contentType = "application/json";
  sendAnswer(request, response, { status, contentType, text, headers }, answers);
}

/** The response to a POST: JSON, unless it becomes a stream of events on the way. */
export class McpReply {
  readonly #exchange: Exchange;
  readonly #rules: ReplyRules;
  readonly #accepted: Accepted;
  readonly #opening: NodeJS.Timeout | undefined;
  #stream: EventStream | undefined;

  constructor(exchange: Exchange, rules: ReplyRules, accepted: Accepted) {
    this.#exchange = exchange;
    this.#rules = rules;
    this.#accepted = accepted;
    if (!accepted.events) return;
    if (!accepted.json) this.#open();
    // A client or a proxy would give up on a response that does not begin.
    else this.#opening = setTimeout(() => this.#open(), rules.streams.streamOpenMs);
  }

  /** Whether it may end without an answer. */
  get canBeEmpty(): boolean {
    return this.#accepted.events;
  }

  /** Sends a message before the answer, to a client that can take it; answers when there is room for the next. */
  notify(message: JsonObject): Promise<void> | undefined {
    return this.#accepted.events ? this.#open()?.write(eventOf(message)) : undefined;
  }

  /** Sends the answer, the answers to a batch, or, when the client waits for none any more, an end. */
  finish(answer: JsonObject | JsonObject[] | undefined): void {
    clearTimeout(this.#opening);
    const answers = answer === undefined ? [] : [answer].flat();
    const stream = answers.length === 0 ? this.#open() : this.#stream;
    if (stream === undefined) sendJson(this.#exchange, this.#rules, 200, answer);
    else stream.finish(answers.map(eventOf).join(""));
  }

  /** Stops the timers. */
  dispose(): void {
    clearTimeout(this.#opening);
    this.#stream?.dispose();
  }

  #open(): EventStream | undefined {
    if (this.#stream === undefined && !this.#exchange.response.headersSent) {
      const place = { ...this.#exchange, resumable: false };
      this.#stream = new EventStream(place, frame, this.#rules.streams);
      this.#stream.open();
    }
    return this.#stream;
  }
}

function eventOf(message: JsonObject): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}
