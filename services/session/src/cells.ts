// The cells of a session that are remembered: those that wait or run, and of those that ended the last, a hundred at
// most and no more than may be held.
import type { CellResult } from "@syla/contract/syla/session/v1/cell";
import { SylaError } from "@syla/kit/error";
import type { Cell } from "./cell.ts";

const endedMax = 100;

/** The cells of one session. */
export class Cells {
  readonly #session: string;
  readonly #bytesMax: number;
  readonly #cells = new Map<number, Cell>();

  constructor(session: string, bytesMax: number) {
    this.#session = session;
    this.#bytesMax = bytesMax;
  }

  /** Oldest first. */
  get all(): Cell[] {
    return [...this.#cells.values()];
  }

  add(cell: Cell): void {
    this.#cells.set(cell.message.id, cell);
  }

  /** One that is remembered; throws `cell_not_found`. */
  find(id: number): Cell {
    const found = this.#cells.get(id);
    if (found !== undefined) return found;
    throw new SylaError(
      "cell_not_found",
      `Cannot find a cell with the id ${id} in session ${this.#session}: there is none, or it is long over.`,
    );
  }

  /** Shows something else in the place of all results with this display id. */
  update(result: CellResult, bytes: number): void {
    for (const cell of this.#cells.values()) cell.update(result, bytes);
  }

  /** Forgets the oldest of those that ended and are too many; the last stays, whatever it holds. */
  trim(): void {
    const over = this.all.filter((cell) => cell.over);
    let bytes = over.reduce((sum, cell) => sum + cell.bytes, 0);
    let count = over.length;
    for (const cell of over.slice(0, -1)) {
      if (count <= endedMax && bytes <= this.#bytesMax) return;
      this.#cells.delete(cell.message.id);
      bytes -= cell.bytes;
      count -= 1;
    }
  }
}
