// The log: one JSON object a line on stderr, written before the call returns so that no line is lost in a crash. What
// a key calls a secret is never printed.
import { pino } from "pino";

/** How much is logged; each level includes those after it. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** One of the levels. */
export type LogLevel = (typeof logLevels)[number];

/**
 * A log: `log.info({ executionId }, "execution started")`. Errors go in a field `error` (or `cause`), with their stack
 * and causes. `child(fields)` is a log whose every line has these fields too.
 */
export type Log = Pick<
  pino.Logger,
  "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "child" | "isLevelEnabled"
>;

export interface LogOptions {
  /** Default: `info`. */
  readonly level?: LogLevel;
  /** Which part of Syla logs; printed as `name`. */
  readonly name: string;
  /** Where lines go, each with its newline; default: stderr. */
  readonly write?: (line: string) => void;
}

const secretKeys = [
  "password",
  "secret",
  "token",
  "accessToken",
  "refreshToken",
  "apiKey",
  "privateKey",
  "authorization",
  "cookie",
  "databaseUrl",
  '["set-cookie"]',
  '["x-api-key"]',
];

// At the top, in an object, and in an object's object (as `request.headers.cookie`): the depth that is logged.
const redactedPaths = secretKeys.flatMap((key) => {
  const nested = key.startsWith("[") ? key : `.${key}`;
  return [key, `*${nested}`, `*.*${nested}`];
});

/** Makes a log. */
export function createLog(options: LogOptions): Log {
  const { level = "info", name, write } = options;
  const destination = write === undefined ? pino.destination({ dest: 2, sync: true }) : { write };
  return pino(
    {
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "message",
      redact: { paths: redactedPaths, censor: "[redacted]" },
      serializers: { error: describe, cause: describe },
    },
    destination,
  );
}

const causesMax = 5;

// Only what an error says. What a library hangs on it besides (pg: its whole client, with statements and keys) is
// not ours to print.
function describe(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const { name, message, stack, cause } = thrown;
  const code = "code" in thrown ? thrown.code : undefined;
  const inner = cause === undefined || depth === causesMax ? undefined : describe(cause, depth + 1);
  return { type: name, code, message, stack, cause: inner };
}
