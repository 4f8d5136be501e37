// Ends of sandboxes that the database could not be told of yet. They are true all the same: a sandbox that has ended
// takes no place, and who asks for it is told from here. No new one is made while the database takes no end, so that
// there are never more of them than sandboxes were kept.
import type { Sandbox as SandboxMessage } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SylaError } from "@syla/kit/error";
import type { Log } from "@syla/kit/log";

export interface SandboxEndsOptions {
  readonly write: (message: SandboxMessage) => Promise<void>;
  readonly log: Log;
}

/** How often one is tried that the database refuses for a reason that we do not know. */
const triesMax = 20;

interface End {
  readonly message: SandboxMessage;
  tries: number;
}

export class SandboxEnds {
  readonly #options: SandboxEndsOptions;
  readonly #waiting = new Map<string, End>();
  #writing: Promise<void> | undefined;

  constructor(options: SandboxEndsOptions) {
    this.#options = options;
  }

  /** One whose end is not in the database yet. */
  get(id: string): SandboxMessage | undefined {
    return this.#waiting.get(id)?.message;
  }

  /** Takes the end of one; resolves when it was tried to be recorded. */
  async add(message: SandboxMessage): Promise<void> {
    const { log } = this.#options;
    this.#waiting.set(message.id, { message, tries: 0 });
    await this.write().catch((error: unknown) => {
      log.warn({ error, sandbox: message.id }, "the end of a sandbox waits for the database");
    });
  }

  /** Records what waits; throws when the database cannot be asked. */
  async write(): Promise<void> {
    await this.#writing?.catch(() => undefined); // it may have gone past what came since it began
    await (this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined)));
  }

  async #writeAll(): Promise<void> {
    for (const end of this.#waiting.values()) await this.#writeOne(end);
  }

  async #writeOne(end: End): Promise<void> {
    const { write, log } = this.#options;
    try {
      await write(end.message);
    } catch (error) {
      if (error instanceof SylaError) throw error; // away, full or late: it passes
      end.tries += 1;
      if (end.tries < triesMax) return;
      // The next start finds the row and marks it LOST.
      log.error({ error, sandbox: end.message.id }, "the end of a sandbox cannot be recorded");
    }
    this.#waiting.delete(end.message.id);
  }
}
