// How Jupyter's server tells an error: a message, and a reason that a program can read.
import type { SylaError } from "@syla/kit/error";
import { jsonReply, type WholeReply } from "../../adapters.ts";

/** An answer that tells an error. */
export function errorReply(status: number, message: string, reason: string | null = null) {
  return jsonReply(status, { message, reason });
}

/** An error of Syla's. A kernel that has ended is, for Jupyter, one that is not there. */
export function explain(error: SylaError): WholeReply {
  const { httpStatus, code, violations } = error;
  const details = violations.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`);
  const message = details.length > 0 ? details.join("; ") : error.message;
  return errorReply(code === "session_ended" ? 404 : httpStatus, message, code);
}
