// The flags that mean the same wherever a program is given: its environment, and what it may take.
import type { Flags } from "./command.ts";
import { usageFailure } from "./failure.ts";

/** Variables of its environment, in the open and secret. */
export const envFlags = {
  env: {
    type: "string",
    short: "e",
    multiple: true,
    default: [],
    hint: "K=V",
    help: "an environment variable",
  },
  secret: {
    type: "string",
    multiple: true,
    default: [],
    hint: "NAME",
    help: "one that is kept nowhere, its value from here; or NAME=@FILE, NAME=-",
  },
} as const satisfies Flags;

/** What it may take. */
export const roomFlags = {
  memory: { type: "string", short: "m", hint: "SIZE", help: "most memory, such as 256MB or 1GiB" },
  pids: { type: "string", hint: "N", help: "most processes and threads at one time" },
  disk: { type: "string", hint: "SIZE", help: "most space for files" },
} as const satisfies Flags;

/** Name and value of an `--env` flag. */
export function parseEnv(flag: string): [string, string] {
  const equals = flag.indexOf("=");
  if (equals > 0) return [flag.slice(0, equals), flag.slice(equals + 1)];
  throw usageFailure(`Cannot read --env '${flag}': write NAME=VALUE.`);
}
