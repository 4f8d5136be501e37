// All the files of a jail as one stream of bytes, and the same again in another jail (../agent/tree.c). The host passes
// the stream on and looks into none of it: who made it up as a tenant makes files in the jail that is given it, with
// that jail's rights, and nowhere else.
import { constants } from "node:os";
import type { StartBox } from "../files/box.ts";
import {
  type Channel,
  type ChannelListener,
  InputClosedError,
  RefusedError,
  windowed,
} from "../jail/channels.ts";
import type { Output, ProcessExit } from "../jail/keep-frames.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";

/** What a copy is made of: all that a tenant can write, but for shared memory. */
const roots = [WORK_DIRECTORY, "/tmp"];
const program = "/init";
const windowBytes = 1024 ** 2;
/** A number for each of what is counted, or a reason. */
const saidBytesMax = 4096;
/** Nothing comes or is taken for so long: whoever is at the other end was stopped. */
const idleMsMax = 20_000;
/** So long it has to end by itself. */
const endMsMax = 2000;

/** What is known of a copy: the jail's word. */
export interface PackReport {
  readonly entries: number;
  /** Sockets, pipes and devices, which are not in it. */
  readonly skipped: number;
  /** How many others there were in the jail. */
  readonly processes: number;
  /** All of them stood still meanwhile. */
  readonly still: boolean;
}

/** The files could not be copied, and why. */
export class CopyError extends Error {
  override readonly name = "CopyError";
  readonly errno: number;
  /** What it was about, in the jail's words. */
  readonly what: string;

  constructor(errno: number, what: string) {
    super(`Cannot copy: error ${errno} at ${what}`);
    this.errno = errno;
    this.what = what;
  }
}

/** Gives the sink all of a jail's files, piece by piece, while everything else in the jail stands still. */
export async function packTree(
  start: StartBox,
  sink: (piece: Buffer) => Promise<void>,
): Promise<PackReport> {
  const copy = new Copy();
  try {
    // What it stops goes on when it ends, in whatever way: the agent sees to it.
    const options = { input: false, hushes: true };
    copy.open(start([program, "box", "pack-tree", ...roots], options, copy));
    for (let piece = await copy.next(); piece !== undefined; piece = await copy.next()) {
      await sink(piece);
      copy.used(piece.length);
    }
    return parseReport(await copy.end());
  } catch (error) {
    await copy.stop();
    throw worded(error);
  }
}

/** Makes in a jail that has no files yet what a pack was given: so many files, folders and links at most. */
export async function unpackTree(
  start: StartBox,
  content: AsyncIterable<Buffer>,
  entriesMax: number,
): Promise<void> {
  const copy = new Copy();
  try {
    const argv = [program, "box", "unpack-tree", String(entriesMax), ...roots];
    const channel = start(argv, { input: true }, copy);
    copy.open(channel);
    try {
      for await (const piece of content) await copy.inTime(channel.write(piece));
      channel.endInput();
    } catch (error) {
      // It has ended: what it said last tells why.
      if (!(error instanceof InputClosedError)) throw error;
    }
    await copy.end();
  } catch (error) {
    await copy.stop();
    throw worded(error);
  }
}

function worded(error: unknown): unknown {
  return error instanceof RefusedError ? new CopyError(error.errno, error.stage) : error;
}

function parseReport(said: string): PackReport {
  const match = /^done (\d{1,9}) \d{1,20} (\d{1,9}) (\d{1,9}) ([01])\n$/.exec(said);
  if (match === null) throw new CopyError(constants.errno.EPROTO, "what it says of itself");
  const [entries = 0, skipped = 0, processes = 0, still = 0] = match.slice(1).map(Number);
  return { entries, skipped, processes, still: still === 1 };
}

/** One run of `box`. */
class Copy implements ChannelListener {
  exit: ProcessExit | undefined;
  readonly #pieces: Buffer[] = [];
  #channel: Channel | undefined;
  #said = "";
  #ended = false;
  #wake: (() => void) | undefined;
  #used: (bytes: number) => void = () => {};

  open(channel: Channel): void {
    this.#channel = channel;
    this.#used = windowed(channel, "stdout", windowBytes);
    channel.grant("stderr", saidBytesMax);
    channel.begun.catch(() => this.#wake?.());
    void channel.released.then(() => this.#end());
  }

  output(output: Output, data: Buffer): void {
    if (output === "stdout") this.#pieces.push(data);
    else if (output === "stderr") this.#said += data.toString("utf8");
    this.#wake?.();
  }

  outputEnd(output: Output): void {
    if (output === "stdout") this.#end();
  }

  exited(exit: ProcessExit): void {
    this.exit = exit;
  }

  /** The next piece; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    while (this.#pieces.length === 0 && !this.#ended) {
      await this.inTime(new Promise<void>((resolve) => (this.#wake = resolve)));
    }
    return this.#pieces.shift();
  }

  /** Those bytes are done with: as many more may come. */
  used(bytes: number): void {
    this.#used(bytes);
  }

  /** What it said when it has ended well; throws what was wrong otherwise. */
  async end(): Promise<string> {
    await this.#channel?.begun;
    if (this.#channel !== undefined) await this.inTime(this.#channel.released);
    if (this.exit?.kind === "exited" && this.exit.code === 0) return this.#said;
    const [, errno = "", what = ""] = /^error (\d{1,4}) ([^\n]*)/.exec(this.#said) ?? [];
    throw new CopyError(Number(errno) || constants.errno.EIO, what);
  }

  /** Ends it. */
  async stop(): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined || this.exit !== undefined) return;
    channel.close(); // whoever writes to nobody ends
    try {
      await this.inTime(channel.released, endMsMax);
    } catch {
      channel.signal(constants.signals.SIGKILL, true);
      await this.inTime(channel.released, endMsMax).catch(() => undefined);
    }
  }

  async inTime<T>(work: Promise<T>, ms = idleMsMax): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const error = new CopyError(constants.errno.ETIMEDOUT, "");
      timer = setTimeout(() => reject(error), ms);
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}
