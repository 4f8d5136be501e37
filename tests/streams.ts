// Readers for the streams of the API: server-sent events as the HTML standard has them, and lines of JSON.
import assert from "node:assert/strict";
import { type ExecutionEvent, parseEvent } from "./api.ts";

/** One server-sent event. */
export interface SentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** The events of a stream, as they come (https://html.spec.whatwg.org/#event-stream-interpretation). */
export async function* readSentEvents(response: Response): AsyncGenerator<SentEvent> {
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  let id = "";
  let event = "";
  let data: string[] = [];
  for await (const line of readLines(response)) {
    if (line === "") {
      if (data.length > 0) yield { id, event: event || "message", data: data.join("\n") };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") id = value;
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
}

/** The lines of a body, without their ends. */
export async function* readLines(response: Response): AsyncGenerator<string> {
  assert.ok(response.body, "the response has a body");
  let held = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (held + text).split(/\r\n|\n|\r/);
    held = lines.pop() ?? "";
    yield* lines;
  }
  if (held !== "") yield held;
}

/** A stream of an execution to its end: its events, and whether its last words came. */
export async function readExecutionEvents(
  response: Response,
): Promise<{ readonly events: ExecutionEvent[]; readonly end: string | undefined }> {
  assert.equal(response.status, 200);
  const events: ExecutionEvent[] = [];
  let end: string | undefined;
  for await (const sent of readSentEvents(response)) {
    if (sent.event === "end" || sent.event === "error") {
      end = sent.event;
      continue;
    }
    const event = parseEvent(JSON.parse(sent.data));
    assert.equal(sent.id, String(event.number), "an event's id is its number");
    events.push(event);
  }
  return { events, end };
}

/** Asserts that events are numbered without a gap from a number on. */
export function assertGapless(events: readonly ExecutionEvent[], first = 1): void {
  const numbers = events.map(({ number }) => number);
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => first + index),
  );
}

/** What a program wrote to standard output, put together from events. */
export function stdoutOf(events: readonly ExecutionEvent[]): string {
  return events.map(({ stdout }) => stdout?.text ?? "").join("");
}
