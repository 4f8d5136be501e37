// How E2B tells errors: its control plane and the files of its sandboxes by `{code, message}` with the HTTP status as
// the code, its calls as the Connect protocol does, and a sandbox that is not there by 502, which is what its SDKs take
// for "it has timed out".
import { type ErrorCode, SylaError, toSylaError } from "@syla/kit/error";
import { type Status, statuses } from "@syla/kit/error-status";
import { jsonReply, type WholeReply } from "../../adapters.ts";
import { told } from "./home.ts";

/** A refusal with a status that no error of the catalogue has, or in E2B's own words. */
export class Refusal extends Error {
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.name = "Refusal";
    this.status = status;
  }
}

/** An error of the control plane or of files. */
export function errorReply(status: number, message: string): WholeReply {
  return jsonReply(status, { code: status, message });
}

const gone: ReadonlySet<ErrorCode> = new Set([
  "sandbox_not_found",
  "sandbox_ended",
  "sandbox_paused",
]);

/** Whether it says that there is no sandbox to talk to. */
export function isGone(thrown: unknown): boolean {
  return thrown instanceof SylaError && gone.has(thrown.code);
}

/** What E2B's proxy answers when there is no sandbox to talk to. */
export function goneReply(sandboxId: string): WholeReply {
  return jsonReply(502, { sandboxId, message: "The sandbox was not found", code: 502 });
}

/** What E2B's proxy answers when nothing in the sandbox serves a port. */
export function closedPortReply(sandboxId: string, port: number): WholeReply {
  const message = "The sandbox is running but port is not open";
  return jsonReply(502, { sandboxId, message, port, code: 502 });
}

/** The sentence of an error; of a request that breaks rules, which ones. */
export function sentence(error: SylaError): string {
  const details = error.violations.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`);
  return told(details.length > 0 ? details.join("; ") : error.message);
}

/** An error of the control plane. */
export function explainControl(error: SylaError): WholeReply {
  const ended = error.code === "sandbox_ended" || error.code === "sandbox_not_found";
  return errorReply(ended ? 404 : error.httpStatus, sentence(error));
}

/** An error of files. What is at a path and does not fit is, for E2B, a fault of the request. */
export function explainFiles(error: SylaError): WholeReply {
  const status = error.code === "file_conflict" ? 400 : error.httpStatus;
  return errorReply(status, sentence(error));
}

/** What was thrown, as the Connect protocol tells it. */
export function connectError(thrown: unknown): { code: string; message: string } {
  const { status, message } = statusOf(thrown);
  return { code: status === "cancelled" ? "canceled" : status, message };
}

/** What was thrown by a unary call: the Connect protocol has an HTTP status for each code. */
export function explainCall(thrown: unknown): WholeReply {
  const { status } = statusOf(thrown);
  const httpStatus = status === "deadline_exceeded" ? 504 : statuses[status].http;
  return jsonReply(httpStatus, connectError(thrown));
}

const asArgument: ReadonlySet<ErrorCode> = new Set(["process_not_started", "file_conflict"]);

function statusOf(thrown: unknown): { status: Status; message: string } {
  if (thrown instanceof Refusal) return thrown;
  const error = toSylaError(thrown);
  const status = asArgument.has(error.code) ? "invalid_argument" : error.status;
  return { status, message: sentence(error) };
}
