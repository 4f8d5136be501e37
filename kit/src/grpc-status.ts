// An error of the catalogue as a gRPC status, and back. The facts travel in `grpc-status-details-bin` as a
// google.rpc.Status (AIP-193), because clients do not agree on how to decode `grpc-message`.
import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  type Any,
  anyPack,
  anyUnpack,
  type Duration,
  DurationSchema,
} from "@bufbuild/protobuf/wkt";
import { Metadata } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  StatusSchema,
} from "@syla/contract/google/rpc/error_details";
import { type ErrorCode, isErrorCode, SylaError, toSylaError, type Violation } from "./error.ts";

const detailsKey = "grpc-status-details-bin";
const domain = "syla";

// Clients refuse trailers beyond 8 KiB by default, and base64 adds a third.
const detailsBytesMax = 5 * 1024;
const messageCharsMax = 1024;

/** One detail of an error, with the schema to write it by. */
export interface ErrorDetail {
  readonly desc: DescMessage;
  readonly value: Message;
}

/** What @grpc/grpc-js sends at the end of a call. */
export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The facts of an error as google.rpc messages: ErrorInfo always, the others where they say something. */
export function errorDetails(error: SylaError): readonly ErrorDetail[] {
  const details: ErrorDetail[] = [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason: error.code, domain }) },
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.map(({ pointer, detail, rule }) => ({
      field: pointer,
      description: detail,
      reason: rule,
    }));
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (error.retryAfterMs !== undefined) {
    const value = create(RetryInfoSchema, { retryDelay: toDuration(error.retryAfterMs) });
    details.push({ desc: RetryInfoSchema, value });
  }
  return details;
}

function toDuration(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos });
}

/** Whatever was thrown, as the status that ends a gRPC call. */
export function toGrpcStatus(thrown: unknown): GrpcStatus {
  const error = toSylaError(thrown);
  // grpc-js passes the text to encodeURI, which throws on half a surrogate pair.
  const message = error.message.slice(0, messageCharsMax).toWellFormed();
  const metadata = new Metadata();
  metadata.set(detailsKey, encodeDetails(error, message));
  return { code: error.grpcCode, details: message, metadata };
}

function encodeDetails(error: SylaError, message: string): Buffer {
  const details = errorDetails(error);
  const encode = (kept: readonly ErrorDetail[]) =>
    toBinary(
      StatusSchema,
      create(StatusSchema, {
        code: error.grpcCode,
        message,
        details: kept.map(({ desc, value }) => anyPack(desc, value)),
      }),
    );
  const whole = encode(details);
  const bytes =
    whole.byteLength <= detailsBytesMax
      ? whole
      : encode(details.filter(({ desc }) => desc !== BadRequestSchema));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// What gRPC itself, or a server that is not Syla's, ends a call with.
const codeByStatus: Readonly<Record<number, ErrorCode>> = {
  1: "cancelled",
  3: "invalid_request",
  4: "deadline_exceeded",
  8: "payload_too_large",
  12: "unimplemented",
  14: "unreachable",
};

/** The error of a call that ended with a status; its text is kept for the log alone when no Syla wrote it. */
export function fromGrpcStatus(status: {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Metadata | undefined;
}): SylaError {
  return readDetails(status.metadata) ?? withoutDetails(status.code, status.details);
}

function withoutDetails(code: number, text: string): SylaError {
  const known = codeByStatus[code] ?? "internal";
  const cause = new Error(`gRPC status ${code}: ${text}`);
  return new SylaError(known, sentences[known] ?? "An internal error happened.", { cause });
}

const sentences: Readonly<Partial<Record<ErrorCode, string>>> = {
  cancelled: "The call was cancelled.",
  invalid_request: "The request was refused.",
  deadline_exceeded: "The call was not answered before its deadline.",
  payload_too_large: "The message is larger than allowed.",
  unimplemented: "The method is not served.",
  unreachable: "The service cannot be reached.",
};

function readDetails(metadata: Metadata | undefined): SylaError | undefined {
  const bytes = metadata?.get(detailsKey)[0];
  if (!(bytes instanceof Buffer)) return undefined;
  try {
    const { message, details } = fromBinary(StatusSchema, bytes);
    const info = firstOf(details, (any) => anyUnpack(any, ErrorInfoSchema));
    if (info?.domain !== domain || !isErrorCode(info.reason)) return undefined;
    const bad = firstOf(details, (any) => anyUnpack(any, BadRequestSchema));
    const retry = firstOf(details, (any) => anyUnpack(any, RetryInfoSchema))?.retryDelay;
    const violations = bad?.fieldViolations.map(toViolation) ?? [];
    const options =
      retry === undefined ? { violations } : { violations, retryAfterMs: toMs(retry) };
    return new SylaError(info.reason, message, options);
  } catch {
    // Another's details, or damaged ones: the status alone has to do.
    return undefined;
  }
}

function firstOf<T>(details: readonly Any[], unpack: (any: Any) => T | undefined): T | undefined {
  for (const any of details) {
    const found = unpack(any);
    if (found !== undefined) return found;
  }
  return undefined;
}

function toViolation(violation: {
  readonly field: string;
  readonly description: string;
  readonly reason: string;
}): Violation {
  return { pointer: violation.field, detail: violation.description, rule: violation.reason };
}

function toMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
