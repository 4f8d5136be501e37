// What the messages of a stream look like on the wire: server-sent events, lines of JSON, or the foreign event format
// that a method's policy names (S4's REPL: bare text, `ERROR: ...`, `event: done`).
import type { DescField, Message } from "@bufbuild/protobuf";
import type { BoundMethod } from "@syla/kit/dispatch";
import { messageWriter } from "./json.ts";
import type { Problem } from "./problem.ts";

/** The texts of one stream. */
export interface StreamFormat {
  readonly contentType: string;
  /** What a silent stream says. */
  readonly heartbeat: string;
  /** The last words of a stream that ended well. */
  readonly end: string;
  /** The last words of a stream that is cut on purpose; its client is to come back for the rest. */
  readonly reconnect: string;
  event(message: Message): string;
  /** The last words of a stream that failed. */
  error(problem: Problem): string;
}

const eventsType = "text/event-stream";
const heartbeat = ": still here\n\n";
const reconnect = ": come back with the last id\nretry: 1000\n\n";

/** Both forms of a method's stream. */
export function formatsOf(method: BoundMethod): {
  readonly events: StreamFormat;
  readonly lines: StreamFormat;
} {
  const { serverSentEvents } = method.policy;
  const field = method.desc.output.fields.find(({ name }) => name === serverSentEvents?.dataField);
  const events =
    serverSentEvents === undefined || field === undefined
      ? usualEvents(method)
      : foreignEvents(field, serverSentEvents);
  return { events, lines: jsonLines(method) };
}

function usualEvents({ desc, policy }: BoundMethod): StreamFormat {
  const write = messageWriter(desc.output);
  const { cursorField } = policy;
  const id = (message: Message) =>
    cursorField === undefined ? "" : `id: ${String(parseFields(message)[cursorField])}\n`;
  return {
    contentType: eventsType,
    heartbeat,
    end: "event: end\ndata: {}\n\n",
    reconnect,
    event: (message) => `${id(message)}data: ${write(message)}\n\n`,
    error: (problem) => `event: error\ndata: ${JSON.stringify(problem)}\n\n`,
  };
}

// The message's type, which names its fields, is only known at run time.
function parseFields(message: Message): Readonly<Record<string, unknown>> {
  return message;
}

function jsonLines({ desc }: BoundMethod): StreamFormat {
  const write = messageWriter(desc.output);
  return {
    contentType: "application/x-ndjson",
    // Whoever reads lines as JSON would stumble over an empty one; a stream of lines stays silent.
    heartbeat: "",
    end: "",
    reconnect: "",
    event: (message) => `${write(message)}\n`,
    error: (problem) => `${JSON.stringify({ error: problem })}\n`,
  };
}

function foreignEvents(
  field: DescField,
  names: { readonly endEvent: string; readonly errorPrefix: string },
): StreamFormat {
  const end = `event: ${names.endEvent}\ndata:\n\n`;
  return {
    contentType: eventsType,
    heartbeat,
    end,
    reconnect,
    event: (message) => dataLines(String(parseFields(message)[field.localName])),
    error: ({ detail }) => dataLines(`${names.errorPrefix}${detail}`) + end,
  };
}

// A line break cannot stand in a line of data; a client joins the lines of one event again.
function dataLines(text: string): string {
  return `${text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("")}\n`;
}
