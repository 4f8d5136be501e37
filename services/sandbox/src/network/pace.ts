// So many at once, and so many a second after that: whatever comes sooner waits.

export interface PaceOptions {
  /** How many may come at once after a rest. */
  readonly burst: number;
  readonly perSecond: number;
}

export class Pace {
  readonly #options: PaceOptions;
  #left: number;
  #atMs: number | undefined;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#left = options.burst;
  }

  /** How long the next has to wait, in milliseconds, from a moment that is not before the one of the last call. */
  next(nowMs: number): number {
    const { burst, perSecond } = this.#options;
    const restedMs = nowMs - (this.#atMs ?? nowMs);
    this.#atMs = nowMs;
    const rested = Math.min(burst, this.#left + (restedMs * perSecond) / 1000);
    // Many that gave up meanwhile are not to keep others waiting for ever.
    this.#left = Math.max(-burst, rested - 1);
    return Math.max(0, (-this.#left * 1000) / perSecond);
  }
}
