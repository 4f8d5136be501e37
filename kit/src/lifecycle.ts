// A process is parts that start in an order and end in the opposite one, in two passes: first every part drains (takes
// nothing new, finishes what it has), from the listeners down, while all it needs still runs; then every part stops.
//
//   start a, b, c   ->   ready   ->   drain c, b, a   ->   stop c, b, a
//
// A part that fails to start ends the parts before it. A part that is too slow to end is left behind, and said so.
import { type Clock, systemClock } from "./clock.ts";
import type { Log } from "./log.ts";

/** Something with a lifetime. */
export interface Part {
  readonly name: string;
  /** Resolves when it is ready for use. The signal is aborted when the process is to end before that. */
  readonly start?: (signal: AbortSignal) => Promise<void> | void;
  /** Takes nothing new, and resolves when what it had is done. */
  readonly drain?: () => Promise<void> | void;
  /** Frees what it holds. Called for every part whose start was begun, also for one that failed. */
  readonly stop?: () => Promise<void> | void;
}

export interface LifecycleOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** How long one part may take to start; default 60 s. */
  readonly startMsMax?: number;
  /** How long all parts together may take to drain; default 10 s. */
  readonly drainMsMax?: number;
  /** How long one part may take to stop; default 20 s. */
  readonly stopMsMax?: number;
}

/** The life of parts that start and stop together. */
export interface Lifecycle {
  readonly state: "new" | "starting" | "ready" | "draining" | "stopping" | "stopped";
  /** Starts every part, in order. What a part threw is thrown again when those before it have stopped. */
  start(): Promise<void>;
  /** Drains and stops; never rejects. A second call waits for the first. */
  stop(): Promise<void>;
}

/** Makes one lifecycle of parts, given in the order in which they start. */
export function compose(parts: readonly Part[], options: LifecycleOptions): Lifecycle {
  const { log, clock = systemClock } = options;
  const { startMsMax = 60_000, drainMsMax = 10_000, stopMsMax = 20_000 } = options;
  const begun: Part[] = [];
  const ending = new AbortController();
  let state: Lifecycle["state"] = "new";
  let started: Promise<void> = Promise.resolve();
  let stopped: Promise<void> | undefined;

  const startAll = async (): Promise<void> => {
    state = "starting";
    for (const part of parts) {
      ending.signal.throwIfAborted();
      begun.unshift(part);
      const startMs = clock.now();
      await within(clock, startMsMax, `${part.name} to start`, () => part.start?.(ending.signal));
      log.debug({ part: part.name, durationMs: clock.now() - startMs }, "started");
    }
    ending.signal.throwIfAborted();
    state = "ready";
  };

  const end = async (part: Part, verb: "drain" | "stop", msMax: number): Promise<void> => {
    try {
      await within(clock, msMax, `${part.name} to ${verb}`, () => part[verb]?.());
    } catch (error) {
      log.warn({ error, part: part.name }, `a part did not ${verb}`);
    }
  };

  const stopAll = async (): Promise<void> => {
    const wasReady = state === "ready";
    ending.abort(new Error("The process is to end before it was ready."));
    await started.catch(() => undefined);
    state = "draining";
    const endMs = clock.now() + drainMsMax;
    for (const part of wasReady ? begun : [])
      await end(part, "drain", Math.max(0, endMs - clock.now()));
    state = "stopping";
    for (const part of begun) await end(part, "stop", stopMsMax);
    state = "stopped";
  };

  const stop = (): Promise<void> => (stopped ??= stopAll());
  return {
    get state() {
      return state;
    },
    stop,
    start: async () => {
      started = startAll();
      try {
        await started;
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

async function within(
  clock: Clock,
  msMax: number,
  what: string,
  work: () => Promise<void> | void,
): Promise<void> {
  const patience = new AbortController();
  const tooSlow = clock.sleep(msMax, patience.signal).then(
    () => Promise.reject(new Error(`Cannot wait longer for ${what}: it took over ${msMax} ms.`)),
    () => undefined,
  );
  try {
    await Promise.race([Promise.resolve(work()), tooSlow]);
  } finally {
    patience.abort();
  }
}

const stopSignals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
const immediateExitCode = 130;

export interface RunOptions extends LifecycleOptions {
  /** Called once every part has started. */
  readonly onReady?: () => void;
  /** Ends the run as a signal of the system does. */
  readonly signal?: AbortSignal;
}

/**
 * Runs parts until SIGINT or SIGTERM, then drains and stops them; a second of these signals ends the process at once
 * (exit code 130). Resolves when all have stopped; rejects with what a part threw at its start.
 */
export async function runService(parts: readonly Part[], options: RunOptions): Promise<void> {
  const { log, onReady = () => undefined, signal } = options;
  const lifecycle = compose(parts, options);
  const asked = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (name: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) process.exit(immediateExitCode);
    log.info({ signal: name }, "stopping");
    asked.resolve();
  };
  for (const name of stopSignals) process.on(name, onSignal);
  const onAbort = () => asked.resolve();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    const started = lifecycle.start();
    // A failed start must not be lost when the request to stop comes first.
    const first = await Promise.race([
      started.then(() => "ready"),
      asked.promise.then(() => "asked"),
    ]);
    if (first === "ready") {
      onReady();
      await asked.promise;
    }
    await lifecycle.stop();
    await started.catch(() => undefined);
  } finally {
    for (const name of stopSignals) process.off(name, onSignal);
    signal?.removeEventListener("abort", onAbort);
  }
}
