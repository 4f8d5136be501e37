// What the agent's `box` says, read record by record (see ../agent/box.c). It runs in the jail with the tenant's
// rights, so what it says is the tenant's word: every length is bounded, and what does not fit throws.
import { constants } from "node:os";
import type { Channel, ChannelListener } from "../jail/channels.ts";
import { windowed } from "../jail/channels.ts";
import type { Output } from "../jail/keep-frames.ts";
import type { ArchiveEntry } from "./tar-header.ts";

const windowBytes = 512 * 1024;
const pathBytesMax = 4096;
const pieceBytesMax = 65_536;
const pieceBroken = 0xffff_ffff;

/** What cannot be done with a path, as the kernel said it. */
export class FileError extends Error {
  override readonly name = "FileError";
  readonly errno: number;
  readonly path: string;

  constructor(errno: number, path: string) {
    super(`Error ${errno} at ${path}`);
    this.errno = errno;
    this.path = path;
  }
}

export const entryTypes = { f: "file", d: "directory", l: "symlink", o: "other" } as const;

/** Something that lies at a path. */
export interface Entry {
  readonly type: (typeof entryTypes)[keyof typeof entryTypes];
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Where a symbolic link leads. */
  readonly target: string;
}

export const changeTypes = {
  s: "begun",
  c: "created",
  w: "written",
  a: "attributes",
  r: "removed",
  m: "moved",
  "!": "lost",
} as const;

/** A change in a folder that is watched. */
export interface Change {
  readonly type: (typeof changeTypes)[keyof typeof changeTypes];
  readonly directory: boolean;
  readonly path: string;
  /** The new one, when it was moved. */
  readonly newPath: string;
}

/** The records of one run of `box`. */
export class Records implements ChannelListener {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;
  #used: (bytes: number) => void = () => {};

  /** Lets them come. */
  open(channel: Channel): void {
    this.#used = windowed(channel, "stdout", windowBytes);
    channel.grant("stderr", windowBytes); // nothing is said there
    void channel.released.then(() => this.#end());
  }

  output(output: Output, data: Buffer): void {
    if (output !== "stdout") return;
    this.#chunks.push(data);
    this.#bytes += data.length;
    this.#wake?.();
  }

  outputEnd(output: Output): void {
    if (output === "stdout") this.#end();
  }

  /** The next record's kind; undefined at the end. */
  async kind(): Promise<string | undefined> {
    const kind = (await this.#take(1)).toString("latin1");
    return kind === "\0" ? undefined : kind;
  }

  /** What follows an entry's kind. */
  async entry(kind: string): Promise<Entry> {
    const type = lookUp(entryTypes, kind);
    const head = await this.#take(20);
    const path = await this.#text();
    return {
      type,
      path,
      mode: head.readUInt32LE(0) & 0o7777,
      sizeBytes: Number(head.readBigUInt64LE(4)),
      modifiedMs: Number(head.readBigInt64LE(12) / 1_000_000n),
      target: await this.#text(),
    };
  }

  /** The same of a part of an archive; but for what is in a file, which is read next. */
  async packed(kind: string): Promise<Omit<ArchiveEntry, "content">> {
    const type = lookUp(entryTypes, kind);
    if (type === "other") throw wrong();
    const head = await this.#take(20);
    const path = Buffer.from(await this.#bytesOf());
    return {
      ...{ type, path, mode: head.readUInt32LE(0) & 0o777 },
      sizeBytes: Number(head.readBigUInt64LE(4)),
      mtimeSeconds: Math.floor(Number(head.readBigInt64LE(12)) / 1e9),
      target: Buffer.from(await this.#bytesOf()),
    };
  }

  async error(): Promise<FileError> {
    const errno = (await this.#take(4)).readUInt32LE(0);
    return new FileError(errno, await this.#text());
  }

  /** What follows a change's kind. */
  async change(kind: string): Promise<Change> {
    const type = lookUp(changeTypes, kind);
    if (type === "begun") return { type, directory: true, path: "", newPath: "" };
    const directory = (await this.#take(1))[0] !== 0;
    return { type, directory, path: await this.#text(), newPath: await this.#text() };
  }

  /** What is in a file, in pieces; throws when the rest cannot be had, or is more than was asked for. */
  async *content(path: string, bytesMax: number): AsyncGenerator<Buffer> {
    for (let left = bytesMax; ;) {
      const length = (await this.#take(4)).readUInt32LE(0);
      if (length === 0) return;
      if (length === pieceBroken) throw new FileError(constants.errno.EIO, path);
      left -= length;
      if (length > pieceBytesMax || left < 0) throw wrong();
      yield await this.#take(length);
    }
  }

  async #text(): Promise<string> {
    return (await this.#bytesOf()).toString("utf8");
  }

  async #bytesOf(): Promise<Buffer> {
    const length = (await this.#take(4)).readUInt32LE(0);
    if (length > pathBytesMax) throw wrong();
    return this.#take(length);
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#bytes < length) {
      // Killed from inside, or with the sandbox.
      if (this.#ended) throw new FileError(constants.errno.EIO, "");
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const first = this.#chunks[0];
    const whole =
      first !== undefined && first.length >= length ? first : Buffer.concat(this.#chunks);
    if (whole !== first) this.#chunks = [whole];
    this.#chunks[0] = whole.subarray(length);
    if (this.#chunks[0].length === 0) this.#chunks.shift();
    this.#bytes -= length;
    this.#used(length);
    return whole.subarray(0, length);
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}

function lookUp<T>(table: Readonly<Record<string, T>>, kind: string): T {
  const found = Object.hasOwn(table, kind) ? table[kind] : undefined;
  if (found === undefined) throw wrong();
  return found;
}

/** It said what it cannot have to say. */
export function wrong(): Error {
  return new FileError(constants.errno.EPROTO, "");
}
