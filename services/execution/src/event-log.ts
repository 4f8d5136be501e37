// The numbered events of one execution while it lives in this process: appended once, read by any number of
// watchers, each from any number on. The log is the truth and a watcher is only a cursor into it, so one that is slow
// holds nothing back and misses nothing.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ExecutionEvent,
  ExecutionEventSchema,
} from "@syla/contract/syla/execution/v1/execution";
import type { CallContext } from "@syla/kit/call";
import { Changes } from "@syla/kit/changes";

type EventInit = NonNullable<MessageInitShape<typeof ExecutionEventSchema>["event"]>;

/** The event log of one execution. */
export class EventLog {
  readonly #events: ExecutionEvent[] = [];
  readonly #changes = new Changes();
  #closed = false;

  /** Every event so far; number n is at index n - 1. */
  get events(): readonly ExecutionEvent[] {
    return this.#events;
  }

  /** Appends an event with the next number. */
  append(event: EventInit, nowMs: number): ExecutionEvent {
    const message = create(ExecutionEventSchema, {
      number: this.#events.length + 1,
      time: timestampFromMs(nowMs),
      event,
    });
    this.#events.push(message);
    this.#changes.tell();
    return message;
  }

  /** No event follows. */
  close(): void {
    this.#closed = true;
    this.#changes.tell();
  }

  /** The events after a number, as they come, to the last; ends early when the context does. */
  async *watch(after: number, context: CallContext): AsyncGenerator<ExecutionEvent> {
    let index = after;
    for (;;) {
      context.throwIfAborted();
      const event = this.#events[index];
      if (event !== undefined) {
        index += 1;
        yield event;
      } else if (this.#closed) {
        return;
      } else {
        await this.#changes.next(context);
      }
    }
  }
}
