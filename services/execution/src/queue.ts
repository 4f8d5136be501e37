// Who runs next: a first-come queue in front of a fixed number of slots. It only knows who waits, not why.
import { SylaError } from "@syla/kit/error";

export interface RunQueueOptions {
  /** How many run at one time. */
  readonly slots: number;
  /** How many may wait; one more is refused with `queue_full`. */
  readonly waitingMax: number;
}

interface Waiter {
  start(): void;
  left: boolean;
}

/** A place in the queue. */
export interface Place {
  /** Resolves when a slot is this one's. */
  readonly turn: Promise<void>;
  /** Gives the slot back, or leaves the queue. May be called again without effect. */
  release(): void;
}

/** Slots and the queue in front of them. */
export class RunQueue {
  readonly #options: RunQueueOptions;
  // A queue by two pointers: Array.shift() moves every element once the array is large.
  #waiters: Waiter[] = [];
  #head = 0;
  #waiting = 0;
  #running = 0;

  constructor(options: RunQueueOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /** Throws `queue_full` when no more may wait. */
  assertRoom(): void {
    const { slots, waitingMax } = this.#options;
    if (this.#running < slots || this.#waiting < waitingMax) return;
    throw new SylaError(
      "queue_full",
      `Cannot queue another execution: ${waitingMax} are waiting.`,
      {
        retryAfterMs: 1000,
      },
    );
  }

  /** Takes the next place. */
  enter(): Place {
    let state: "waiting" | "running" | "released" = "waiting";
    const turn = Promise.withResolvers<void>();
    const waiter: Waiter = {
      left: false,
      start: () => {
        state = "running";
        turn.resolve();
      },
    };
    this.#waiters.push(waiter);
    this.#waiting += 1;
    this.#startNext();
    return {
      turn: turn.promise,
      release: () => {
        if (state === "running") this.#running -= 1;
        if (state === "waiting") {
          waiter.left = true;
          this.#waiting -= 1;
        }
        state = "released";
        this.#startNext();
      },
    };
  }

  #startNext(): void {
    while (this.#running < this.#options.slots) {
      const waiter = this.#waiters[this.#head];
      if (waiter === undefined) break;
      this.#head += 1;
      if (waiter.left) continue;
      this.#waiting -= 1;
      this.#running += 1;
      waiter.start();
    }
    if (this.#head > 1024 || this.#head === this.#waiters.length) {
      this.#waiters = this.#waiters.slice(this.#head);
      this.#head = 0;
    }
  }
}
