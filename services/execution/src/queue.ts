// Who runs next: a first-come queue in front of a fixed number of slots and of bytes of memory. It only knows who
// waits, not why.
import { SylaError } from "@syla/kit/error";

export interface RunQueueOptions {
  /** How many run at one time. */
  readonly slots: number;
  /** How many may wait; one more is refused with `queue_full`. */
  readonly waitingMax: number;
  /** How many bytes those who wait may hold together; who would pass it is refused with `queue_full`. */
  readonly waitingBytesMax: number;
  /** How many bytes those who run, or ran and are not forgotten, may hold together; one alone may hold more. */
  readonly runningBytesMax: number;
}

/** The memory that an entrant takes. */
export interface Bytes {
  readonly waiting: number;
  readonly running: number;
}

interface Waiter {
  readonly bytes: Bytes;
  start(): void;
  left: boolean;
}

/** A place in the queue. */
export interface Place {
  /** Resolves when a slot is this one's. */
  readonly turn: Promise<void>;
  /** Gives the slot back, or leaves the queue. May be called again without effect. */
  release(): void;
  /** Gives back what it held while it ran; after release(). May be called again without effect. */
  forget(): void;
}

/** Slots and the queue in front of them. */
export class RunQueue {
  readonly #options: RunQueueOptions;
  // A queue by two pointers: Array.shift() moves every element once the array is large.
  #waiters: Waiter[] = [];
  #head = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #runningBytes = 0;
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

  /** Throws `queue_full` when no more may wait, or none that holds so many bytes. */
  assertRoom(bytes: Bytes): void {
    const { waitingMax, waitingBytesMax } = this.#options;
    if (this.#waiting === 0 && this.#fits(bytes)) return;
    const full = this.#waiting >= waitingMax;
    if (!full && this.#waitingBytes + bytes.waiting <= waitingBytesMax) return;
    const holding = full ? "" : ` with ${this.#waitingBytes} bytes`;
    throw new SylaError(
      "queue_full",
      `Cannot queue another execution: ${this.#waiting} are waiting${holding}.`,
      { retryAfterMs: 1000 },
    );
  }

  /** Takes the next place. */
  enter(bytes: Bytes): Place {
    let held = 0;
    let state: "waiting" | "running" | "released" = "waiting";
    const turn = Promise.withResolvers<void>();
    const waiter: Waiter = {
      bytes,
      left: false,
      start: () => {
        state = "running";
        held = bytes.running;
        this.#runningBytes += held;
        this.#waitingBytes -= bytes.waiting;
        turn.resolve();
      },
    };
    this.#waiters.push(waiter);
    this.#waiting += 1;
    this.#waitingBytes += bytes.waiting;
    this.#startNext();
    return {
      turn: turn.promise,
      release: () => {
        if (state === "running") this.#running -= 1;
        if (state === "waiting") {
          waiter.left = true;
          this.#waiting -= 1;
          this.#waitingBytes -= bytes.waiting;
        }
        state = "released";
        this.#startNext();
      },
      forget: () => {
        this.#runningBytes -= held;
        held = 0;
        this.#startNext();
      },
    };
  }

  #fits({ running }: Bytes): boolean {
    const { slots, runningBytesMax } = this.#options;
    if (this.#running >= slots) return false;
    return this.#runningBytes === 0 || this.#runningBytes + running <= runningBytesMax;
  }

  #startNext(): void {
    for (;;) {
      const waiter = this.#waiters[this.#head];
      if (waiter === undefined || (!waiter.left && !this.#fits(waiter.bytes))) break;
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
