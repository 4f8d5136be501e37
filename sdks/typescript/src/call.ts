// A typed client of a service, made from its descriptor: one function for each method. It is thinner than connect's
// own client in one way and thicker in two: failures are SylaErrors, and leaving a stream ends it on the platform
// (connect's client leaves the call open when a `for await` breaks).
import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { SylaError, toSylaError } from "./error.ts";

/** How one call is made. */
export interface CallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /** After how many milliseconds the call ends; by default the platform decides. */
  readonly timeoutMs?: number;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

type ClientMethod<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never;

/** A client with one function for every unary and server-streaming method of a service. */
export type Client<S extends DescService> = {
  readonly [Name in keyof S["method"]]: ClientMethod<S["method"][Name]>;
};

/** A way to a platform. */
export interface Link {
  /** Where the platform is, for messages. */
  readonly url: string;
  /** Carries the calls. */
  readonly transport: Transport;
}

/** Makes the client of a service. */
export function createClient<S extends DescService>(service: S, link: Link): Client<S> {
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) methods[method.localName] = clientMethod(method, link);
  return parseClient<S>(methods);
}

// Built method by method from the descriptor that the type is computed from.
function parseClient<S extends DescService>(methods: object): Client<S> {
  return methods as Client<S>;
}

function clientMethod(method: DescMethod, link: Link) {
  if (isUnary(method)) {
    return (request: MessageInitShape<DescMethod["input"]>, options?: CallOptions) =>
      callUnary(method, link, request, options);
  }
  if (isServerStreaming(method)) {
    return (request: MessageInitShape<DescMethod["input"]>, options?: CallOptions) =>
      callStream(method, link, request, options);
  }
  return () => {
    throw new SylaError("unimplemented", `${method.name} streams both ways, which fetch cannot.`, {
      status: "unimplemented",
    });
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

function isServerStreaming(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}

async function callUnary(
  method: DescMethodUnary,
  link: Link,
  request: MessageInitShape<DescMethod["input"]>,
  options: CallOptions = {},
): Promise<Message> {
  const { signal, timeoutMs, headers } = options;
  try {
    const answer = await link.transport.unary(method, signal, timeoutMs, headers, request);
    return answer.message;
  } catch (thrown) {
    throw toSylaError(thrown, { url: link.url, signal });
  }
}

async function* callStream(
  method: DescMethodServerStreaming,
  link: Link,
  request: MessageInitShape<DescMethod["input"]>,
  options: CallOptions = {},
): AsyncGenerator<Message, void> {
  const { timeoutMs, headers } = options;
  const left = new AbortController();
  const signal =
    options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
  try {
    const answer = await link.transport.stream(method, signal, timeoutMs, headers, once(request));
    yield* answer.message;
  } catch (thrown) {
    throw toSylaError(thrown, { url: link.url, signal: options.signal });
  } finally {
    left.abort();
  }
}

async function* once<T>(value: T): AsyncGenerator<T, void> {
  yield value;
}
