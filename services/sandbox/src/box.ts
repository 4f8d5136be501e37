// Files of a jail that stays, through a process of the jail's own for each call (../agent/box.c): no path of the
// tenant's is ever followed by the host, and what a transfer takes is charged to the tenant.
import { constants } from "node:os";
import { type Change, type Entry, FileError, Records } from "./box-records.ts";
import { type Channel, type ChannelListener, InputClosedError } from "./channels.ts";

export { type Change, type Entry, FileError } from "./box-records.ts";

/** What is to be written. */
export interface NewFile {
  readonly path: string;
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** 0 leaves those of the file that is replaced. */
  readonly mode: number;
}

export interface Listing {
  readonly entries: readonly Entry[];
  /** There is more. */
  readonly truncated: boolean;
}

export interface FileRead {
  readonly entry: Entry;
  readonly content: AsyncIterable<Buffer>;
}

const program = "/init";
const pieceBytesMax = 65_536;

/** Starts `box` in the jail. */
export type StartBox = (
  argv: readonly string[],
  options: { readonly input: boolean },
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
    await this.#run(["list", path, String(depth), String(entriesMax)], async (records, kind) => {
      if (kind !== "e") return void entries.push(await records.entry(kind));
      const error = await records.error();
      if (error.errno === constants.errno.E2BIG) truncated = true;
      // What is below could not be read, or has gone meanwhile; the folder itself is what was asked for.
      else if (error.path === path) throw error;
    });
    return { entries: entries.toSorted((a, b) => (a.path < b.path ? -1 : 1)), truncated };
  }

  /** A file's bytes; `content` is to be read to its end or given up by `return`. */
  async read(path: string, bytesMax: number): Promise<FileRead> {
    const { records, channel } = this.#open(["read", path, String(bytesMax)], false);
    try {
      const kind = await records.kind();
      if (kind === "e") throw await records.error();
      const entry = await records.entry(kind ?? "");
      return { entry, content: ended(records.content(path), channel) };
    } catch (error) {
      end(channel);
      throw error;
    }
  }

  /** Each is written whole or not at all; the first that cannot be is thrown when all were tried. */
  async write(files: readonly NewFile[]): Promise<Entry[]> {
    const { records, channel } = this.#open(["write"], true);
    try {
      const sent = sendFiles(channel, files);
      const entries: Entry[] = [];
      let failed: FileError | undefined;
      const heard = each(records, async (kind) => {
        if (kind === "e") failed ??= await records.error();
        else entries.push(await records.entry(kind));
      });
      await Promise.all([sent, heard]);
      if (failed !== undefined) throw failed;
      return entries;
    } finally {
      end(channel);
    }
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
    await this.#run(["remove", path], async (records) => {
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
    await this.#run(argv, async (records, kind) => {
      if (kind === "e") throw await records.error();
      found = await records.entry(kind);
    });
    if (found === undefined) throw new FileError(constants.errno.EPROTO, argv[1] ?? "");
    return found;
  }

  async #run(
    argv: readonly string[],
    take: (records: Records, kind: string) => Promise<void>,
  ): Promise<void> {
    const { records, channel } = this.#open(argv, false);
    try {
      await each(records, (kind) => take(records, kind));
    } finally {
      end(channel);
    }
  }

  #open(argv: readonly string[], input: boolean): { records: Records; channel: Channel } {
    const records = new Records();
    const channel = this.#start([program, "box", ...argv], { input }, records);
    records.open(channel);
    return { records, channel };
  }
}

async function each(records: Records, take: (kind: string) => Promise<void>): Promise<void> {
  for (let kind = await records.kind(); kind !== undefined; kind = await records.kind()) {
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

async function sendFiles(channel: Channel, files: readonly NewFile[]): Promise<void> {
  try {
    for (const { path, content, mode } of files) {
      await channel.write(fileHead(path, mode));
      const parts = content instanceof Uint8Array ? [content] : content;
      for await (const part of parts) await sendPieces(channel, part);
      await channel.write(u32(0));
    }
    await channel.write(Buffer.alloc(1));
    channel.endInput();
  } catch (error) {
    // It has ended: what it said last tells why.
    if (!(error instanceof InputClosedError)) throw error;
  }
}

async function sendPieces(channel: Channel, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += pieceBytesMax) {
    const piece = bytes.subarray(at, at + pieceBytesMax);
    await channel.write(Buffer.concat([u32(piece.length), piece]));
  }
}

function fileHead(path: string, mode: number): Buffer {
  const name = Buffer.from(path, "utf8");
  return Buffer.concat([Buffer.from("f"), u32(mode), u32(name.length), name]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}
