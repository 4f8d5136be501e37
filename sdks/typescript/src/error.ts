// One error for everything that can go wrong in a call. The platform sends its code, the wrong fields and when to try
// again as details of a status (google.rpc.ErrorInfo, BadRequest, RetryInfo); here they become plain properties, and
// what never reached the platform gets a code of the same catalogue.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@syla/contract/google/rpc/error_details";

/** The canonical statuses of gRPC, in lower case. */
export type Status =
  | "cancelled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

const statusOf: Readonly<Record<Code, Status>> = {
  [Code.Canceled]: "cancelled",
  [Code.Unknown]: "unknown",
  [Code.InvalidArgument]: "invalid_argument",
  [Code.DeadlineExceeded]: "deadline_exceeded",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "permission_denied",
  [Code.ResourceExhausted]: "resource_exhausted",
  [Code.FailedPrecondition]: "failed_precondition",
  [Code.Aborted]: "aborted",
  [Code.OutOfRange]: "out_of_range",
  [Code.Unimplemented]: "unimplemented",
  [Code.Internal]: "internal",
  [Code.Unavailable]: "unavailable",
  [Code.DataLoss]: "data_loss",
  [Code.Unauthenticated]: "unauthenticated",
};

/** One wrong field of a request. */
export interface Violation {
  /** JSON pointer (RFC 6901) to the field; "" is the whole request. */
  readonly pointer: string;
  /** What is wrong with it. */
  readonly detail: string;
  /** The id of the rule that it breaks. */
  readonly rule: string;
}

/** What a {@link SylaError} is made of. */
export interface SylaErrorOptions {
  /** What kind of failure it is. */
  readonly status: Status;
  /** The wrong fields; none by default. */
  readonly violations?: readonly Violation[];
  /** After how many milliseconds a retry can help, when the platform said so. */
  readonly retryAfterMs?: number | undefined;
  /** What was thrown underneath. */
  readonly cause?: unknown;
}

/**
 * A call that failed.
 *
 * @example
 * ```ts
 * const error = new SylaError("unknown_language", "There is no 'cobol' here.", {
 *   status: "invalid_argument",
 * });
 * console.log(error.code, error.status, error.violations.length);
 * ```
 */
export class SylaError extends Error {
  /** The stable code of Syla's catalogue, for example `execution_not_found`. */
  readonly code: string;
  /** What kind of failure it is. */
  readonly status: Status;
  /** Every wrong field of the request. */
  readonly violations: readonly Violation[];
  /** After how many milliseconds a retry can help, when the platform said so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options: SylaErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SylaError";
    this.code = code;
    this.status = options.status;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Where and under which signal a call was made, to word its failure. */
export interface CallPlace {
  readonly url: string;
  readonly signal?: AbortSignal | undefined;
}

/** What a call threw, as a {@link SylaError}. */
export function toSylaError(thrown: unknown, place: CallPlace): SylaError {
  if (thrown instanceof SylaError) return thrown;
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  if (info !== undefined) return fromDetails(info.reason, error);
  if (place.signal?.aborted === true) return fromSignal(place.signal, thrown);
  if (isOfConnection(error)) {
    return new SylaError("unreachable", `Cannot reach Syla at ${place.url}: ${reason(error)}.`, {
      status: "unavailable",
      cause: thrown,
    });
  }
  const status = statusOf[error.code];
  // Connect's words for an answer in none of its forms; Syla itself would have sent details.
  const foreign = /^HTTP \d+$/.test(error.rawMessage);
  const message = foreign
    ? `What answers at ${place.url} is not Syla, or an older one: ${error.rawMessage}.`
    : error.rawMessage;
  return new SylaError(status, message, { status, cause: thrown });
}

function fromDetails(code: string, error: ConnectError): SylaError {
  const violations = error
    .findDetails(BadRequestSchema)
    .flatMap((bad) => bad.fieldViolations)
    .map(({ field, description, reason: rule }) => ({ pointer: field, detail: description, rule }));
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new SylaError(code, error.rawMessage, {
    status: statusOf[error.code],
    violations,
    retryAfterMs: delay === undefined ? undefined : durationMs(delay),
    cause: error,
  });
}

function fromSignal(signal: AbortSignal, cause: unknown): SylaError {
  const late = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  const status = late ? "deadline_exceeded" : "cancelled";
  const message = late ? "The call took longer than allowed." : "The caller ended the call.";
  return new SylaError(status, message, { status, cause });
}

// The platform puts an ErrorInfo into every error of its own. One without it is from the way there: a refused or
// dropped connection (fetch throws a TypeError), a proxy's 502 to 504, a body that ended before its end marker.
function isOfConnection(error: ConnectError): boolean {
  if (error.code === Code.Unavailable) return true;
  return (
    error.code === Code.Unknown || error.code === Code.Internal || error.code === Code.DataLoss
  );
}

const socketErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was dropped",
  UND_ERR_SOCKET: "the connection was dropped",
  ENOTFOUND: "there is no such host",
  ETIMEDOUT: "the connection timed out",
};

function reason(error: ConnectError): string {
  const inner = error.cause instanceof Error ? error.cause.cause : undefined;
  if (!(inner instanceof Error)) return error.rawMessage;
  const code = "code" in inner && typeof inner.code === "string" ? inner.code : inner.message;
  return socketErrors[code] ?? code;
}
