// A typed client of a service, over any dispatcher: in this process a call is a function call, over gRPC it is a
// stream on a connection, and the caller cannot tell which.
import {
  create,
  type DescMethod,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescMessage,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { CallContext, callerLeft } from "./call.ts";
import { type BoundMethod, type Dispatcher, methodPath } from "./dispatch.ts";
import { SylaError } from "./error.ts";

/** How one call is made. */
export interface CallOptions {
  /** The call on whose behalf this one is made: its id, trace, deadline and end are shared. */
  readonly parent?: CallContext;
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /** When the call ends at the latest, in milliseconds of `Date.now()`. */
  readonly deadline?: number;
}

type ClientMethod<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (
            requests: AsyncIterable<MessageInitShape<I>>,
            options?: CallOptions,
          ) => Promise<MessageShape<O>>
        : never;

/** A client with one function for every method but those that stream both ways. */
export type Client<S extends DescService> = {
  readonly [Name in keyof S["method"]]: ClientMethod<S["method"][Name]>;
};

/** Makes the client of a service that a dispatcher reaches. */
export function createClient<S extends DescService>(service: S, dispatcher: Dispatcher): Client<S> {
  const methods: Record<string, unknown> = {};
  for (const desc of service.methods) {
    const bound = dispatcher.method(methodPath(desc));
    if (bound === undefined) throw new Error(`Cannot call ${methodPath(desc)}: it is not served.`);
    methods[desc.localName] = clientMethod(desc, bound);
  }
  return parseClient<S>(methods);
}

// Built method by method from the same descriptor that the type is computed from.
function parseClient<S extends DescService>(methods: object): Client<S> {
  return methods as Client<S>;
}

function clientMethod(desc: DescMethod, bound: BoundMethod) {
  const { unary, stream } = bound;
  if (unary !== undefined) {
    return (request: MessageInitShape<typeof desc.input>, options: CallOptions = {}) =>
      unary(create(desc.input, request), openContext(options));
  }
  if (desc.methodKind === "client_streaming") {
    return (
      requests: AsyncIterable<MessageInitShape<typeof desc.input>>,
      options: CallOptions = {},
    ) => onlyAnswer(stream?.(created(desc.input, requests), openContext(options)), bound.path);
  }
  return (
    request: MessageInitShape<typeof desc.input>,
    options: CallOptions = {},
  ): AsyncIterable<Message> => {
    if (stream === undefined) throw new SylaError("unimplemented", `${bound.path} is not served.`);
    return stream(create(desc.input, request), openContext(options));
  };
}

async function* created(
  desc: DescMessage,
  requests: AsyncIterable<MessageInitShape<DescMessage>>,
): AsyncGenerator<Message> {
  for await (const request of requests) yield create(desc, request);
}

async function onlyAnswer(
  answers: AsyncIterable<Message> | undefined,
  path: string,
): Promise<Message> {
  let last: Message | undefined;
  for await (const answer of answers ?? []) last = answer;
  if (last === undefined) throw new SylaError("unimplemented", `${path} is not served.`);
  return last;
}

function openContext(options: CallOptions): CallContext {
  const { parent, signal, deadline } = options;
  const context = parent === undefined ? new CallContext({ deadline }) : parent.child({ deadline });
  if (signal?.aborted === true) context.abort(callerLeft());
  else signal?.addEventListener("abort", () => context.abort(callerLeft()), { once: true });
  return context;
}
