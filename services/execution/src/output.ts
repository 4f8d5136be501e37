// Turns the bytes a program writes into the chunks of its event log. A character is never split over two chunks, and
// a program that writes byte by byte does not make an event of each byte: the first bytes go at once, what follows
// within a few milliseconds goes together.
import { create } from "@bufbuild/protobuf";
import { textOrBytes } from "@syla/kit/text-or-bytes";
import { incompleteTail } from "@syla/kit/utf8";
import { type OutputChunk, OutputChunkSchema } from "@syla/contract/syla/execution/v1/execution";

export interface OutputChunkerOptions {
  /** Takes each chunk, in order. */
  readonly emit: (chunk: OutputChunk) => void;
  /** How long bytes may wait for company, in milliseconds; longer by and by for a program that never stops. */
  readonly lingerMs: number;
  /** Bytes beyond this go at once, in bytes. */
  readonly chunkBytesMax: number;
}

/** Bytes as a chunk: text when they are UTF-8, else as they are. */
export function toChunk(bytes: Buffer): OutputChunk {
  return create(OutputChunkSchema, { data: textOrBytes(bytes) });
}

/**
 * How many chunks a stream may have before its program is held to fewer: each is an event in memory and in the
 * database. From here on bytes wait a little longer with every chunk (a program that writes for an hour makes 37,000
 * of them and not 720,000), and switching between the streams makes none of its own.
 */
const chunksFree = 1000;

/** Collects one output stream of one run. */
export class OutputChunker {
  readonly #options: OutputChunkerOptions;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #chunks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OutputChunkerOptions) {
    this.#options = options;
  }

  /** Takes what the program wrote. */
  write(bytes: Uint8Array): void {
    this.#held.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#heldBytes += bytes.byteLength;
    if (this.#timer !== undefined && this.#heldBytes < this.#options.chunkBytesMax) return;
    this.#emit(false);
    this.#timer ??= setTimeout(() => this.#tick(), this.#lingerMs());
  }

  /** The other stream goes on: emits what is held before that, so that their order is kept. */
  giveWay(): void {
    if (this.#chunks < chunksFree) this.#emit(true);
  }

  /** Emits everything that is held, also the beginning of a character that never came whole. */
  flush(): void {
    this.#emit(true);
  }

  /** The stream is over: emits the rest. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#emit(true);
  }

  #tick(): void {
    this.#timer = undefined;
    if (this.#heldBytes === 0) return;
    this.#emit(false);
    this.#timer = setTimeout(() => this.#tick(), this.#lingerMs());
  }

  #lingerMs(): number {
    return this.#options.lingerMs + (5 * this.#chunks) / chunksFree;
  }

  #emit(all: boolean): void {
    if (this.#heldBytes === 0) return;
    const bytes = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held);
    if (bytes === undefined) return;
    const tail = all ? 0 : incompleteTail(bytes);
    const whole = tail === 0 ? bytes : bytes.subarray(0, bytes.length - tail);
    this.#held = tail === 0 ? [] : [bytes.subarray(bytes.length - tail)];
    this.#heldBytes = tail;
    if (whole.length === 0) return;
    this.#chunks += 1;
    this.#options.emit(toChunk(whole));
  }
}
