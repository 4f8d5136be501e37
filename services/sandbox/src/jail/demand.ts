// How much was in use at one time, over a sliding window: what the pool expects to be asked for next.

const parts = 15;

export interface DemandOptions {
  readonly windowMs: number;
  /** Milliseconds from any beginning; default the monotonic clock. */
  readonly now?: () => number;
}

/** The most in use at one time in the window, exact to a fifteenth of it. */
export class Demand {
  readonly #partMs: number;
  readonly #now: () => number;
  readonly #peaks = new Float64Array(parts);
  #part: number;

  constructor({ windowMs, now = () => performance.now() }: DemandOptions) {
    this.#partMs = windowMs / parts;
    this.#now = now;
    this.#part = Math.floor(now() / this.#partMs);
  }

  /** So many are in use now. */
  note(inUse: number): void {
    this.#advance();
    const index = this.#part % parts;
    this.#peaks[index] = Math.max(this.#peaks[index] ?? 0, inUse);
  }

  peak(): number {
    this.#advance();
    return Math.max(...this.#peaks);
  }

  #advance(): void {
    const part = Math.floor(this.#now() / this.#partMs);
    const passed = Math.min(part - this.#part, parts);
    for (let step = 1; step <= passed; step += 1) this.#peaks[(this.#part + step) % parts] = 0;
    this.#part = part;
  }
}
