// A service made at run time with a method of every kind, for tests of what carries calls. The contract has no
// client streams yet, and transports must carry them the day it does.
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel as Idempotency,
} from "@bufbuild/protobuf/wkt";
import type { CallContext } from "./call.ts";
import { createDispatcher, type Dispatcher, type StreamCall, type UnaryCall } from "./dispatch.ts";
import { SylaError } from "./error.ts";

/** The one message of the probe service. */
export interface Note extends Message {
  readonly text: string;
  readonly count: number;
  readonly payload: Uint8Array;
}

/** What happened in the handlers. */
export interface ProbeLog {
  /** Handlers that began. */
  started: number;
  /** Handlers whose `finally` ran. */
  ended: number;
  /** Messages given away by streams. */
  sent: number;
  /** The context of the last call. */
  context: CallContext | undefined;
}

const field = (name: string, number: number, type: Type) => ({
  name,
  jsonName: name,
  number,
  type,
  label: Label.OPTIONAL,
});

const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
  name,
  inputType: ".syla.probe.v1.Note",
  outputType: ".syla.probe.v1.Note",
  clientStreaming,
  serverStreaming,
  ...(name === "Echo" ? { options: { idempotencyLevel: Idempotency.NO_SIDE_EFFECTS } } : {}),
});

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "syla/probe/v1/probe.proto",
    package: "syla.probe.v1",
    syntax: "proto3",
    messageType: [
      {
        name: "Note",
        field: [
          field("text", 1, Type.STRING),
          field("count", 2, Type.INT32),
          field("payload", 3, Type.BYTES),
        ],
      },
    ],
    service: [
      {
        name: "ProbeService",
        method: [
          method("Echo", false, false),
          method("Count", false, true),
          method("Join", true, false),
          method("Chat", true, true),
        ],
      },
    ],
  }),
  () => undefined,
);

/** The schema of Note. */
export const noteSchema: DescMessage = found(registry.getMessage("syla.probe.v1.Note"));
/** The probe service. */
export const probeService: DescService = found(registry.getService("syla.probe.v1.ProbeService"));

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("The probe's descriptor is wrong.");
  return value;
}

/** A note; what is left out is empty. */
export function note(init: { text?: string; count?: number; payload?: Uint8Array }): Message {
  return create(noteSchema, init);
}

/** A message as the note it is. */
export function parseNote(message: Message): Note {
  return message as Note;
}

/** A dispatcher over the probe service, with a log of what its handlers did. */
export function createProbe(): { dispatcher: Dispatcher; log: ProbeLog } {
  const log: ProbeLog = { started: 0, ended: 0, sent: 0, context: undefined };
  const handlers: Readonly<Record<string, object>> = {
    echo: (request: Note, context: CallContext) =>
      logged(log, context, () => echo(request, context)),
    count: (request: Note, context: CallContext) => count(request, context, log),
    join: (requests: AsyncIterable<Note>, context: CallContext) =>
      logged(log, context, () => join(requests)),
    chat: (requests: AsyncIterable<Note>, context: CallContext) => chat(requests, context, log),
  };
  const handler = (desc: DescMethod) => parseHandler(found(handlers[desc.localName]));
  return { dispatcher: createDispatcher([{ service: probeService, handler }], []), log };
}

function parseHandler(handler: object): UnaryCall | StreamCall {
  return handler as UnaryCall | StreamCall;
}

async function logged(
  log: ProbeLog,
  context: CallContext,
  body: () => Promise<Message>,
): Promise<Message> {
  log.started += 1;
  log.context = context;
  try {
    return await body();
  } finally {
    log.ended += 1;
  }
}

async function echo(request: Note, context: CallContext): Promise<Message> {
  misbehave(request.text);
  context.responseHeaders.set("x-probe", "echo");
  if (request.text === "hang") await ended(context);
  return request;
}

function misbehave(text: string): void {
  if (text === "crash") throw new TypeError("secret detail");
  if (text === "surrogate") throw new SylaError("invalid_request", "Half a pair: \ud800.");
  if (text !== "fail") return;
  throw new SylaError("invalid_request", "Cannot accept /text: it is “fail” — 100 %.", {
    violations: [{ pointer: "/text", detail: "must not be fail", rule: "probe.text" }],
    retryAfterMs: 1500,
  });
}

/** Resolves when the call was ended from outside. */
function ended(context: CallContext): Promise<void> {
  return new Promise((resolve) => context.onAbort(() => resolve()));
}

async function* count(request: Note, context: CallContext, log: ProbeLog): AsyncGenerator<Message> {
  log.started += 1;
  log.context = context;
  try {
    const max = request.count === 0 ? Infinity : request.count;
    for (let number = 1; number <= max; number += 1) {
      log.sent += 1;
      yield note({ count: number, payload: request.payload });
    }
    misbehave(request.text);
    if (request.text === "hang") await ended(context);
  } finally {
    log.ended += 1;
  }
}

async function join(requests: AsyncIterable<Note>): Promise<Message> {
  const texts: string[] = [];
  for await (const { text } of requests) {
    misbehave(text);
    if (text === "enough") break;
    texts.push(text);
  }
  return note({ text: texts.join(" "), count: texts.length });
}

async function* chat(
  requests: AsyncIterable<Note>,
  context: CallContext,
  log: ProbeLog,
): AsyncGenerator<Message> {
  log.started += 1;
  log.context = context;
  try {
    for await (const { text } of requests) {
      misbehave(text);
      if (text === "enough") return;
      log.sent += 1;
      yield note({ text: `re: ${text}` });
    }
  } finally {
    log.ended += 1;
  }
}
