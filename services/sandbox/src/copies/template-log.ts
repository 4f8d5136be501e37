// What the build of a template does, numbered, for any number of followers; a bounded part of its output is kept.
import {
  clone,
  create,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  toJson,
} from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Template,
  type TemplateEvent,
  TemplateEventSchema,
  TemplateSchema,
} from "@syla/contract/syla/sandbox/v1/template";
import type { CallContext } from "@syla/kit/call";
import { Changes } from "@syla/kit/changes";
import type { Clock } from "@syla/kit/clock";

type EventInit = NonNullable<MessageInitShape<typeof TemplateEventSchema>["event"]>;

const outputBytesMax = 256 * 1024;
/** Output in so small pieces that their number would be the burden counts as so much. */
const pieceBytesMin = 64;

export class TemplateLog {
  readonly #clock: Clock;
  readonly #changes = new Changes();
  readonly #events: TemplateEvent[] = [];
  #outputBytes = 0;
  #lostBytes = 0;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A step begins. */
  step(what: string): void {
    this.#add({ case: "step", value: what });
  }

  /** What a step wrote: what is more than the log holds is counted only. */
  output(bytes: Uint8Array): void {
    const counted = Math.max(bytes.length, pieceBytesMin);
    if (this.#lostBytes > 0 || this.#outputBytes + counted > outputBytesMax) {
      this.#lostBytes += bytes.length;
      return;
    }
    this.#outputBytes += counted;
    this.#add({ case: "output", value: Buffer.from(bytes).toString("utf8") });
  }

  /** No event follows but these: the build has ended. */
  end(template: Template): void {
    this.#events.push(...this.#lastEvents(template));
    this.#closed = true;
    this.#changes.tell();
  }

  /** The events after a number, as they come, to the last; ends early when the context does. */
  async *watch(after: number, context: CallContext): AsyncGenerator<TemplateEvent> {
    for (let at = after; ;) {
      context.throwIfAborted();
      const event = this.#events[at];
      if (event !== undefined) {
        at += 1;
        yield event;
      } else if (this.#closed) {
        return;
      } else {
        await this.#changes.next(context);
      }
    }
  }

  /** For the database, with the end that is not told yet. */
  toText(template: Template): string {
    const all = [...this.#events, ...this.#lastEvents(template)];
    return JSON.stringify(all.map((event) => toJson(TemplateEventSchema, event)));
  }

  #lastEvents(template: Template): TemplateEvent[] {
    const last: EventInit[] = [{ case: "ended", value: clone(TemplateSchema, template) }];
    if (this.#lostBytes > 0) last.unshift({ case: "lostBytes", value: this.#lostBytes });
    return last.map((event, index) => this.#event(event, this.#events.length + 1 + index));
  }

  #add(event: EventInit): void {
    this.#events.push(this.#event(event, this.#events.length + 1));
    this.#changes.tell();
  }

  #event(event: EventInit, number: number): TemplateEvent {
    const endedAt = event.case === "ended" ? event.value?.builtAt : undefined;
    const time = endedAt ?? timestampFromMs(this.#clock.now());
    return create(TemplateEventSchema, { number, time, event });
  }
}

/** The events of a log in the database; of one that is not known, only how the build ended. */
export function readEvents(text: string, template: Template): TemplateEvent[] {
  const events = parseEvents(text);
  if (events.length > 0) return events;
  const ended = { case: "ended" as const, value: template };
  const time = template.builtAt === undefined ? {} : { time: template.builtAt };
  return [create(TemplateEventSchema, { number: 1, ...time, event: ended })];
}

function parseEvents(text: string): TemplateEvent[] {
  const stored = (text === "" ? [] : JSON.parse(text)) as JsonValue[];
  return stored.map((event) => fromJson(TemplateEventSchema, event));
}
