// Files of a jail that stays, through a process of the jail's own for each call (../agent/box.c): no path of the
// tenant's is ever followed by the host, and what a transfer takes is charged to the tenant.
import { constants } from "node:os";
import { type Change, type Entry, FileError, Records, wrong } from "./box-records.ts";
import { type NewFile, sendFiles, sendParts, type UnpackStep } from "./box-send.ts";
import type { Channel, ChannelListener } from "../jail/channels.ts";
import type { ArchiveEntry } from "./tar-header.ts";

export { type Change, type Entry, FileError } from "./box-records.ts";

export interface Listing {
  readonly entries: readonly Entry[];
  /** There is more. */
  readonly truncated: boolean;
}

export interface FileRead {
  readonly entry: Entry;
  readonly content: AsyncIterable<Buffer>;
  /** Ends it early. */
  close(): void;
}

const program = "/init";
/** What has to be tidied up when a transfer is broken off takes no longer. */
const tidyMsMax = 2000;
/** What is listed at once: its paths may be as long as paths can be. */
const listBytesMax = 16 * 1024 ** 2;

/** Starts `box` in the jail. */
export type StartBox = (
  argv: readonly string[],
  options: { readonly input: boolean; readonly hushes?: boolean },
  listener: ChannelListener,
) => Channel;

export class Box {
  readonly #start: StartBox;

  constructor(start: StartBox) {
    this.#start = start;
  }

  /** Of a link, the link itself. */
  stat(path: string): Promise<Entry> {
    return this.#one(["stat", path]);
  }

  /** What is below a folder, by path. */
  async list(path: string, depth: number, entriesMax: number): Promise<Listing> {
    const entries: Entry[] = [];
    let truncated = false;
    let bytes = 0;
    // One fault for each folder at most, and one that there is more.
    const most = 2 * entriesMax + 1;
    const argv = ["list", path, String(depth), String(entriesMax)];
    await this.#run(argv, most, async (records, kind) => {
      if (kind !== "e") {
        const entry = await records.entry(kind);
        if (entries.length === entriesMax) throw wrong();
        bytes += entry.path.length + entry.target.length;
        if (bytes > listBytesMax) truncated = true;
        else entries.push(entry);
        return;
      }
      const error = await records.error();
      if (error.errno === constants.errno.E2BIG) truncated = true;
      // What is below could not be read, or has gone meanwhile; the folder itself is what was asked for.
      else if (error.path === path) throw error;
    });
    return { entries: entries.toSorted((a, b) => (a.path < b.path ? -1 : 1)), truncated };
  }

  /**
   * A file's bytes from a place on, which when negative is counted from the end; `content` is to be read to its end or
   * closed.
   */
  async read(path: string, bytesMax: number, start = 0): Promise<FileRead> {
    const argv = ["read", path, String(bytesMax), String(start)];
    const { records, channel } = this.#open(argv, false);
    try {
      const kind = await records.kind();
      if (kind === "e") throw await records.error();
      const entry = await records.entry(kind ?? "");
      const content = ended(records.content(path, bytesMax), channel);
      return { entry, content, close: () => end(channel) };
    } catch (error) {
      end(channel);
      throw error;
    }
  }

  /**
   * Each is written whole or not at all; the first that cannot be is thrown when all were tried, or when that takes
   * longer than it may.
   */
  async write(files: readonly NewFile[], msMax?: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    let failed: FileError | undefined;
    const send = (channel: Channel) => {
      const timer = msMax === undefined ? undefined : setTimeout(() => end(channel), msMax);
      void channel.released.then(() => clearTimeout(timer));
      return sendFiles(channel, files);
    };
    await this.#send(["write", "0"], send, files.length, async (records, kind) => {
      if (kind === "e") failed ??= await records.error();
      else entries.push(await records.entry(kind));
    });
    if (failed !== undefined) throw failed;
    return entries;
  }

  /** Writes one file that comes bit by bit, and takes no more of it when it cannot be written. */
  async writeLarge(file: NewFile): Promise<Entry> {
    let written: Entry | undefined;
    const send = (channel: Channel) => sendFiles(channel, [file]);
    await this.#send(["write", "1"], send, 1, async (records, kind) => {
      if (kind === "e") throw await records.error();
      written = await records.entry(kind);
    });
    if (written === undefined) throw new FileError(constants.errno.EPROTO, file.path);
    return written;
  }

  /** What is below a folder, parents first; each with its content, which is to be read before the next. */
  async *pack(path: string, entriesMax: number): AsyncGenerator<ArchiveEntry> {
    const { records, channel } = this.#open(["pack", path, String(entriesMax)], false);
    let left = entriesMax;
    try {
      for (let kind = await records.kind(); kind !== undefined; kind = await records.kind()) {
        if (kind === "e") throw below(path, await records.error());
        if ((left -= 1) < 0) throw wrong();
        const entry = await records.packed(kind);
        const content =
          entry.type === "file"
            ? records.content(`${path}/${entry.path.toString("utf8")}`, entry.sizeBytes)
            : none();
        yield { ...entry, content };
      }
    } finally {
      end(channel);
    }
  }

  /** Makes below a folder what these steps say, and takes no more of them when it cannot. */
  async unpack(path: string, steps: AsyncIterable<UnpackStep>): Promise<void> {
    const send = (channel: Channel) => sendParts(channel, steps);
    await this.#send(["unpack", path], send, 1, async (records) => {
      throw below(path, await records.error());
    });
  }

  /** With those above it. */
  makeDirectory(path: string): Promise<Entry> {
    return this.#one(["mkdir", path]);
  }

  move(path: string, newPath: string): Promise<Entry> {
    return this.#one(["move", path, newPath]);
  }

  /** A folder with all below it. */
  async remove(path: string): Promise<void> {
    await this.#run(["remove", path], 1, async (records) => {
      throw await records.error();
    });
  }

  /** Changes in a folder, or in all below it; to be read until it is ended, or given up by `return`. */
  async *watch(path: string, recursive: boolean, signal: AbortSignal): AsyncGenerator<Change> {
    const { records, channel } = this.#open(["watch", path, recursive ? "1" : "0"], false);
    const stop = () => end(channel);
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        const kind = await records.kind();
        if (kind === undefined) return;
        if (kind === "e") throw await records.error();
        yield await records.change(kind);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  async #one(argv: readonly string[]): Promise<Entry> {
    let found: Entry | undefined;
    await this.#run(argv, 1, async (records, kind) => {
      if (kind === "e") throw await records.error();
      found = await records.entry(kind);
    });
    if (found === undefined) throw new FileError(constants.errno.EPROTO, argv[1] ?? "");
    return found;
  }

  /** `most` is how many records there can be. */
  async #run(
    argv: readonly string[],
    most: number,
    take: (records: Records, kind: string) => Promise<void>,
  ): Promise<void> {
    const { records, channel } = this.#open(argv, false);
    try {
      await each(records, most, (kind) => take(records, kind));
    } finally {
      end(channel);
    }
  }

  /** What is sent fails first, and what it answers to that is of no matter. */
  async #send(
    argv: readonly string[],
    send: (channel: Channel) => Promise<void>,
    most: number,
    take: (records: Records, kind: string) => Promise<void>,
  ): Promise<void> {
    const { records, channel } = this.#open(argv, true);
    let failed: { readonly thrown: unknown } | undefined;
    let tidying: NodeJS.Timeout | undefined;
    const sent = send(channel).catch((thrown: unknown) => {
      failed = { thrown };
      tidying = setTimeout(() => end(channel), tidyMsMax);
    });
    try {
      await each(records, most, (kind) => take(records, kind));
      await sent;
    } catch (thrown) {
      failed ??= { thrown };
    } finally {
      clearTimeout(tidying);
      end(channel);
    }
    if (failed !== undefined) throw failed.thrown;
  }

  #open(argv: readonly string[], input: boolean): { records: Records; channel: Channel } {
    const records = new Records();
    const channel = this.#start([program, "box", ...argv], { input }, records);
    records.open(channel);
    return { records, channel };
  }
}

async function each(
  records: Records,
  most: number,
  take: (kind: string) => Promise<void>,
): Promise<void> {
  let left = most;
  for (let kind = await records.kind(); kind !== undefined; kind = await records.kind()) {
    if ((left -= 1) < 0) throw wrong();
    await take(kind);
  }
}

async function* ended(content: AsyncGenerator<Buffer>, channel: Channel): AsyncGenerator<Buffer> {
  try {
    yield* content;
  } finally {
    end(channel);
  }
}

// Whatever it is doing: it holds nothing that is half done but a file beside the one it was to become.
function end(channel: Channel): void {
  channel.signal(constants.signals.SIGKILL, true);
  channel.close();
}

// It works from within the folder, and names what is below that.
function below(path: string, error: FileError): FileError {
  if (error.path === path || error.path === "") return new FileError(error.errno, path);
  return new FileError(error.errno, `${path}/${error.path}`);
}

async function* none(): AsyncGenerator<Buffer> {}
