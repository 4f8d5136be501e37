// The pool of warm slots: what is slow to make is made before it is asked for, and used once.
//
//   opening --ready--> warm --take--> in use --clean: warm again, else closed
//                        '--too old, too many, too large--> closed
//
// A shelf holds the slots of one kind. How many it keeps follows its demand: the most that were in use at one time in
// the prediction window, times the scale factor. A request whose shelf is empty gets a slot that is just being made, or
// a new one: the pool never makes a request wait for another's slot while the host has room.
import type { Metrics } from "@syla/kit/metrics";
import { SylaError } from "@syla/kit/error";
import type { SandboxConfig } from "../config.ts";
import { Demand } from "./demand.ts";

/** What a backend makes: a jail, a container, a machine. */
export interface PoolSlot {
  readonly ready: Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  /** False when it has ended or cannot be used. */
  readonly alive: boolean;
  /** What it takes of the host while it waits; asked once it is ready. */
  readonly memoryBytes: number;
  close(): Promise<void>;
}

/** A slot that is in use. */
export interface Lease<Slot> {
  readonly slot: Slot;
  /** Whether it had been waiting. */
  readonly warm: boolean;
  /** Ends the use; a slot in which nothing was run may be used again, any other is closed. */
  release(clean: boolean): Promise<void>;
}

export type PoolConfig = Pick<
  SandboxConfig,
  "poolWarm" | "poolMax" | "poolTtlMs" | "poolWindowMs" | "poolScalePercent" | "poolMemoryBytes"
>;

export interface PoolOptions {
  readonly config: PoolConfig;
  readonly metrics: Metrics;
  /** Told of a slot that could not be made in advance. */
  readonly onFailure: (kind: string, error: unknown) => void;
}

/** What makes the slots of a kind. */
export interface Maker<Slot> {
  /** For the request that is there. */
  readonly open: () => Slot;
  /** Undefined where none can be made yet; whoever answers so calls refill() when it can. */
  readonly openInAdvance: () => Slot | undefined;
}

interface Waiting<Slot> {
  readonly slot: Slot;
  readonly sinceMs: number;
  ready: boolean;
  /** What it took when it became ready. */
  bytes: number;
}

interface Shelf<Slot> {
  readonly kind: string;
  readonly label: string;
  readonly demand: Demand;
  readonly waiting: Waiting<Slot>[];
  /** How the last request's slot was made: the next one's is made so too. */
  maker: Maker<Slot>;
  inUse: number;
  /** When it was last asked for one. */
  askedMs: number;
  failures: number;
  pausedUntilMs: number;
}

/**
 * How many kinds have jails waiting: a caller can have as many kinds as it likes, by asking for other sizes, and each
 * is looked at whenever one is made.
 */
const shelvesMax = 64;
/** How many are made at a time, of each kind: more would only slow each other down. */
const openingMax = 4;
const failurePauseMs = 1000;
const failurePauseMsMax = 60_000;

export class Pool<Slot extends PoolSlot> {
  readonly #options: PoolOptions;
  readonly #shelves = new Map<string, Shelf<Slot>>();
  readonly #count;
  readonly #refillSeconds;
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #refilling = false;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#count = metrics.counter({
      name: "syla_pool_requests_total",
      help: "Slots asked for, by whether one was waiting.",
      labels: ["kind", "result"],
    });
    this.#refillSeconds = metrics.histogram({
      name: "syla_pool_refill_seconds",
      help: "From starting to make a slot in advance to its being ready.",
      labels: ["kind"],
    });
    metrics.gauge({
      name: "syla_pool_slots",
      help: "Slots that wait, and slots that are in use.",
      labels: ["kind", "state"],
      collect: (gauge) => {
        gauge.reset();
        for (const { label, waiting, inUse } of this.#shelves.values()) {
          gauge.inc({ kind: label, state: "warm" }, waiting.length);
          gauge.inc({ kind: label, state: "in_use" }, inUse);
        }
      },
    });
  }

  /** A slot of the kind: one that waits, or else a new one. The label stands for the kind in metrics. */
  take(kind: string, label: string, maker: Maker<Slot>): Lease<Slot> {
    const shelf = this.#shelf(kind, label, maker);
    const warm = this.#takeWaiting(shelf);
    this.#count.inc({ kind: label, result: warm === undefined ? "miss" : "hit" });
    if (warm === undefined) this.#makeRoom();
    const slot = warm?.slot ?? maker.open();
    shelf.inUse += 1;
    shelf.askedMs = performance.now();
    shelf.demand.note(shelf.inUse);
    this.refill();
    let released: Promise<void> | undefined;
    return {
      slot,
      warm: warm?.ready === true,
      release: (clean) => (released ??= this.#release(shelf, slot, clean)),
    };
  }

  /** Makes one slot in advance where there is none, such as at the start of the platform. */
  warm(kind: string, label: string, maker: Maker<Slot>): void {
    this.#shelf(kind, label, maker).demand.note(1);
    this.refill();
  }

  /** Closes those that wait; those in use are their users'. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const all = [...this.#shelves.values()].flatMap(({ waiting }) => waiting.splice(0));
    await Promise.all(all.map(({ slot }) => slot.close()));
  }

  #shelf(kind: string, label: string, maker: Maker<Slot>): Shelf<Slot> {
    const known = this.#shelves.get(kind);
    if (known !== undefined) {
      known.maker = maker;
      return known;
    }
    const demand = new Demand({ windowMs: this.#options.config.poolWindowMs });
    const counts = { inUse: 0, askedMs: performance.now(), failures: 0, pausedUntilMs: 0 };
    const shelf: Shelf<Slot> = { kind, label, demand, waiting: [], maker, ...counts };
    this.#shelves.set(kind, shelf);
    if (this.#shelves.size > shelvesMax) this.#forgetOther(shelf);
    return shelf;
  }

  /** The kind that was not asked for longest, of those that have none in use. */
  #forgetOther(shelf: Shelf<Slot>): void {
    const unused = [...this.#shelves.values()].filter((one) => one !== shelf && one.inUse === 0);
    const oldest = unused.toSorted((a, b) => a.askedMs - b.askedMs)[0];
    if (oldest === undefined) return;
    while (oldest.waiting.length > 0) this.#drop(oldest);
    this.#shelves.delete(oldest.kind);
  }

  #takeWaiting({ waiting }: Shelf<Slot>): Waiting<Slot> | undefined {
    for (const wantReady of [true, false]) {
      for (let index = waiting.length - 1; index >= 0; index -= 1) {
        const one = waiting[index];
        if (one === undefined || (wantReady && !one.ready)) continue;
        waiting.splice(index, 1);
        this.#forgetBytes(one);
        if (one.slot.alive) return one;
        void this.#discard(one.slot);
      }
    }
    return undefined;
  }

  /** A slot that waits for a request that may never come gives way to one that has come. */
  #makeRoom(): void {
    if (this.#total() < this.#options.config.poolMax) return;
    const oldest = [...this.#shelves.values()]
      .filter(({ waiting }) => waiting.length > 0)
      .toSorted((a, b) => (a.waiting[0]?.sinceMs ?? 0) - (b.waiting[0]?.sinceMs ?? 0))[0];
    if (oldest === undefined) {
      throw new SylaError(
        "queue_full",
        `Cannot run: all ${this.#options.config.poolMax} slots are in use.`,
      );
    }
    this.#drop(oldest);
  }

  async #release(shelf: Shelf<Slot>, slot: Slot, clean: boolean): Promise<void> {
    shelf.inUse -= 1;
    if (clean && slot.alive && !this.#closed && shelf.waiting.length < this.#target(shelf)) {
      this.#put(shelf, { slot, sinceMs: performance.now(), ready: true, bytes: slot.memoryBytes });
      return;
    }
    try {
      await slot.close();
    } finally {
      this.refill();
    }
  }

  #put(shelf: Shelf<Slot>, one: Waiting<Slot>): void {
    shelf.waiting.push(one);
    this.#waitingBytes += one.bytes;
    this.#look(this.#options.config.poolTtlMs);
  }

  #forgetBytes(one: Waiting<Slot>): void {
    this.#waitingBytes -= one.bytes;
  }

  #total(): number {
    let total = 0;
    for (const { waiting, inUse } of this.#shelves.values()) total += waiting.length + inUse;
    return total;
  }

  #warmTotal(): number {
    let total = 0;
    for (const { waiting } of this.#shelves.values()) total += waiting.length;
    return total;
  }

  #target(shelf: Shelf<Slot>): number {
    const { poolWarm, poolScalePercent } = this.#options.config;
    return Math.min(poolWarm, Math.ceil((shelf.demand.peak() * poolScalePercent) / 100));
  }

  /** After what is under way now: the request that took a slot is served first. */
  refill(): void {
    if (this.#refilling || this.#closed) return;
    this.#refilling = true;
    setImmediate(() => {
      this.#refilling = false;
      for (const shelf of this.#shelves.values()) this.#fill(shelf);
    });
  }

  #fill(shelf: Shelf<Slot>): void {
    const { poolWarm, poolMax, poolMemoryBytes } = this.#options.config;
    while (!this.#closed && shelf.waiting.length < this.#target(shelf)) {
      const opening = shelf.waiting.filter(({ ready }) => !ready).length;
      const pausedMs = shelf.pausedUntilMs - performance.now();
      if (opening >= openingMax) return;
      if (pausedMs > 0) return this.#look(pausedMs);
      const full = this.#warmTotal() >= poolWarm || this.#total() >= poolMax;
      if ((full || this.#waitingBytes >= poolMemoryBytes) && !this.#takePlace(shelf)) return;
      if (!this.#open(shelf)) return;
    }
  }

  /**
   * One that waits, of the kind that was not asked for longest, gives way to this kind's first; false when all others
   * were asked for later. So what nobody asks for again does not keep what everybody asks for from waiting.
   */
  #takePlace(shelf: Shelf<Slot>): boolean {
    if (shelf.waiting.length > 0) return false;
    const older = [...this.#shelves.values()]
      .filter(({ askedMs, waiting }) => waiting.length > 0 && askedMs < shelf.askedMs)
      .toSorted((a, b) => a.askedMs - b.askedMs)[0];
    if (older === undefined) return false;
    this.#drop(older);
    return true;
  }

  /** False when there is none to be had now. */
  #open(shelf: Shelf<Slot>): boolean {
    const begin = performance.now();
    let slot: Slot | undefined;
    try {
      slot = shelf.maker.openInAdvance();
    } catch (error) {
      this.#failed(shelf, error);
    }
    if (slot === undefined) return false;
    this.#await(shelf, slot, begin);
    return true;
  }

  #await(shelf: Shelf<Slot>, slot: Slot, begin: number): void {
    const one: Waiting<Slot> = { slot, sinceMs: begin, ready: false, bytes: 0 };
    this.#put(shelf, one);
    slot.ready.then(
      () => {
        shelf.failures = 0;
        this.#refillSeconds.observe({ kind: shelf.label }, (performance.now() - begin) / 1000);
        one.ready = true;
        if (shelf.waiting.includes(one)) {
          one.bytes = slot.memoryBytes;
          this.#waitingBytes += one.bytes;
        }
        this.refill();
      },
      (error: unknown) => {
        // One that is in use already is its user's to find out.
        if (this.#remove(shelf, one)) this.#failed(shelf, error);
      },
    );
    void slot.ended.then(() => {
      if (this.#remove(shelf, one)) this.refill();
    });
  }

  /** Takes out one that has ended while it waited; false when it did not wait any more. */
  #remove(shelf: Shelf<Slot>, one: Waiting<Slot>): boolean {
    const index = shelf.waiting.indexOf(one);
    if (index < 0) return false;
    shelf.waiting.splice(index, 1);
    this.#forgetBytes(one);
    void this.#discard(one.slot);
    return true;
  }

  #failed(shelf: Shelf<Slot>, error: unknown): void {
    if (this.#closed) return;
    const pauseMs = Math.min(failurePauseMs * 2 ** shelf.failures, failurePauseMsMax);
    shelf.failures += 1;
    shelf.pausedUntilMs = performance.now() + pauseMs;
    this.#options.onFailure(shelf.label, error);
    this.#look(pauseMs);
  }

  /** Drops what is too old or wanted no more, when the first of it can be. */
  #look(afterMs: number): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
    }, afterMs);
    this.#timer.unref();
  }

  #sweep(): void {
    const oldMs = performance.now() - this.#options.config.poolTtlMs;
    for (const shelf of this.#shelves.values()) {
      const target = this.#target(shelf);
      while (shelf.waiting.length > target || (shelf.waiting[0]?.sinceMs ?? Infinity) <= oldMs) {
        this.#drop(shelf);
      }
      if (target === 0 && shelf.inUse === 0) this.#shelves.delete(shelf.kind);
    }
    const first = [...this.#shelves.values()].flatMap(({ waiting }) => waiting[0]?.sinceMs ?? []);
    if (first.length > 0) this.#look(Math.max(1, Math.min(...first) - oldMs));
    this.refill();
  }

  /** Closes the one that has waited longest. */
  #drop(shelf: Shelf<Slot>): void {
    const one = shelf.waiting.shift();
    if (one === undefined) return;
    this.#forgetBytes(one);
    void this.#discard(one.slot);
  }

  #discard(slot: Slot): Promise<void> {
    return slot.close().catch((error: unknown) => this.#options.onFailure("closing", error));
  }
}
