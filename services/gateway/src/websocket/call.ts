// One call over a WebSocket, on a connection of many or on its own: messages out as the client gives credit for them
// and reads them, messages in as the handler takes them, and an end that both sides know of.
import type { JsonValue, Message } from "@bufbuild/protobuf";
import { type CallContext, callerLeft } from "@syla/kit/call";
import type { BoundMethod } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import { messageWriter } from "../json.ts";
import type { Peer } from "../peer.ts";
import { toProblem } from "../problem.ts";
import { readMessage } from "../read-message.ts";

// How many messages a client may send ahead of the handler, per call.
const clientCredit = 16;
/** Credit is given back in lots, not singly. */
const creditLot = 8;

/** A call that runs. */
export interface SocketCall {
  /** Lets `count` more messages out. */
  addCredit(count: number): void;
  /** Takes a message of a client stream. */
  push(json: JsonValue): void;
  /** The client stream ends. */
  end(): void;
  /** The client wants no more. */
  cancel(): void;
}

/** Where a call's frames go and what they begin with. */
export interface CallSink {
  readonly peer: Peer;
  /** The call's id, absent when the connection is for one call. */
  readonly id: string | undefined;
  /** JSON name of the request field that the body is, for pointers. */
  readonly bodyField?: string | undefined;
  /** Called once, when the last frame is sent; with the error, if that is how it ended. */
  done(error: SylaError | undefined): void;
}

/** Begins a call with its request, or, for a method that takes a stream, with none. */
export function startCall(
  method: BoundMethod,
  request: Message | undefined,
  context: CallContext,
  sink: CallSink,
  credit: number | undefined,
): SocketCall {
  const begin = sink.id === undefined ? "{" : `{"id":${JSON.stringify(sink.id)},`;
  const outgoing = new Credit(credit ?? Number.POSITIVE_INFINITY, context);
  const incoming = new Incoming(method, context, (count) => {
    void sink.peer.send(`${begin}"credit":${count}}`);
  });
  const answers = answersOf(method, request ?? incoming, context);
  const write = messageWriter(method.desc.output);
  const deliver = async (): Promise<void> => {
    for await (const answer of answers) {
      if (!(await outgoing.take())) break;
      if (!(await sink.peer.send(`${begin}"message":${write(answer)}}`))) break;
    }
    context.throwIfAborted();
  };
  const finish = async (): Promise<void> => {
    const error = await deliver().then(() => undefined, toSylaError);
    const last = error === undefined ? '"end":true' : errorPart(error, method, context, sink);
    await sink.peer.send(`${begin}${last}}`);
    sink.done(error);
  };
  void finish();
  return {
    addCredit: (count) => outgoing.add(count),
    push: (json) => incoming.push(json),
    end: () => incoming.end(),
    cancel: () => context.abort(callerLeft()),
  };
}

/** The part of a frame that tells an error. */
export function errorPart(
  error: SylaError,
  method: { readonly path: string },
  { requestId }: { readonly requestId: string },
  { bodyField }: { readonly bodyField?: string | undefined } = {},
): string {
  const problem = toProblem(error, { instance: method.path, requestId, bodyField });
  return `"error":${JSON.stringify(problem)}`;
}

function answersOf(
  { unary, stream }: BoundMethod,
  request: Message | Incoming,
  context: CallContext,
): AsyncIterable<Message> {
  if (stream !== undefined) return stream(request, context);
  if (unary === undefined || request instanceof Incoming)
    throw new Error("Cannot call: no request.");
  return once(unary(request, context));
}

async function* once(answer: Promise<Message>): AsyncGenerator<Message> {
  yield await answer;
}

/** How many messages may still go out. */
class Credit {
  readonly #context: CallContext;
  #left: number;
  #wake: (() => void) | undefined;

  constructor(count: number, context: CallContext) {
    this.#left = count;
    this.#context = context;
  }

  add(count: number): void {
    this.#left += count;
    this.#wake?.();
  }

  /** Takes one, waiting for it; false when the call ended first. */
  async take(): Promise<boolean> {
    while (this.#left <= 0 && this.#context.aborted === undefined) {
      await new Promise<void>((resolve) => {
        const stop = this.#context.onAbort(() => resolve());
        this.#wake = () => {
          stop();
          resolve();
        };
      });
    }
    this.#left -= 1;
    return this.#context.aborted === undefined;
  }
}

/** The messages of a client stream, at most `clientCredit` of them waiting. */
class Incoming implements AsyncIterable<Message> {
  readonly #method: BoundMethod;
  readonly #context: CallContext;
  readonly #giveBack: (count: number) => void;
  readonly #waiting: Message[] = [];
  #taken = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(method: BoundMethod, context: CallContext, giveBack: (count: number) => void) {
    this.#method = method;
    this.#context = context;
    this.#giveBack = giveBack;
  }

  push(json: JsonValue): void {
    if (this.#ended) return;
    if (this.#waiting.length >= clientCredit) {
      const message = `Cannot take more than ${clientCredit} messages ahead of their credit.`;
      return this.#context.abort(new SylaError("invalid_request", message));
    }
    try {
      this.#waiting.push(readMessage(this.#method, json));
    } catch (thrown) {
      return this.#context.abort(toSylaError(thrown));
    }
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    const stop = this.#context.onAbort(() => this.#wake?.());
    try {
      for (;;) {
        this.#context.throwIfAborted();
        const next = this.#waiting.shift();
        if (next !== undefined) {
          this.#count();
          yield next;
        } else if (this.#ended) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      stop();
      this.#ended = true;
      this.#waiting.length = 0;
    }
  }

  #count(): void {
    this.#taken += 1;
    if (this.#taken < creditLot) return;
    this.#taken = 0;
    this.#giveBack(creditLot);
  }
}
