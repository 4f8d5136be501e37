// What a process of a sandbox did, numbered, for any number of followers.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type ProcessEvent, ProcessEventSchema } from "@syla/contract/syla/sandbox/v1/process";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import { FollowedLog } from "@syla/kit/followed-log";

export type ProcessEventInit = NonNullable<MessageInitShape<typeof ProcessEventSchema>["event"]>;

export interface ProcessLogOptions {
  /** How much output is held for those who come later, in bytes. */
  readonly bytesMax: number;
  readonly clock: Clock;
}

/** The log of one process. */
export class ProcessLog {
  readonly #log: FollowedLog<ProcessEvent>;
  readonly #clock: Clock;

  constructor({ bytesMax, clock }: ProcessLogOptions) {
    this.#clock = clock;
    const lost = (number: number, bytes: number) =>
      this.#event(number, { case: "lostBytes", value: bytes });
    this.#log = new FollowedLog({ bytesMax, lost });
  }

  /** Appends an event; `seen` is called when no follower holds the process up any more. */
  append(event: ProcessEventInit, bytes: number, seen?: () => void): ProcessEvent {
    const message = this.#event(this.#log.next, event);
    this.#log.append(message, bytes, seen);
    return message;
  }

  /** No event follows. */
  close(): void {
    this.#log.close();
  }

  /** The events after a number, as they come, to the last; ends early when the context does. */
  watch(after: number, context: CallContext): AsyncGenerator<ProcessEvent> {
    return this.#log.watch(after, context);
  }

  #event(number: number, event: ProcessEventInit): ProcessEvent {
    const time = timestampFromMs(this.#clock.now());
    return create(ProcessEventSchema, { number, time, event });
  }
}
