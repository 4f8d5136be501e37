// The events of one run between the jail, which pushes, and the caller, who pulls. When the caller is slow the jail
// is told to stop reading, so that a flood of output waits in the program's own pipe and not in our memory.

export interface EventQueueOptions<Event> {
  /** How much an event counts against the bounds, in bytes. */
  readonly size: (event: Event) => number;
  /** Above this many bytes the source is paused. */
  readonly bytesMax: number;
  readonly pause: () => void;
  readonly resume: () => void;
}

/** A queue with one reader. */
export class EventQueue<Event> {
  readonly #options: EventQueueOptions<Event>;
  #events: Event[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(options: EventQueueOptions<Event>) {
    this.#options = options;
  }

  push(event: Event): void {
    this.#events.push(event);
    this.#bytes += this.#options.size(event);
    if (!this.#paused && this.#bytes > this.#options.bytesMax) {
      this.#paused = true;
      this.#options.pause();
    }
    this.#wake?.();
  }

  /** No event follows. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Every event in order, until the end. */
  async *read(): AsyncGenerator<Event> {
    for (;;) {
      const events = this.#events;
      this.#events = [];
      this.#bytes = 0;
      for (const event of events) yield event;
      if (this.#events.length > 0) continue;
      if (this.#paused) {
        this.#paused = false;
        this.#options.resume();
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }
}
