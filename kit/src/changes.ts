// Who waits for the next change of something: woken all at once, each for as long as its call goes on.
import type { CallContext } from "./call.ts";

/** The waiting of one thing that changes. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Resolves at the next tell(), or when the call ends. */
  next(context: CallContext): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        stop();
        resolve();
      };
      this.#waiting.add(done);
      let stop: () => void = () => undefined;
      stop = context.onAbort(done);
    });
  }

  /** Wakes everyone who waits. */
  tell(): void {
    for (const done of [...this.#waiting]) done();
  }
}
