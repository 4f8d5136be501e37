// The zygotes of a platform: one for each kind of jail that is asked for, started at the first request for it,
// replaced when it ends, and from time to time anyway: what its forks share, such as the hashes of strings that it
// knew, is not to be shared for ever.
import type { SeccompFilter } from "../seccomp/seccomp.ts";
import type { Log } from "@syla/kit/log";
import type { Cgroups } from "../cgroup/cgroup.ts";
import type { Spawner } from "./spawner.ts";
import type { Bind } from "../languages/language.ts";
import type { JailRoot, ZygoteProgram } from "./root.ts";
import { openZygote, type Zygote } from "./zygote.ts";

export interface ZygotesOptions {
  readonly cgroups: Pick<Cgroups, "zygoteArguments">;
  readonly root: JailRoot;
  readonly spawner: Spawner;
  readonly filter: SeccompFilter;
  readonly log: Log;
}

export interface ZygoteSpec {
  /** The same for what can share a zygote. */
  readonly key: string;
  readonly binds: readonly Bind[];
  readonly program?: ZygoteProgram | undefined;
}

/**
 * How many zygotes of an interpreter take turns: what the forks of one share, programs that follow one another do not.
 * Each takes 6 MiB of its own; one without an interpreter shares nothing, so that there is one.
 */
const turns = 4;
/** Starting one anew takes 25 ms of CPU: of what so many runs take, half of a per cent. */
export const forksMax = 1000;
/** None is replaced while so many that were are kept by jails that run on: each takes memory of its own. */
const retiredMax = 32;
const pauseMs = 1000;
const pauseMsMax = 300_000;

interface Entry {
  current: Zygote | undefined;
  starting: Promise<void> | undefined;
  forks: number;
  failures: number;
  pausedUntilMs: number;
}

export class Zygotes {
  readonly #options: ZygotesOptions;
  readonly #rings = new Map<string, Entry[]>();
  /** Replaced, with jails that still run. */
  readonly #retired = new Set<Promise<void>>();
  #closed = false;

  constructor(options: ZygotesOptions) {
    this.#options = options;
  }

  /** One that is ready, for one jail; or one is being started; or there cannot be one, for now. */
  take(spec: ZygoteSpec): Zygote | "starting" | "none" {
    if (!this.#options.root.zygotes || this.#closed) return "none";
    const ring = this.#ring(spec);
    ring.push(...ring.splice(0, 1)); // whose turn it is goes first, the last one to the end
    let starting = false;
    for (const entry of ring) {
      const { current } = entry;
      if (current?.alive === true) {
        entry.forks += 1;
        if (entry.forks >= forksMax && this.#retired.size < retiredMax)
          void this.#start(spec, entry);
        return current;
      }
      entry.current = undefined;
      // One at a time, unless there is none at all.
      if (!starting) void this.#start(spec, entry);
      starting ||= entry.starting !== undefined;
    }
    return starting ? "starting" : "none";
  }

  /** Resolves when there is one, or there cannot be. */
  async settled(spec: ZygoteSpec): Promise<void> {
    if (this.take(spec) !== "starting") return;
    await Promise.race(this.#ring(spec).flatMap(({ starting }) => starting ?? []));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const entries = [...this.#rings.values()].flat();
    await Promise.all(entries.flatMap(({ starting }) => starting ?? []));
    const current = entries.flatMap((entry) => entry.current?.close() ?? []);
    await Promise.all([...this.#retired, ...current]);
  }

  #ring({ key, program }: ZygoteSpec): Entry[] {
    const known = this.#rings.get(key);
    if (known !== undefined) return known;
    const none = { current: undefined, starting: undefined };
    const ring = Array.from({ length: program === undefined ? 1 : turns }, (): Entry => {
      return { ...none, forks: 0, failures: 0, pausedUntilMs: 0 };
    });
    this.#rings.set(key, ring);
    return ring;
  }

  #start(spec: ZygoteSpec, entry: Entry): Promise<void> {
    if (entry.starting !== undefined) return entry.starting;
    if (performance.now() < entry.pausedUntilMs) return Promise.resolve();
    return (entry.starting = this.#replace(spec, entry).finally(
      () => (entry.starting = undefined),
    ));
  }

  async #replace({ key, binds, program }: ZygoteSpec, entry: Entry): Promise<void> {
    const { cgroups, root, spawner, filter, log } = this.#options;
    const launchArguments = cgroups.zygoteArguments;
    const onNote = (stage: string, message: string): void =>
      log.warn({ zygote: key, stage, message }, "a zygote said");
    const next = openZygote({
      ...{ root, spawner, filter, binds, launchArguments, program, onNote },
    });
    try {
      await next.ready;
    } catch (error) {
      entry.pausedUntilMs = performance.now() + Math.min(pauseMs * 2 ** entry.failures, pauseMsMax);
      entry.failures += 1;
      if (!this.#closed)
        log.warn({ zygote: key, error }, "a zygote did not start; its runs are slower");
      return;
    }
    entry.failures = entry.forks = 0;
    const before = entry.current;
    entry.current = next;
    if (before === undefined) return;
    const retired = before.retire().finally(() => this.#retired.delete(retired));
    this.#retired.add(retired);
  }
}
