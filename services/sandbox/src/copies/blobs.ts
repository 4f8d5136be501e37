// What snapshots and templates are made of, as files in the data folder: each a stream of bytes (tree-copy.ts) under
// its SHA-256, written once, whole and synced before it has that name. The host never looks into one. Who names one
// holds it; what nobody holds is removed.
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { SylaError } from "@syla/kit/error";
import { type Blob, Draft } from "./blob-draft.ts";

/** Where blobs are kept, and how much of them. */
export interface BlobsOptions {
  readonly directory: string;
  /** Of all together, as the disk counts them. */
  readonly bytesMax: number;
  /** Of one. */
  readonly blobBytesMax: number;
}

interface Kept {
  readonly bytes: number;
  holders: number;
}

const blockBytes = 4096;
const digestShape = /^[0-9a-f]{64}$/;
const readBytes = 256 * 1024;

/** All blobs of a platform. */
export class Blobs {
  readonly #options: BlobsOptions;
  readonly #kept = new Map<string, Kept>();
  /** Of blobs, of those that are being written, and a block for everyone who holds one. */
  #bytes = 0;
  #removed: (digest: string) => Promise<void> = async () => {};
  /** Names are given and taken one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: BlobsOptions) {
    this.#options = options;
  }

  /** Opens the folder; of what lies in it, `held` is kept, held once for each time that it is named. */
  static async open(options: BlobsOptions, held: readonly string[]): Promise<Blobs> {
    const { directory } = options;
    const blobs = new Blobs(options);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const names = new Set(held);
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      // Nobody's any more, or what a platform that died was writing.
      if (!digestShape.test(name) || !names.has(name)) await rm(path, { force: true });
      else blobs.#add(name, (await stat(path)).size);
    }
    for (const digest of held) blobs.#hold(digest);
    return blobs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Told of each that is removed, before the next is. */
  onRemove(listener: (digest: string) => Promise<void>): void {
    this.#removed = listener;
  }

  /** How large one is; undefined when it is not here. */
  sizeOf(digest: string): number | undefined {
    return this.#kept.get(digest)?.bytes;
  }

  /** Takes room for what is made of one, or gives it back; throws `snapshots_full` when there is none. */
  reserve(bytes: number): void {
    this.#take(bytes);
  }

  /** Its bytes, or undefined when it is not here; one that is removed meanwhile is read to its end. */
  async read(digest: string): Promise<Readable | undefined> {
    if (!this.#kept.has(digest)) return undefined;
    const handle = await open(join(this.#options.directory, digest), "r").catch(() => undefined);
    return handle?.createReadStream({ highWaterMark: readBytes });
  }

  /** One to be written. */
  async draft(): Promise<Draft> {
    const path = join(this.#options.directory, `.${randomUUID()}`);
    const handle = await open(path, "wx", 0o600);
    return new Draft({
      ...{ path, handle, bytesMax: this.#options.blobBytesMax },
      take: (bytes) => this.#take(bytes),
      keep: (blob) => this.#inTurn(() => this.#keep(path, blob)),
    });
  }

  /** Whoever named it does so no more. */
  release(digest: string): Promise<void> {
    return this.#inTurn(async () => {
      const kept = this.#kept.get(digest);
      if (kept === undefined) return;
      kept.holders -= 1;
      this.#bytes -= blockBytes;
      if (kept.holders > 0) return;
      this.#kept.delete(digest);
      this.#bytes -= onDisk(kept.bytes);
      await rm(join(this.#options.directory, digest), { force: true });
      await this.#removed(digest);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #take(bytes: number): void {
    const { bytesMax } = this.#options;
    if (bytes > 0 && this.#bytes + bytes > bytesMax) {
      throw new SylaError(
        "snapshots_full",
        `Cannot keep the files: snapshots and templates have ${bytesMax} bytes together. Delete some.`,
      );
    }
    this.#bytes += bytes;
  }

  async #keep(path: string, { digest, bytes }: Blob): Promise<void> {
    const { directory } = this.#options;
    if (!this.#kept.has(digest)) {
      await rename(path, join(directory, digest));
      await syncFolder(directory);
      this.#add(digest, bytes);
    }
    this.#hold(digest);
  }

  #add(digest: string, bytes: number): void {
    this.#kept.set(digest, { bytes, holders: 0 });
    this.#bytes += onDisk(bytes);
  }

  #hold(digest: string): void {
    const kept = this.#kept.get(digest);
    if (kept === undefined) return; // on another machine, or lost
    kept.holders += 1;
    this.#bytes += blockBytes;
  }
}

function onDisk(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
