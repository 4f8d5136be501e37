// What an interpreter is asked about code, by number. It answers when it can: one that ended, or is at a loss, with
// nothing.
import type { Fields } from "./words.ts";

/** How long an interpreter may take to answer. */
const answerMsMax = 5000;

/** The questions that one session's interpreter was asked. */
export class Questions {
  readonly #open = new Map<number, (body: Fields) => void>();
  #last = 0;

  /** Asks one; `late` is called when there is no answer for a while, with a way to see whether there is one yet. */
  async ask(
    tell: (id: number) => Promise<void>,
    late: (isOpen: () => boolean) => void,
  ): Promise<Fields> {
    const id = (this.#last += 1);
    const { promise, resolve } = Promise.withResolvers<Fields>();
    this.#open.set(id, resolve);
    const timer = setTimeout(() => late(() => this.#open.has(id)), answerMsMax);
    try {
      await tell(id);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#open.delete(id);
    }
  }

  answer(id: number, body: Fields): void {
    this.#open.get(id)?.(body);
  }

  /** Nobody answers what was asked until now. */
  settle(): void {
    for (const resolve of this.#open.values()) resolve({});
  }
}
