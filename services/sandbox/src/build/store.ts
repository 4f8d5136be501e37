/**
 * Builds on disk: a file for each, named by its key, in a folder that only the platform's user may look into. Written
 * aside and renamed, so that what has a key for a name was whole once; its hash says whether it still is. The ones that
 * were not used for longest go when all together are too large.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "@syla/kit/log";
import { type Build, decodeBuild, encodeBuild } from "./entry.ts";

export interface BuildStoreOptions {
  readonly directory: string;
  /** Of all builds together, as the disk counts them. */
  readonly bytesMax: number;
  readonly log: Log;
}

interface Stored {
  readonly bytes: number;
  /** When the file last got the time of its use. */
  touchedMs: number;
}

const blockBytes = 4096;
/** A start takes the order of use from the files' times, for which an hour is exact enough. */
const touchMs = 3_600_000;
const keyShape = /^[0-9a-f]{64}$/;

export class BuildStore {
  readonly #options: BuildStoreOptions;
  /** The one that was not used for longest first. */
  readonly #stored = new Map<string, Stored>();
  readonly #loaded: Promise<void>;
  #bytes = 0;
  #failing = false;

  /** Serves at once; what is there already is counted in the background. */
  constructor(options: BuildStoreOptions) {
    this.#options = options;
    this.#loaded = this.#load().catch((error: unknown) => this.#failed(error));
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing under this key, or nothing that can be used any more: that is removed. */
  async read(key: string): Promise<Build | "none" | "damaged"> {
    const bytes = await readFile(this.#path(key)).catch(() => undefined);
    if (bytes === undefined) return "none";
    const build = await decodeBuild(key, bytes);
    if (build !== undefined) return build;
    await this.#loaded;
    await this.#remove(key);
    return "damaged";
  }

  /** That it was used just now. */
  use(key: string): void {
    const stored = this.#stored.get(key);
    if (stored === undefined) return;
    this.#stored.delete(key);
    this.#stored.set(key, stored);
    if (Date.now() - stored.touchedMs < touchMs) return;
    stored.touchedMs = Date.now();
    const now = new Date();
    utimes(this.#path(key), now, now).catch(() => {}); // it has gone, and with it the reason
  }

  /** Never rejects: a build that cannot be kept is made again. One at a time. */
  async write(key: string, build: Build): Promise<void> {
    await this.#loaded;
    if (this.#stored.has(key)) return;
    const aside = this.#path(`.${randomUUID()}`);
    try {
      const encoded = await encodeBuild(key, build);
      const bytes = onDisk(encoded.length);
      if (bytes > this.#options.bytesMax) return;
      // Not synced: what a power cut takes of it, the hash tells.
      await writeFile(aside, encoded, { mode: 0o600, flag: "wx" });
      await rename(aside, this.#path(key));
      this.#stored.set(key, { bytes, touchedMs: Date.now() });
      this.#bytes += bytes;
      await this.#evict();
      this.#failing = false;
    } catch (error) {
      this.#failed(error);
      await rm(aside, { force: true }).catch(() => {}); // the next start tries again
    }
  }

  #path(name: string): string {
    return join(this.#options.directory, name);
  }

  async #load(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    const found: { key: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.#options.directory)) {
      if (keyShape.test(name)) {
        const { size, mtimeMs } = await stat(this.#path(name));
        found.push({ key: name, bytes: onDisk(size), usedMs: mtimeMs });
      } else {
        await rm(this.#path(name), { force: true }); // a platform ended while it wrote
      }
    }
    for (const { key, bytes, usedMs } of found.toSorted((one, two) => one.usedMs - two.usedMs)) {
      this.#stored.set(key, { bytes, touchedMs: usedMs });
      this.#bytes += bytes;
    }
    await this.#evict();
  }

  async #evict(): Promise<void> {
    for (const key of this.#stored.keys()) {
      if (this.#bytes <= this.#options.bytesMax) return;
      await this.#remove(key);
    }
  }

  async #remove(key: string): Promise<void> {
    this.#bytes -= this.#stored.get(key)?.bytes ?? 0;
    this.#stored.delete(key);
    await rm(this.#path(key), { force: true });
  }

  /** Said once until it works again: with a full disk every build fails. */
  #failed(error: unknown): void {
    if (!this.#failing) this.#options.log.warn({ error }, "builds cannot be kept on disk");
    this.#failing = true;
  }
}

function onDisk(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}
