// What a client has asked and is not done yet: in order, those that are urgent beside the others, and not more than a
// bound, so that one who asks without reading the answers fills nothing.

/** Those that wait for their turn together. */
export type Line = "shell" | "urgent";

const countMax = 2000;
const bytesMax = 16 * 1024 ** 2;

/** The turns of one client. */
export class Turns {
  readonly #lines = { shell: Promise.resolve(), urgent: Promise.resolve() };
  #count = 0;
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Does work when what came before in its line is done; false when too much waits. It is not to throw. */
  take(line: Line, bytes: number, work: () => Promise<void>): boolean {
    if (this.#count >= countMax || this.#bytes + bytes > bytesMax) return false;
    this.#count += 1;
    this.#bytes += bytes;
    this.#lines[line] = this.#lines[line].then(work).finally(() => {
      this.#count -= 1;
      this.#bytes -= bytes;
    });
    return true;
  }
}
