// The end of an output that may be long.

const pieceBytes = 16 * 1024;

/** The last bytes of what is added. */
export class Tail {
  readonly #bytesMax: number;
  #parts: Uint8Array[] = [];
  /** The piece that small ones are put into, the last of the parts, and how much room is left in it. */
  #last = Buffer.alloc(0);
  #room = 0;
  #bytes = 0;
  /** There was more. */
  truncated = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** How much is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds what came next. Small pieces are put together, for a piece takes more memory than its bytes. */
  add(part: Uint8Array): void {
    if (part.length > this.#room && part.length < pieceBytes / 4) {
      this.#last = Buffer.allocUnsafeSlow(pieceBytes);
      this.#room = pieceBytes;
      this.#parts.push(this.#last.subarray(0, 0));
    }
    if (part.length <= this.#room) {
      const used = pieceBytes - this.#room;
      this.#last.set(part, used);
      this.#room -= part.length;
      this.#parts[this.#parts.length - 1] = this.#last.subarray(0, used + part.length);
    } else {
      this.#parts.push(part);
      this.#room = 0;
    }
    this.#bytes += part.length;
    while (this.#bytes - (this.#parts[0]?.length ?? 0) >= this.#bytesMax) {
      this.#bytes -= this.#parts.shift()?.length ?? 0;
      this.truncated = true;
    }
  }

  /** What is held, as text; what is not UTF-8 in it is replaced. */
  text(): string {
    const bytes = Buffer.concat(this.#parts);
    if (bytes.length <= this.#bytesMax) return bytes.toString("utf8");
    this.truncated = true;
    return bytes.subarray(bytes.length - this.#bytesMax).toString("utf8");
  }
}
