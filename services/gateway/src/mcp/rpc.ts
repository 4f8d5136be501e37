// JSON-RPC 2.0 (https://www.jsonrpc.org/specification) as far as the Model Context Protocol uses it: what came is a
// request, a notification or an answer; what cannot be either is told with a code.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Numbers of the protocol's own errors. */
export const rpcCodes = {
  parse: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
} as const;

/** How a client names one of its requests. */
export type RequestId = string | number;

/** What a client sent. An answer to a request of ours is none: there are no such requests. */
export type RpcMessage =
  | {
      readonly kind: "request";
      readonly id: RequestId;
      readonly method: string;
      readonly params: JsonObject;
    }
  | { readonly kind: "notification"; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "answer" };

/** An error of the protocol, not of a tool. */
export class RpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = "RpcError";
    this.code = code;
  }
}

// Ids are kept while a call runs and come back in its answer.
const idCharsMax = 256;
const versioned = { jsonrpc: "2.0" } as const;

/** Reads one message; throws an `RpcError` when it is none. */
export function readRpc(json: JsonValue): RpcMessage {
  if (!isObject(json) || json["jsonrpc"] !== "2.0") {
    throw invalid('it is not an object with "jsonrpc": "2.0"');
  }
  const { id, method, params = {} } = json;
  if (method === undefined && ("result" in json || "error" in json)) return { kind: "answer" };
  if (typeof method !== "string") throw invalid("its method is not a text");
  if (!isObject(params)) throw invalid("its params are not an object");
  if (id === undefined) return { kind: "notification", method, params };
  if (!isRequestId(id)) throw invalid("its id is neither a text nor a whole number");
  return { kind: "request", id, method, params };
}

/** Whether a value can name a request. */
export function isRequestId(value: JsonValue | undefined): value is RequestId {
  return typeof value === "string" ? value.length <= idCharsMax : Number.isSafeInteger(value);
}

/** Whether a value is an object. */
export function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function invalid(why: string): RpcError {
  return new RpcError(rpcCodes.invalidRequest, `Cannot read the message as JSON-RPC: ${why}.`);
}

/** The answer to a request. */
export function rpcResult(id: RequestId, result: JsonObject): JsonObject {
  return { ...versioned, id, result };
}

/** The answer to a request that cannot be served, or to what names none. */
export function rpcFailure(id: RequestId | null, { code, message }: RpcError): JsonObject {
  return { ...versioned, id, error: { code, message } };
}

/** A notification. */
export function rpcNotification(method: string, params: JsonObject): JsonObject {
  return { ...versioned, method, params };
}
