// Watchers whose events are asked for now and then, as E2B's synchronous SDKs do: each follows a folder here and keeps
// what happened until it is taken. They are bounded in number, in what each keeps, and in how long one is kept that
// nobody asks.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CallContext, callerLeft } from "@syla/kit/call";
import { SylaError, toSylaError } from "@syla/kit/error";
import { Refusal } from "./errors.ts";
import type { Change } from "./changes.ts";

const watchersMax = 256;
const eventsMax = 10_000;
/** Of what they say: a sandbox chooses how long its paths are. */
const eventsBytesMax = 4 * 1024 ** 2;
const eventBytes = 128;
const forgottenMs = 3_600_000;
/** What was done just before is told within it: the halves of a move are waited for, and it all comes by a process. */
const settleMs = 50;

interface Watcher {
  readonly sandbox: string;
  readonly context: CallContext;
  events: Change[];
  bytes: number;
  /** Why there will be no more. */
  failed: Error | undefined;
  askedMs: number;
}

/** Follows a folder on behalf of a call. */
export type OpenChanges = (parent: CallContext) => AsyncIterable<Change | "begun">;

/** All of them. */
export class Watchers {
  readonly #watchers = new Map<string, Watcher>();

  /** Makes one; resolves with its id once it misses nothing. */
  async open(sandbox: string, changes: OpenChanges): Promise<string> {
    this.#forget();
    if (this.#watchers.size >= watchersMax) {
      const message = `Cannot watch: ${watchersMax} watchers are kept already.`;
      throw new SylaError("overloaded", message);
    }
    const watcher: Watcher = {
      ...{ sandbox, context: new CallContext(), events: [], bytes: 0, failed: undefined },
      askedMs: performance.now(),
    };
    const id = randomUUID();
    this.#watchers.set(id, watcher);
    const iterator = changes(watcher.context)[Symbol.asyncIterator]();
    try {
      await iterator.next();
    } catch (error) {
      this.#watchers.delete(id);
      throw error;
    }
    void follow(watcher, iterator);
    return id;
  }

  /** What happened since it was last asked. E2B's own tests ask at once after a change, and expect it. */
  async take(sandbox: string, id: string): Promise<readonly Change[]> {
    const watcher = this.#find(sandbox, id);
    watcher.askedMs = performance.now();
    if (watcher.events.length === 0 && watcher.failed === undefined) await sleep(settleMs);
    const { events, failed } = watcher;
    watcher.events = [];
    watcher.bytes = 0;
    if (events.length === 0 && failed !== undefined) throw failed;
    return events;
  }

  remove(sandbox: string, id: string): void {
    this.#find(sandbox, id).context.abort(callerLeft());
    this.#watchers.delete(id);
  }

  close(): void {
    for (const { context } of this.#watchers.values()) context.abort(callerLeft());
    this.#watchers.clear();
  }

  #find(sandbox: string, id: string): Watcher {
    const found = this.#watchers.get(id);
    if (found?.sandbox === sandbox) return found;
    throw new Refusal("not_found", `watcher with id ${id} not found`);
  }

  #forget(): void {
    const oldestMs = performance.now() - forgottenMs;
    for (const [id, { sandbox, askedMs }] of this.#watchers) {
      if (askedMs < oldestMs) this.remove(sandbox, id);
    }
  }
}

async function follow(watcher: Watcher, changes: AsyncIterator<Change | "begun">): Promise<void> {
  try {
    for (let step = await changes.next(); step.done !== true; step = await changes.next()) {
      if (step.value === "begun") continue;
      watcher.events.push(step.value);
      watcher.bytes += bytesOf(step.value);
      if (watcher.events.length < eventsMax && watcher.bytes < eventsBytesMax) continue;
      throw new Refusal("data_loss", `${watcher.events.length} changes were not asked for`);
    }
    watcher.failed = new Refusal("unavailable", "the watch has ended with its sandbox");
  } catch (error) {
    watcher.failed = error instanceof Error ? error : toSylaError(error);
    watcher.context.abort(callerLeft());
  }
}

// What lies at its path has the path in it twice.
function bytesOf({ name, entry }: Change): number {
  return eventBytes + name.length * (entry === undefined ? 1 : 3);
}
