// Subscriptions (and any other operation) over a WebSocket, in the graphql-transport-ws protocol. The library speaks
// the protocol; this side sees to it that an operation's handler ends with it. Left alone, a subscription that waits
// for its next event would go on after its client unsubscribed.
import type { Server } from "node:http";
import { CallContext, callerLeft, type HeaderSource } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import {
  execute,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
  subscribe,
} from "graphql";
import { CloseCode, handleProtocols, makeServer } from "graphql-ws";
import { WebSocketServer } from "ws";
import { NodeHeaders } from "../context.ts";
import { isDocument, type Prepared } from "./document.ts";
import { type ErrorLog, formatError } from "./error.ts";
import type { OperationContext } from "./schema.ts";
import { openPeer, type Peer } from "../peer.ts";
import { onUpgrade, type SocketRules } from "../upgrade.ts";

const operationsMax = 100;

/** What subscriptions are served from. */
export interface Subscriptions {
  readonly schema: GraphQLSchema;
  readonly prepare: (text: string) => Prepared;
  readonly path: string;
  readonly rules: SocketRules;
  readonly log: ErrorLog;
}

/** What is known of a connection. */
interface Connection {
  readonly peer: Peer;
  readonly headers: HeaderSource;
  /** The calls of running operations, by the client's id of each. An id may be used again at once. */
  readonly calls: Map<string, CallContext>;
  /** The same by the message that asked, which is of one operation for good. */
  readonly asked: WeakMap<object, CallContext>;
}

/** Takes GraphQL's WebSockets. */
export function registerSubscriptions(http: Server, subscriptions: Subscriptions): void {
  const { rules, path } = subscriptions;
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: rules.frameBytesMax,
    handleProtocols,
  });
  const server = protocolServer(subscriptions);
  onUpgrade(http, rules, (asked) => {
    if (asked !== path) return undefined;
    return (handshake) =>
      openPeer(sockets, handshake, rules.heartbeatMs, (peer) => {
        const headers = new NodeHeaders(handshake.request.headers);
        serve(server, peer, { peer, headers, calls: new Map(), asked: new WeakMap() });
      });
  });
}

type ProtocolServer = ReturnType<typeof protocolServer>;

function protocolServer({ schema, prepare, log }: Subscriptions) {
  const format = (errors: readonly GraphQLError[], { asked }: Connection, payload: object) => {
    const requestId = asked.get(payload)?.requestId ?? "";
    return errors.map((error) => formatError(error, requestId, log));
  };
  return makeServer<Record<string, unknown>, Connection>({
    onSubscribe: ({ extra }, id, payload) => {
      if (extra.calls.size >= operationsMax) return [busy()];
      const prepared = prepare(payload.query);
      const call = new CallContext({ headers: extra.headers, surface: "graphql" });
      extra.asked.set(payload, call);
      if (!isDocument(prepared)) return prepared;
      extra.calls.set(id, call);
      const { operationName, variables } = payload;
      const contextValue: OperationContext = { call };
      return { schema, document: prepared, operationName, variableValues: variables, contextValue };
    },
    execute: (args) => execute(args),
    subscribe: (args) => subscribed(args),
    onNext: ({ extra }, _id, payload, _args, { data, errors }) =>
      errors === undefined
        ? undefined
        : { ...(data === undefined ? {} : { data }), errors: format(errors, extra, payload) },
    onError: ({ extra }, id, payload, errors) => {
      forget(extra, id, payload);
      return format(errors, extra, payload);
    },
    onComplete: ({ extra }, id, payload) => forget(extra, id, payload),
  });
}

function forget({ calls, asked }: Connection, id: string, payload: object): void {
  if (calls.get(id) === asked.get(payload)) calls.delete(id);
}

function busy(): GraphQLError {
  const message = `Cannot take more than ${operationsMax} operations at one time on a connection.`;
  return new GraphQLError(message, { cause: new SylaError("too_many_calls", message) });
}

async function subscribed(
  args: ExecutionArgs,
): Promise<AsyncGenerator<ExecutionResult> | ExecutionResult> {
  return subscribe(args);
}

function serve(server: ProtocolServer, peer: Peer, connection: Connection): void {
  let onMessage: ((text: string) => Promise<void>) | undefined;
  const closed = server.opened(
    {
      protocol: peer.protocol,
      // Waiting here is what holds a handler back while its client does not read.
      send: async (text) => void (await peer.send(text)),
      close: (code = CloseCode.InternalServerError, reason = "") => peer.close(code, reason),
      onMessage: (listener) => {
        onMessage = listener;
      },
    },
    connection,
  );
  peer.isIdle = () => connection.calls.size === 0;
  peer.endCalls = (reason) => {
    for (const call of connection.calls.values()) call.abort(reason);
  };
  peer.onText((text) => {
    const ended = completedId(text);
    if (ended !== undefined) connection.calls.get(ended)?.abort(callerLeft());
    // Settles when all that the message asked for is sent.
    onMessage?.(text)
      .catch(() => peer.close(CloseCode.InternalServerError, "Something went wrong."))
      .finally(() => peer.rest());
  });
  peer.onClose((code, reason) => {
    peer.endCalls(callerLeft());
    connection.calls.clear();
    closed(code, reason).catch(() => undefined);
  });
}

// The library tells nobody that a client unsubscribed from an operation that is waiting.
function completedId(text: string): string | undefined {
  if (!text.includes('"complete"')) return undefined;
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message !== "object" || message === null) return undefined;
    const isComplete = "type" in message && message.type === "complete";
    return isComplete && "id" in message && typeof message.id === "string" ? message.id : undefined;
  } catch {
    return undefined;
  }
}
