// Time is a parameter: whatever waits or judges an expiry takes a Clock, so that its tests drive time instead of
// waiting for it.
import { invariant } from "./assert.ts";

/** Tells the time and waits. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

// The longest wait a Node timer can count (24.8 days); beyond it a timer would fire at once.
const timerMsMax = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => {
    invariant(ms <= timerMsMax, `a sleep of ${ms} ms is longer than a timer can count`);
    return wait(signal, (done) => {
      const timer = setTimeout(done, ms);
      return () => clearTimeout(timer);
    });
  },
};

/** A clock whose time passes only when it is told to. */
export interface DrivenClock extends Clock {
  /**
   * Lets `ms` milliseconds pass: every sleep that ends within them ends, in order, and what it resumes runs (also a
   * next sleep of it) before later ones do.
   */
  advance(ms: number): Promise<void>;
  /** How many sleeps are waiting. */
  readonly sleeping: number;
}

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

/** Makes a clock for tests; it starts at `startMs` (default 2026-01-01T00:00:00Z). */
export function createDrivenClock(startMs = Date.UTC(2026, 0, 1)): DrivenClock {
  let nowMs = startMs;
  const sleepers = new Set<Sleeper>();
  return {
    now: () => nowMs,
    get sleeping() {
      return sleepers.size;
    },
    sleep: (ms, signal) =>
      wait(signal, (done) => {
        const sleeper = { wakeMs: nowMs + Math.max(0, ms), wake: done };
        sleepers.add(sleeper);
        return () => sleepers.delete(sleeper);
      }),
    advance: async (ms) => {
      const endMs = nowMs + ms;
      await settle();
      for (
        let next = earliest(sleepers, endMs);
        next !== undefined;
        next = earliest(sleepers, endMs)
      ) {
        sleepers.delete(next);
        nowMs = Math.max(nowMs, next.wakeMs);
        next.wake();
        await settle();
      }
      nowMs = endMs;
    },
  };
}

function earliest(sleepers: ReadonlySet<Sleeper>, endMs: number): Sleeper | undefined {
  let first: Sleeper | undefined;
  for (const sleeper of sleepers) {
    if (sleeper.wakeMs <= endMs && sleeper.wakeMs < (first?.wakeMs ?? Infinity)) first = sleeper;
  }
  return first;
}

// Promise callbacks run before the next immediate, however long their chain.
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function wait(
  signal: AbortSignal | undefined,
  start: (done: () => void) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      const reason: unknown = signal?.reason;
      reject(reason);
    };
    if (signal?.aborted === true) return leave();
    const onAbort = () => {
      cancel();
      leave();
    };
    const cancel = start(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
