// What the database's errors mean to a caller. By SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html)
// where the server spoke, and by the driver's own words where it could not be asked.
import { DatabaseError } from "pg";
import { SylaError } from "./error.ts";

const retryMs = 1000;

const unreachableCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTDIR",
]);

// pg 8 gives these plain errors no code.
const unreachableWords = new RegExp(
  [
    "Connection terminated",
    "timeout exceeded when trying to connect",
    "connection timeout",
    "not queryable",
    "Connection ended",
    "after calling end",
  ].join("|"),
  "i",
);

/** A database error as one of the catalogue where it has a place there; anything else unchanged. */
export function toDatabaseError(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof SylaError) return thrown;
  if (thrown instanceof DatabaseError) return ofState(thrown, thrown.code ?? "");
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  if (!unreachableCodes.has(code) && !unreachableWords.test(thrown.message)) return thrown;
  return unavailable("it cannot be reached", thrown);
}

function ofState(error: DatabaseError, state: string): unknown {
  switch (state) {
    case "53100":
      return new SylaError("storage_full", "Cannot write: the database's disk is full.", {
        cause: error,
        retryAfterMs: retryMs,
      });
    case "40001":
    case "40P01":
      return new SylaError("transaction_conflict", "Cannot commit: another change came between.", {
        cause: error,
      });
    case "57014":
      return new SylaError("deadline_exceeded", "The database took longer than allowed.", {
        cause: error,
      });
    case "53300":
      return unavailable("it has no connection left", error);
    default:
      // 08: the connection failed; 57P01 to 57P05: it is stopping, has crashed or is not up yet.
      return /^(?:08|57P0)/.test(state) ? unavailable("it is stopping or starting", error) : error;
  }
}

function unavailable(why: string, cause: Error): SylaError {
  return new SylaError("database_unavailable", `Cannot use the database: ${why}.`, {
    cause,
    retryAfterMs: retryMs,
  });
}

/** The error when too many callers wait for a connection. */
export function busy(waitingMax: number): SylaError {
  return new SylaError(
    "database_unavailable",
    `Cannot use the database: ${waitingMax} callers wait for a connection.`,
    { retryAfterMs: retryMs },
  );
}

/** Whether a statement broke a unique constraint (that of this name, if given). */
export function isUniqueViolation(thrown: unknown, constraint?: string): boolean {
  if (!(thrown instanceof DatabaseError) || thrown.code !== "23505") return false;
  return constraint === undefined || thrown.constraint === constraint;
}
