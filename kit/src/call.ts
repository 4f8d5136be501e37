// The context of one call: who asked, under which id, until when, and whether they still wait. What a call may never
// read (an AbortSignal, response headers) is made when it is read, because making them costs more than the call.
import { randomBytes } from "node:crypto";
import { SylaError } from "./error.ts";

/** Where request headers are looked up; names are lower case. */
export interface HeaderSource {
  get(name: string): string | undefined;
}

const noHeaders: HeaderSource = { get: () => undefined };

/** W3C trace context: the trace this call belongs to, and the span that is its parent. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** Who asks, once that is known. */
export interface Principal {
  readonly name: string;
}

export interface CallContextOptions {
  readonly headers?: HeaderSource;
  /** Kept when it is 1 to 128 printable ASCII characters; else a new one is made. */
  readonly requestId?: string | undefined;
  readonly traceparent?: string | undefined;
  /** When the call ends at the latest, in milliseconds of `Date.now()`. */
  readonly deadline?: number | undefined;
  /** Which surface the call came in by: `rest`, `grpc`, `graphql`, `memory`... */
  readonly surface?: string;
}

const requestIdShape = /^[\x21-\x7e]{1,128}$/;
const traceparentShape = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;

/** Reads a `traceparent` header (https://www.w3.org/TR/trace-context/), or undefined when it is not one. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const match = text === undefined ? null : traceparentShape.exec(text);
  if (match === null || text?.startsWith("ff")) return undefined;
  const [, traceId = "", spanId = "", flags = "00"] = match;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

// Random ids are cut from a pool: one randomBytes call an id was a measurable part of an empty call.
const poolBytes = 4096;
let pool = "";
let poolOffset = 0;

function randomHex(digits: number): string {
  if (poolOffset + digits > pool.length) {
    pool = randomBytes(poolBytes).toString("hex");
    poolOffset = 0;
  }
  const start = poolOffset;
  poolOffset += digits;
  return pool.slice(start, poolOffset);
}

/** The context of one call, from its acceptance to its answer. */
export class CallContext {
  readonly headers: HeaderSource;
  readonly surface: string;
  readonly requestId: string;
  deadline: number | undefined;
  /** Set by who finds out: the interceptor, or a surface whose clients say it in their own way. */
  principal: Principal | undefined;
  #traceparent: string | undefined;
  #trace: TraceContext | undefined;
  #ended: SylaError | undefined;
  #listeners: Set<(reason: SylaError) => void> | undefined;
  #controller: AbortController | undefined;
  #responseHeaders: Map<string, string> | undefined;

  constructor(options: CallContextOptions = {}) {
    this.headers = options.headers ?? noHeaders;
    this.surface = options.surface ?? "memory";
    const given = options.requestId;
    this.requestId = given !== undefined && requestIdShape.test(given) ? given : randomHex(32);
    this.deadline = options.deadline;
    this.#traceparent = options.traceparent;
  }

  /** The trace this call belongs to, with a span of its own. */
  get trace(): TraceContext {
    if (this.#trace === undefined) {
      const parent = parseTraceparent(this.#traceparent);
      this.#trace = {
        traceId: parent?.traceId ?? randomHex(32),
        spanId: randomHex(16),
        sampled: parent?.sampled ?? false,
      };
    }
    return this.#trace;
  }

  /** The `traceparent` to send onwards. */
  get traceparent(): string {
    const { traceId, spanId, sampled } = this.trace;
    return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
  }

  /** Why the call was ended from outside, once it was. */
  get aborted(): SylaError | undefined {
    return this.#ended;
  }

  /** Ends the call from outside: its caller went away, or its time is up. Only the first reason counts. */
  abort(reason: SylaError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#controller?.abort(reason);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener(reason);
  }

  /** Calls back once when the call is ended from outside, at once if it already was. Answers how to stop that. */
  onAbort(listener: (reason: SylaError) => void): () => void {
    if (this.#ended !== undefined) {
      listener(this.#ended);
      return () => undefined;
    }
    const listeners = (this.#listeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** The same as a signal, for what takes one. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  /** Throws the reason if the call was ended from outside. */
  throwIfAborted(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** Headers for the answer; lower-case names. */
  get responseHeaders(): Map<string, string> {
    return (this.#responseHeaders ??= new Map());
  }

  /** The headers for the answer, if any were set. */
  get responseHeadersIfSet(): ReadonlyMap<string, string> | undefined {
    return this.#responseHeaders;
  }

  /** A context for a call made on behalf of this one: same id, same trace, ended with it, no later deadline. */
  child(options: { readonly deadline?: number | undefined } = {}): CallContext {
    const child = new CallContext({
      headers: this.headers,
      requestId: this.requestId,
      traceparent: this.traceparent,
      deadline: earlier(this.deadline, options.deadline),
      surface: this.surface,
    });
    child.principal = this.principal;
    child.#unlink = this.onAbort((reason) => child.abort(reason));
    return child;
  }

  #unlink: (() => void) | undefined;

  /** Lets go of the parent; the dispatcher calls it when the call is over. */
  finish(): void {
    this.#unlink?.();
    this.#unlink = undefined;
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return Math.min(a, b);
}

/** The error of a call whose time is up. */
export function tooLate(): SylaError {
  return new SylaError("deadline_exceeded", "The call was not answered before its deadline.");
}

/** The error of a call whose caller went away. */
export function callerLeft(): SylaError {
  return new SylaError("cancelled", "The caller went away before the answer.");
}
