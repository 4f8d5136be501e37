// Ctrl-C and its kin. The first signal asks the command to end in order, which cancels a run; the second ends it at
// once, for when order takes too long.
import { constants } from "node:os";
import { exitCodes } from "./failure.ts";
import { ReaderLeft } from "./output.ts";

const handled = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One of the signals that end a command. */
export type InterruptName = (typeof handled)[number];

/** A signal that ended a command. */
export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** 128 + the signal's number once one came. */
  readonly exitCode: () => number | undefined;
  /** Gives the next signal to another, instead of what it would do here; the one after it does that again. */
  readonly divert: (to: ((name: InterruptName) => void) | undefined) => void;
  /** Lets signals end the process as they do by default. */
  readonly release: () => void;
}

function onInterrupt(): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let diverted: ((name: InterruptName) => void) | undefined;
  const listener = (name: InterruptName) => {
    if (diverted !== undefined) {
      const to = diverted;
      diverted = undefined;
      return to(name);
    }
    const code = exitCodes.signal + constants.signals[name];
    if (exitCode !== undefined) process.exit(code);
    exitCode = code;
    controller.abort();
  };
  for (const name of handled) process.on(name, listener);
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    divert: (to) => {
      diverted = to;
    },
    release: () => {
      for (const name of handled) process.off(name, listener);
    },
  };
}

/** Does a command's work, whose exit code a signal decides, or a reader that left. */
export async function interruptible(
  work: (interrupt: Interrupt) => Promise<number>,
): Promise<number> {
  const interrupt = onInterrupt();
  try {
    return await work(interrupt);
  } catch (thrown) {
    const code = thrown instanceof ReaderLeft ? thrown.exitCode : interrupt.exitCode();
    if (code === undefined) throw thrown;
    return code;
  } finally {
    interrupt.release();
  }
}
