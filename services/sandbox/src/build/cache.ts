/**
 * What compilers made, kept, so that a program that was built before is not built again: in memory the builds that were
 * used last, on disk as many as `sandbox.build_cache_bytes` allows. build/key.ts says when two builds are the same.
 *
 * Tenants share builds, so this is what one could do to another:
 *
 *   poison a build       who gets it sent the very same bytes, for which the same compiler would have done the same in
 *                        the same jail. It is made in the run's own jail and under its limits; a compiler has no secret
 *                        and no variable of the program's.
 *   replace it           it is taken when the compiler has ended and nothing of it runs, and before the program begins:
 *                        what a program does to its `.program` stays in its jail.
 *   pass off another     it comes out by descriptor, regular files only, never through a link, and goes into the next
 *     file as one        jail by the same rules as the program's own files. The host opens no path of a jail.
 *   half a build         one whose compiler failed, or ran into a limit of its run, is not kept; one that was damaged
 *                        on the disk is found by its hash, and made again.
 *   learn from it        a program that starts at once was built before, by somebody, from the same bytes. Who must not
 *                        learn that of another turns the cache off.
 *   fill it              it has a size, what was not used for longest goes first, and one build has at most 16 MiB.
 *
 * A run never waits for another's compiler, which has the other's limits: two that come at one time both compile.
 */
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import { type Build, buildBytes } from "./entry.ts";
import { BuildStore } from "./store.ts";

export interface BuildCacheOptions {
  /** Its own; made when missing. */
  readonly directory: string;
  /** On disk, and at most so much in memory. */
  readonly bytesMax: number;
  readonly metrics: Metrics;
  readonly log: Log;
}

const mebibyte = 1024 ** 2;
const memoryBytesMax = 32 * mebibyte;
/** A few large ones would drive out all others. */
const memoryShareMax = 1 / 4;
/** What may wait for the disk; beyond it builds are kept in memory alone. */
const waitingBytesMax = 64 * mebibyte;

export class BuildCache {
  readonly #store: BuildStore;
  /** The one that was not used for longest first. */
  readonly #memory = new Map<string, Build>();
  readonly #memoryBytesMax: number;
  readonly #count;
  #memoryBytes = 0;
  #waitingBytes = 0;
  #written = Promise.resolve();

  constructor(options: BuildCacheOptions) {
    const { bytesMax, metrics } = options;
    this.#store = new BuildStore(options);
    this.#memoryBytesMax = Math.min(memoryBytesMax, bytesMax);
    this.#count = metrics.counter({
      name: "syla_build_cache_requests_total",
      help: "Builds asked for, by whether one was kept: hit, miss, or damaged on the disk.",
      labels: ["language", "result"],
    });
    metrics.gauge({
      name: "syla_build_cache_bytes",
      help: "What the builds take that are kept.",
      labels: ["place"],
      collect: (gauge) => {
        gauge.set({ place: "memory" }, this.#memoryBytes);
        gauge.set({ place: "disk" }, this.#store.bytes);
      },
    });
  }

  /** The language is for the metrics. */
  async find(key: string, language: string): Promise<Build | undefined> {
    let build = this.#memory.get(key);
    if (build === undefined) {
      const read = await this.#store.read(key);
      if (typeof read === "string") {
        this.#count.inc({ language, result: read === "none" ? "miss" : read });
        return undefined;
      }
      build = read;
    }
    this.#count.inc({ language, result: "hit" });
    this.#remember(key, build);
    this.#store.use(key);
    return build;
  }

  /** Returns at once; the disk has it later. */
  keep(key: string, build: Build): void {
    const bytes = buildBytes(build);
    this.#remember(key, build);
    if (this.#waitingBytes + bytes > waitingBytesMax) return;
    this.#waitingBytes += bytes;
    this.#written = this.#written
      .then(() => this.#store.write(key, build))
      .finally(() => (this.#waitingBytes -= bytes));
  }

  /** Resolves when what was kept is on the disk. */
  async settle(): Promise<void> {
    await this.#written;
  }

  #remember(key: string, build: Build): void {
    const bytes = buildBytes(build);
    if (bytes > this.#memoryBytesMax * memoryShareMax) return;
    if (this.#memory.delete(key)) this.#memoryBytes -= bytes;
    this.#memory.set(key, build);
    this.#memoryBytes += bytes;
    for (const [oldest, other] of this.#memory) {
      if (this.#memoryBytes <= this.#memoryBytesMax) return;
      this.#memory.delete(oldest);
      this.#memoryBytes -= buildBytes(other);
    }
  }
}
