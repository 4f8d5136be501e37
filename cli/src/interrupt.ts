// Ctrl-C and its kin. The first signal asks the command to end in order, which cancels a run; the second ends it at
// once, for when order takes too long.
import { constants } from "node:os";
import { exitCodes } from "./failure.ts";

const handled = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A signal that ended a command. */
export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** 128 + the signal's number once one came. */
  readonly exitCode: () => number | undefined;
  /** Lets signals end the process as they do by default. */
  readonly release: () => void;
}

/** Turns the process's signals into an AbortSignal. */
export function onInterrupt(): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const listener = (name: (typeof handled)[number]) => {
    const code = exitCodes.signal + constants.signals[name];
    if (exitCode !== undefined) process.exit(code);
    exitCode = code;
    controller.abort();
  };
  for (const name of handled) process.on(name, listener);
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    release: () => {
      for (const name of handled) process.off(name, listener);
    },
  };
}
