// Every error that leaves Syla is one of this catalogue: a stable code, a status that each surface translates
// (gRPC status, HTTP status), whether trying again can help, and a message that says what, why and the offending
// value. A cause is kept for the log and never sent.
import { type Status, statuses } from "./error-status.ts";

interface Entry {
  readonly status: Status;
  readonly title: string;
  readonly retryable: boolean;
  /** Where HTTP has a better word than the status's own. */
  readonly http?: number;
}

/** Every code, for `docs/reference/errors.md` and for the surfaces. */
export const catalogue = {
  invalid_request: {
    status: "invalid_argument",
    title: "The request breaks a rule of the contract",
    retryable: false,
  },
  invalid_json: {
    status: "invalid_argument",
    title: "The body is not the JSON that was expected",
    retryable: false,
  },
  invalid_page_token: {
    status: "invalid_argument",
    title: "The page token does not belong to this query",
    retryable: false,
  },
  invalid_filter: {
    status: "invalid_argument",
    title: "The filter cannot be read",
    retryable: false,
  },
  unknown_language: {
    status: "invalid_argument",
    title: "The language is not offered here",
    retryable: false,
  },
  unsupported_media_type: {
    status: "invalid_argument",
    title: "The body's media type is not one of those understood",
    retryable: false,
    http: 415,
  },
  not_acceptable: {
    status: "invalid_argument",
    title: "None of the accepted media types can be produced",
    retryable: false,
    http: 406,
  },
  payload_too_large: {
    status: "resource_exhausted",
    title: "The request is larger than allowed",
    retryable: false,
    http: 413,
  },
  headers_too_large: {
    status: "resource_exhausted",
    title: "The request's head is larger than allowed",
    retryable: false,
    http: 431,
  },
  request_timeout: {
    status: "deadline_exceeded",
    title: "The request did not arrive in time",
    retryable: true,
    http: 408,
  },
  route_not_found: {
    status: "not_found",
    title: "There is nothing at this path",
    retryable: false,
  },
  method_not_allowed: {
    status: "unimplemented",
    title: "The path exists, but not with this verb",
    retryable: false,
    http: 405,
  },
  execution_not_found: {
    status: "not_found",
    title: "There is no such execution",
    retryable: false,
  },
  service_not_found: {
    status: "not_found",
    title: "There is no such service",
    retryable: false,
  },
  sandbox_not_found: {
    status: "not_found",
    title: "There is no such sandbox",
    retryable: false,
  },
  sandbox_ended: {
    status: "failed_precondition",
    title: "The sandbox has ended",
    retryable: false,
    http: 410,
  },
  sandbox_paused: {
    status: "failed_precondition",
    title: "The sandbox is paused",
    retryable: false,
    http: 409,
  },
  sandboxes_full: {
    status: "resource_exhausted",
    title: "As many sandboxes are kept as may be",
    retryable: true,
  },
  process_not_found: {
    status: "not_found",
    title: "There is no such process in the sandbox",
    retryable: false,
  },
  process_not_started: {
    status: "failed_precondition",
    title: "The process cannot be started",
    retryable: false,
  },
  process_input_closed: {
    status: "failed_precondition",
    title: "Nobody reads the process's input",
    retryable: false,
    http: 409,
  },
  process_without_terminal: {
    status: "failed_precondition",
    title: "The process has no terminal",
    retryable: false,
  },
  processes_full: {
    status: "resource_exhausted",
    title: "The sandbox runs as many processes as it can",
    retryable: true,
  },
  port_closed: {
    status: "unavailable",
    title: "Nothing listens at the port",
    retryable: true,
    http: 502,
  },
  port_broken: {
    status: "unavailable",
    title: "What listens at the port does not speak HTTP, or stopped in the middle",
    retryable: false,
    http: 502,
  },
  connections_full: {
    status: "resource_exhausted",
    title: "As many connections to the sandbox are open as may be",
    retryable: true,
  },
  file_not_found: {
    status: "not_found",
    title: "There is nothing at this path",
    retryable: false,
  },
  file_refused: {
    status: "permission_denied",
    title: "The sandbox's user may not do that there",
    retryable: false,
  },
  file_conflict: {
    status: "failed_precondition",
    title: "What is at the path does not allow that",
    retryable: false,
    http: 409,
  },
  file_too_large: {
    status: "out_of_range",
    title: "The file is larger than one answer holds",
    retryable: false,
  },
  invalid_archive: {
    status: "invalid_argument",
    title: "The archive is damaged, or holds what is not unpacked",
    retryable: false,
  },
  archives_full: {
    status: "resource_exhausted",
    title: "As many archives of the sandbox are on their way as may be",
    retryable: true,
  },
  presigned_refused: {
    status: "permission_denied",
    title: "The address is not good for this, or not any more",
    retryable: false,
  },
  invalid_range: {
    status: "out_of_range",
    title: "There is nothing in this range",
    retryable: false,
    http: 416,
  },
  sandbox_disk_full: {
    status: "resource_exhausted",
    title: "The sandbox's disk is full",
    retryable: false,
    http: 507,
  },
  session_not_found: {
    status: "not_found",
    title: "There is no such session",
    retryable: false,
  },
  session_ended: {
    status: "failed_precondition",
    title: "The session has ended",
    retryable: false,
    http: 410,
  },
  session_busy: {
    status: "failed_precondition",
    title: "The session runs a cell",
    retryable: true,
    http: 409,
  },
  sessions_full: {
    status: "resource_exhausted",
    title: "As many sessions are there as may be",
    retryable: true,
  },
  interpreter_not_started: {
    status: "failed_precondition",
    title: "The interpreter cannot be started",
    retryable: false,
  },
  cell_not_found: {
    status: "not_found",
    title: "There is no such cell in the session",
    retryable: false,
  },
  cells_full: {
    status: "resource_exhausted",
    title: "As many cells wait as may",
    retryable: true,
  },
  token_refused: {
    status: "permission_denied",
    title: "The token is missing or is not the one that is asked for",
    retryable: false,
  },
  too_many_channels: {
    status: "resource_exhausted",
    title: "As many connections to the kernel are open as may be",
    retryable: true,
  },
  input_not_asked: {
    status: "failed_precondition",
    title: "The cell asks nothing",
    retryable: false,
    http: 409,
  },
  network_ports_taken: {
    status: "failed_precondition",
    title: "The sandbox's processes have taken the ports of its network",
    retryable: false,
    http: 409,
  },
  snapshot_not_found: {
    status: "not_found",
    title: "There is no such snapshot",
    retryable: false,
  },
  snapshot_failed: {
    status: "failed_precondition",
    title: "The sandbox's files cannot be copied",
    retryable: false,
    http: 409,
  },
  snapshot_lost: {
    status: "data_loss",
    title: "The snapshot's files are not in the data folder",
    retryable: false,
  },
  snapshot_too_large: {
    status: "resource_exhausted",
    title: "The sandbox's files are more than one snapshot may have",
    retryable: false,
    http: 507,
  },
  snapshots_full: {
    status: "resource_exhausted",
    title: "Snapshots and templates take as much as they may",
    retryable: false,
    http: 507,
  },
  template_not_found: {
    status: "not_found",
    title: "There is no such template",
    retryable: false,
  },
  template_not_ready: {
    status: "failed_precondition",
    title: "The template is being built, or its build failed",
    retryable: true,
    http: 409,
  },
  template_failed: {
    status: "failed_precondition",
    title: "A step of the template's build failed",
    retryable: false,
  },
  queue_full: {
    status: "resource_exhausted",
    title: "Too many executions are waiting",
    retryable: true,
  },
  too_many_calls: {
    status: "resource_exhausted",
    title: "Too many calls are open on one connection",
    retryable: true,
  },
  sandbox_unavailable: {
    status: "unavailable",
    title: "No working isolation: code is refused",
    retryable: false,
  },
  database_unavailable: {
    status: "unavailable",
    title: "The database does not answer",
    retryable: true,
  },
  storage_full: {
    status: "unavailable",
    title: "The disk is full",
    retryable: true,
  },
  shutting_down: {
    status: "unavailable",
    title: "The platform is stopping",
    retryable: true,
  },
  overloaded: {
    status: "unavailable",
    title: "More work waits than can be kept",
    retryable: true,
  },
  transaction_conflict: {
    status: "aborted",
    title: "Another change came between",
    retryable: true,
  },
  database_mismatch: {
    status: "failed_precondition",
    title: "The database was made by another version",
    retryable: false,
  },
  unreachable: {
    status: "unavailable",
    title: "A service cannot be reached",
    retryable: true,
  },
  unimplemented: {
    status: "unimplemented",
    title: "The method is not served here",
    retryable: false,
  },
  cancelled: {
    status: "cancelled",
    title: "The caller went away",
    retryable: false,
  },
  deadline_exceeded: {
    status: "deadline_exceeded",
    title: "The call took longer than allowed",
    retryable: true,
  },
  query_too_complex: {
    status: "invalid_argument",
    title: "The query is deeper or costs more than allowed",
    retryable: false,
  },
  unauthenticated: {
    status: "unauthenticated",
    title: "It is not known who asks",
    retryable: false,
  },
  origin_not_allowed: {
    status: "permission_denied",
    title: "The page's origin is not allowed",
    retryable: false,
  },
  invalid_configuration: {
    status: "failed_precondition",
    title: "A setting is wrong",
    retryable: false,
  },
  already_running: {
    status: "failed_precondition",
    title: "Another process uses this data folder",
    retryable: false,
  },
  internal: {
    status: "internal",
    title: "Something went wrong on our side",
    retryable: false,
  },
} as const satisfies Readonly<Record<string, Entry>>;

/** The stable name of an error. */
export type ErrorCode = keyof typeof catalogue;

/** One wrong field of a request. */
export interface Violation {
  /** JSON pointer (RFC 6901) in the names of the JSON form; "" is the whole request. */
  readonly pointer: string;
  readonly detail: string;
  /** The id of the rule that was broken. */
  readonly rule: string;
}

export interface SylaErrorOptions {
  readonly violations?: readonly Violation[];
  /** After how many milliseconds a retry can help. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** An error of the catalogue. */
export class SylaError extends Error {
  readonly code: ErrorCode;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: SylaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SylaError";
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }

  get entry(): Entry {
    return catalogue[this.code];
  }

  get status(): Status {
    return this.entry.status;
  }

  get grpcCode(): number {
    return statuses[this.status].grpc;
  }

  get httpStatus(): number {
    return this.entry.http ?? statuses[this.status].http;
  }
}

/** Whether a text is a code of the catalogue. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(catalogue, text);
}

/** What was thrown, as an error of the catalogue: anything unknown is `internal`, with itself as the cause. */
export function toSylaError(thrown: unknown): SylaError {
  if (thrown instanceof SylaError) return thrown;
  return new SylaError(
    "internal",
    "An internal error happened; the log has it under this request's id.",
    {
      cause: thrown,
    },
  );
}
