// Numbered events of something that runs, for any number of followers. It holds a bounded part: who follows along
// misses nothing, because what runs is held up while one of them lags; without followers the oldest events go, and who
// comes then is told how much.
import type { CallContext } from "./call.ts";
import { Changes } from "./changes.ts";

export interface FollowedLogOptions<Event> {
  /** How much is held for those who come later, in bytes. */
  readonly bytesMax: number;
  /** Says that events up to this number, and so many bytes with them, are not held any more. */
  readonly lost: (number: number, bytes: number) => Event;
}

interface Held<Event> {
  readonly event: Event;
  readonly bytes: number;
  /** Of output since the beginning, this one's included. */
  readonly endBytes: number;
  /** Lets what runs go on, when all who follow have seen it. */
  readonly seen: (() => void) | undefined;
}

interface Follower {
  /** The number of the last event that it is done with. */
  done: number;
  /** When it was. */
  doneMs: number;
}

/** An event takes about this much beside its bytes. */
export const eventBytes = 256;
const dropsMax = 64;
/** How long one that takes nothing holds it up. */
const patienceMs = 10_000;
const patienceLookMs = 1000;

/** The log of one thing that runs. */
export class FollowedLog<Event> {
  readonly #options: FollowedLogOptions<Event>;
  readonly #followers = new Set<Follower>();
  readonly #changes = new Changes();
  /** Those that are held, behind some that were dropped: taking each out by itself would move all the others. */
  #held: (Held<Event> | undefined)[] = [];
  #dropped = 0;
  /** The number of the first that is held. */
  #first = 1;
  #next = 1;
  /** The number of the first whose `seen` was not called. */
  #unseen = 1;
  #heldBytes = 0;
  #endBytes = 0;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FollowedLogOptions<Event>) {
    this.#options = options;
  }

  /** The number that the next event is to have. */
  get next(): number {
    return this.#next;
  }

  /** Appends the event that has the next number; `seen` is called when no follower holds it up any more. */
  append(event: Event, bytes: number, seen?: () => void): void {
    this.#endBytes += bytes;
    this.#heldBytes += bytes + eventBytes;
    this.#held.push({ event, bytes, endBytes: this.#endBytes, seen });
    this.#next += 1;
    this.#advance();
    this.#changes.tell();
  }

  /** No event follows. */
  close(): void {
    this.#closed = true;
    this.#changes.tell();
  }

  /** The events after a number, as they come, to the last; ends early when the context does. */
  async *watch(after: number, context: CallContext): AsyncGenerator<Event> {
    const follower: Follower = { done: after, doneMs: performance.now() };
    this.#followers.add(follower);
    let seenBytes = after === 0 ? 0 : (this.#at(after)?.endBytes ?? 0);
    try {
      for (;;) {
        context.throwIfAborted();
        if (follower.done + 1 < this.#first) {
          const oldest = this.#at(this.#first);
          const lost = oldest === undefined ? this.#endBytes : oldest.endBytes - oldest.bytes;
          follower.done = this.#first - 1;
          yield this.#options.lost(this.#first - 1, lost - seenBytes);
        }
        const held = this.#at(follower.done + 1);
        if (held !== undefined) {
          yield held.event;
          seenBytes = held.endBytes;
          follower.done += 1;
          follower.doneMs = performance.now();
          this.#advance();
        } else if (this.#closed) {
          return;
        } else {
          await this.#changes.next(context);
        }
      }
    } finally {
      this.#followers.delete(follower);
      this.#advance();
    }
  }

  // Lets what runs go on as far as all followers are, and drops what nobody needs and is too much.
  #advance(): void {
    const nowMs = performance.now();
    let slowest = this.#next;
    for (const { done, doneMs } of this.#followers) {
      if (done + 1 < slowest && nowMs - doneMs < patienceMs) slowest = done + 1;
    }
    for (; this.#unseen < slowest; this.#unseen += 1) {
      this.#at(this.#unseen)?.seen?.();
    }
    this.#drop();
    if (this.#unseen < this.#next) {
      this.#timer ??= setInterval(() => this.#advance(), patienceLookMs).unref();
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #drop(): void {
    while (this.#heldBytes > this.#options.bytesMax && this.#first < this.#unseen) {
      const held = this.#at(this.#first);
      if (held === undefined) break;
      this.#heldBytes -= held.bytes + eventBytes;
      this.#held[this.#dropped] = undefined;
      this.#dropped += 1;
      this.#first += 1;
    }
    if (this.#dropped < dropsMax || this.#dropped * 2 < this.#held.length) return;
    this.#held = this.#held.slice(this.#dropped);
    this.#dropped = 0;
  }

  #at(number: number): Held<Event> | undefined {
    return this.#held[number - this.#first + this.#dropped];
  }
}
