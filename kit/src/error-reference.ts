// Writes docs/reference/errors.md from the catalogue, so that the page cannot say anything else than the code.
import { catalogue, type ErrorCode, isErrorCode, SylaError } from "./error.ts";

/** The reference of error codes as Markdown, one row a code in the order of the catalogue. */
export function renderErrors(): string {
  return [...introduction, ...Object.keys(catalogue).filter(isErrorCode).map(row), ""].join("\n");
}

const introduction = [
  "# Errors",
  "",
  "<!-- Generated from the catalogue in the code; do not edit. -->",
  "",
  "Every error has one of these codes, the same on every surface. REST and event streams tell it as",
  "`application/problem+json` with the HTTP status, gRPC, gRPC-Web and Connect with the gRPC status and the code in the",
  "details, GraphQL in `extensions`. Codes are stable; the texts of messages are not. Where retrying is worth it, the",
  "same request can succeed later without a change, after `Retry-After` where there is one.",
  "",
  "| Code | HTTP | gRPC | Worth retrying | Meaning |",
  "| --- | --- | --- | --- | --- |",
];

function row(code: ErrorCode): string {
  const { httpStatus, grpcCode, status, entry } = new SylaError(code, "");
  const grpc = `\`${status.toUpperCase()}\` (${grpcCode})`;
  return `| \`${code}\` | ${httpStatus} | ${grpc} | ${entry.retryable ? "yes" : "no"} | ${entry.title} |`;
}
