// Reaches services of another process over gRPC. The answer is a dispatcher like that of services of this process:
// the same guard arms deadlines and ends calls, so a caller cannot tell which of the two it holds.
import {
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import {
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import type { CallContext } from "./call.ts";
import {
  createDispatcher,
  type Dispatcher,
  type Interceptor,
  methodPath,
  type StreamCall,
  type UnaryCall,
} from "./dispatch.ts";
import { SylaError } from "./error.ts";
import { fromGrpcStatus } from "./grpc-status.ts";
import { drained, received, toBuffer } from "./grpc-stream.ts";

const keepaliveMs = 30_000;
const reconnectBackoffMsMax = 2_000;

/** Whom a client trusts, and who it says it is. */
export interface GrpcClientTls {
  readonly authorities?: Buffer;
  readonly key?: Buffer;
  readonly certificate?: Buffer;
}

/** How services are reached. */
export interface GrpcClientOptions {
  /** `host:port`, or another target that gRPC resolves, such as `dns:` or `unix:`. */
  readonly address: string;
  /** Absent: cleartext. */
  readonly tls?: GrpcClientTls;
  /** The largest answer, in bytes; -1, the default, is no bound, as in memory. */
  readonly messageBytesMax?: number;
  /** Headers of the call on whose behalf one is made that travel with it; default authorization, idempotency-key. */
  readonly forwardedHeaders?: readonly string[];
  /** Done around every call on this side. */
  readonly interceptors?: readonly Interceptor[];
}

/** A dispatcher over one connection. */
export interface GrpcConnection extends Dispatcher {
  /** Ends the connection; calls that run on it are finished first. */
  close(): void;
}

/** Makes a dispatcher of services that another process serves. It connects when it is first used. */
export function connectGrpc(
  services: readonly DescService[],
  options: GrpcClientOptions,
): GrpcConnection {
  const client = new Client(options.address, credentials(options.tls), {
    "grpc.max_receive_message_length": options.messageBytesMax ?? -1,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.max_reconnect_backoff_ms": reconnectBackoffMsMax,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.enable_channelz": 0,
    // An environment's proxy is for the world outside, not for the platform's own services.
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    // Retries are the policy's matter, and need to know which methods are idempotent.
    "grpc.enable_retries": 0,
  });
  const forwarded = options.forwardedHeaders ?? ["authorization", "idempotency-key"];
  const implementations = services.map((service) => ({
    service,
    handler: (desc: DescMethod) => remoteCall({ client, desc, forwarded }),
  }));
  const dispatcher = createDispatcher(implementations, options.interceptors ?? []);
  return { ...dispatcher, close: () => client.close() };
}

function credentials(tls: GrpcClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  return ChannelCredentials.createSsl(
    tls.authorities ?? null,
    tls.key ?? null,
    tls.certificate ?? null,
  );
}

interface Remote {
  readonly client: Client;
  readonly desc: DescMethod;
  readonly forwarded: readonly string[];
}

function remoteCall(remote: Remote): UnaryCall | StreamCall {
  switch (remote.desc.methodKind) {
    case "unary":
      return parseCall(callUnary(remote));
    case "server_streaming":
      return parseCall(callServerStream(remote));
    case "client_streaming":
      return parseCall(callClientStream(remote));
    default:
      return parseCall(callBidi(remote));
  }
}

// The method's kind, which the descriptor tells, decides what is given and answered.
function parseCall(call: object): UnaryCall | StreamCall {
  return call as UnaryCall | StreamCall;
}

function codec({ desc }: Remote) {
  return {
    path: methodPath(desc),
    serialize: (request: Message) => toBuffer(toBinary(desc.input, request)),
    deserialize: (bytes: Buffer): Message => fromBinary(desc.output, bytes),
  };
}

type UnaryOutcome = (error: ServiceError | null, answer?: Message) => void;

function settle(
  context: CallContext,
  resolve: (answer: Message) => void,
  reject: (error: SylaError) => void,
): UnaryOutcome {
  return (error, answer) => {
    if (error !== null) return reject(context.aborted ?? fromGrpcStatus(error));
    if (answer !== undefined) return resolve(answer);
    reject(new SylaError("internal", "A call was answered with nothing."));
  };
}

function callUnary(remote: Remote) {
  const { path, serialize, deserialize } = codec(remote);
  return (request: Message, context: CallContext): Promise<Message> =>
    new Promise((resolve, reject) => {
      const metadata = headers(remote, context);
      const outcome = settle(context, resolve, reject);
      const call = remote.client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        callOptions(context),
        (error, answer) => {
          stop();
          outcome(error, answer);
        },
      );
      const stop = context.onAbort(() => call.cancel());
    });
}

function callServerStream(remote: Remote) {
  const { path, serialize, deserialize } = codec(remote);
  return (request: Message, context: CallContext): AsyncIterable<Message> => {
    const metadata = headers(remote, context);
    const start = () =>
      remote.client.makeServerStreamRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        callOptions(context),
      );
    return answers(start, context);
  };
}

function callClientStream(remote: Remote) {
  const { path, serialize, deserialize } = codec(remote);
  return (messages: AsyncIterable<Message>, context: CallContext): Promise<Message> => {
    const iterator = messages[Symbol.asyncIterator]();
    return new Promise<Message>((resolve, reject) => {
      const call = remote.client.makeClientStreamRequest(
        path,
        serialize,
        deserialize,
        headers(remote, context),
        callOptions(context),
        (error, answer) => {
          stop();
          settle(context, resolve, reject)(error, answer);
        },
      );
      const stop = context.onAbort(() => call.cancel());
      sendAll(iterator, call).catch((thrown: unknown) => {
        reject(thrown);
        call.cancel();
      });
    }).finally(() => end(iterator));
  };
}

function callBidi(remote: Remote) {
  const { path, serialize, deserialize } = codec(remote);
  return async function* (
    messages: AsyncIterable<Message>,
    context: CallContext,
  ): AsyncGenerator<Message> {
    const iterator = messages[Symbol.asyncIterator]();
    let failure: unknown;
    const start = () => {
      const call = remote.client.makeBidiStreamRequest(
        path,
        serialize,
        deserialize,
        headers(remote, context),
        callOptions(context),
      );
      sendAll(iterator, call).catch((thrown: unknown) => {
        failure = thrown;
        call.cancel();
      });
      return call;
    };
    try {
      yield* answers(start, context);
    } catch (thrown) {
      throw failure ?? thrown;
    } finally {
      end(iterator);
    }
  };
}

async function* answers(
  start: () => ClientReadableStream<Message> | ClientDuplexStream<Message, Message>,
  context: CallContext,
): AsyncGenerator<Message> {
  const call = start();
  // Cancelling makes an error event, also when nobody reads any more; unheard it would end the process.
  call.on("error", () => undefined);
  const stop = context.onAbort(() => call.cancel());
  try {
    yield* received(call, parseAnswer);
  } catch (thrown) {
    throw context.aborted ?? (isServiceError(thrown) ? fromGrpcStatus(thrown) : thrown);
  } finally {
    stop();
    call.cancel();
  }
}

function parseAnswer(chunk: unknown): Message {
  return chunk as Message;
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "number";
}

async function sendAll(
  messages: AsyncIterator<Message>,
  call: ClientWritableStream<Message> | ClientDuplexStream<Message, Message>,
): Promise<void> {
  for (;;) {
    const next = await messages.next();
    if (next.done === true) break;
    if (call.destroyed) return;
    if (!call.write(next.value)) await drained(call);
  }
  call.end();
}

// Not awaited: a sender that waits for something else must not hold the answer.
function end(messages: AsyncIterator<Message>): void {
  messages.return?.().catch(() => undefined);
}

function callOptions(context: CallContext): { deadline?: number } {
  return context.deadline === undefined ? {} : { deadline: context.deadline };
}

function headers({ forwarded }: Remote, context: CallContext): Metadata {
  const metadata = new Metadata();
  metadata.set("x-request-id", context.requestId);
  metadata.set("traceparent", context.traceparent);
  for (const name of forwarded) {
    const value = context.headers.get(name);
    if (value !== undefined) metadata.set(name, value);
  }
  return metadata;
}
