// Opens the context of a call that came by HTTP: its id, its trace, until when its caller waits, and whether they
// still do. A closure for each response ties the two together, not a table on the side: it goes when the response goes.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { CallContext, callerLeft, type HeaderSource } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";

/** Request headers of Node as the kit looks them up. */
export class NodeHeaders implements HeaderSource {
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  get(name: string): string | undefined {
    const value = this.#headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }
}

/** The context of a call by HTTP; it is ended when the connection closes before the answer is written. */
export function openContext(
  request: IncomingMessage,
  response: ServerResponse,
  surface: string,
): CallContext {
  const { headers } = request;
  const id = headers["x-request-id"];
  const traceparent = headers["traceparent"];
  const context = new CallContext({
    headers: new NodeHeaders(headers),
    requestId: typeof id === "string" ? id : undefined,
    traceparent: typeof traceparent === "string" ? traceparent : undefined,
    surface,
  });
  response.on("close", () => {
    if (!response.writableFinished) context.abort(callerLeft());
  });
  return context;
}

const secondsShape = /^\d{1,8}(?:\.\d{1,6})?$/;
const grpcShape = /^(\d{1,8})([HMSmun])$/;
const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * How many milliseconds a caller waits: `X-Request-Timeout` in seconds ("2.5"), or that or `grpc-timeout` as gRPC
 * writes it ("2500m"). Undefined when neither header is there; throws when one cannot be read.
 */
export function parseTimeout(headers: IncomingHttpHeaders): number | undefined {
  const text = headers["x-request-timeout"] ?? headers["grpc-timeout"];
  if (text === undefined) return undefined;
  if (typeof text === "string" && secondsShape.test(text)) return Number(text) * 1000;
  const match = typeof text === "string" ? grpcShape.exec(text) : null;
  if (match === null) {
    const detail = `expected seconds such as 2.5, or 2500m, in X-Request-Timeout, got ${String(text)}`;
    throw new SylaError("invalid_request", `Cannot accept the request: ${detail}.`, {
      violations: [{ pointer: "", detail, rule: "header.timeout" }],
    });
  }
  return Number(match[1]) * (unitMs[match[2] ?? "S"] ?? 1000);
}
