// A blob that is being written (blobs.ts): a file without a name of its own. Nothing of it is left unless it is kept.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, rm } from "node:fs/promises";
import { SylaError } from "@syla/kit/error";

/** What is kept under a digest. */
export interface Blob {
  /** SHA-256, in hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
}

/** Where one is written, and what it is held to. */
export interface DraftOptions {
  readonly path: string;
  readonly handle: FileHandle;
  readonly bytesMax: number;
  /** Takes room of what all blobs may have, or gives it back; throws when there is none. */
  readonly take: (bytes: number) => void;
  /** Gives it its name. */
  readonly keep: (blob: Blob) => Promise<void>;
}

const readBytes = 256 * 1024;

export class Draft {
  readonly #options: DraftOptions;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #open = true;

  constructor(options: DraftOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `snapshot_too_large`, `snapshots_full` or `storage_full` when there is no room. */
  async write(piece: Buffer): Promise<void> {
    const { handle, bytesMax, take } = this.#options;
    if (this.#bytes + piece.length > bytesMax) {
      throw new SylaError(
        "snapshot_too_large",
        `Cannot keep the files: they have more than ${bytesMax} bytes.`,
      );
    }
    take(piece.length);
    this.#bytes += piece.length;
    this.#hash.update(piece);
    try {
      for (let at = 0; at < piece.length;) {
        at += (await handle.write(piece, at)).bytesWritten;
      }
    } catch (cause) {
      throw new SylaError("storage_full", "The files cannot be written to the disk.", { cause });
    }
  }

  /** What was written, as often as it is asked for. */
  read(): AsyncIterable<Buffer> {
    return createReadStream(this.#options.path, { highWaterMark: readBytes });
  }

  /** Keeps it: it is on the disk, whole, when this resolves. */
  async keep(): Promise<Blob> {
    const blob = { digest: this.#hash.digest("hex"), bytes: this.#bytes };
    await this.#options.handle.sync();
    await this.#options.keep(blob);
    return blob;
  }

  /** Whether it was kept or not: nothing else of it is left. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    const { handle, path, take } = this.#options;
    take(-this.#bytes);
    await handle.close();
    await rm(path, { force: true });
  }
}
