// An error as REST tells it: application/problem+json (RFC 9457). What is here is all that is told; a cause and a
// stack stay in the log. gRPC's details and GraphQL's extensions are made from the same error.
import { STATUS_CODES } from "node:http";
import type { SylaError, Violation } from "@syla/kit/error";

/** The media type of an error. */
export const problemType = "application/problem+json";

/** A problem, as it is sent. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly instance?: string;
  readonly requestId: string;
  readonly errors?: readonly Violation[];
}

/** Where an error happened. */
export interface ProblemPlace {
  /** The path that was asked for, if that is known, without its query, which may hold what is not to be repeated. */
  readonly instance: string | undefined;
  readonly requestId: string;
  /** JSON name of the field that the body is; pointers then begin inside it. */
  readonly bodyField?: string | undefined;
}

/** The problem that tells an error. */
export function toProblem(error: SylaError, place: ProblemPlace): Problem {
  const errors = error.violations.map((violation) => relativeTo(place.bodyField, violation));
  return {
    type: `urn:syla:error:${error.code}`,
    title: error.entry.title,
    status: error.httpStatus,
    detail: error.message,
    code: error.code,
    ...(place.instance === undefined ? {} : { instance: place.instance }),
    requestId: place.requestId,
    ...(errors.length === 0 ? {} : { errors }),
  };
}

/** The headers that an error adds to its answer, names and values in turn. */
export function problemHeaders(error: SylaError): readonly string[] {
  if (error.status === "unauthenticated") return ["WWW-Authenticate", "Bearer"];
  if (error.retryAfterMs === undefined) return [];
  return ["Retry-After", String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)))];
}

/** A whole HTTP/1.1 answer that tells an error, for a connection on which there is no response to write. */
export function problemAnswer(error: SylaError, place: ProblemPlace): string {
  const text = JSON.stringify(toProblem(error, place));
  const head = [
    `HTTP/1.1 ${error.httpStatus} ${STATUS_CODES[error.httpStatus] ?? error.status}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(text)}`,
    `X-Request-Id: ${place.requestId}`,
    "Connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${text}`;
}

// The body `{"language": ...}` of a method whose body is `spec` is told of /language, though the rule is on
// /spec/language.
function relativeTo(bodyField: string | undefined, violation: Violation): Violation {
  if (bodyField === undefined) return violation;
  const prefix = `/${bodyField}`;
  const { pointer } = violation;
  if (pointer !== prefix && !pointer.startsWith(`${prefix}/`)) return violation;
  return { ...violation, pointer: pointer.slice(prefix.length) };
}
