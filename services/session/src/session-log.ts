// What happens in a session, numbered: of all its cells, for any number of followers. What its interpreter prints waits
// until those who follow are not far behind.
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Session,
  type SessionEvent,
  SessionEventSchema,
  SessionSchema,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import { eventBytes, FollowedLog } from "@syla/kit/followed-log";

export type SessionEventInit = NonNullable<MessageInitShape<typeof SessionEventSchema>["event"]>;

/** How far behind one who follows may be before the interpreter waits. */
const unseenBytesMax = 256 * 1024;
/** The same when the interpreter is to be heard: more than is on the way from it. */
const hurriedBytesMax = 8 * 1024 ** 2;

/** A cell whose events are watched. */
interface WatchedCell {
  readonly message: { readonly id: number };
  /** The number of its last event, once it has ended. */
  readonly lastEvent: number | undefined;
}

/** The log of one session. */
export class SessionLog {
  readonly #log: FollowedLog<SessionEvent>;
  readonly #clock: Clock;
  #unseenBytes = 0;
  #unseenBytesMax = unseenBytesMax;
  #room: PromiseWithResolvers<void> | undefined;

  constructor({ bytesMax, clock }: { readonly bytesMax: number; readonly clock: Clock }) {
    this.#clock = clock;
    const lost = (number: number, bytes: number) =>
      this.#event(number, 0, { case: "lostBytes", value: bytes });
    this.#log = new FollowedLog({ bytesMax, lost });
  }

  /** The number that the next event is to have. */
  get next(): number {
    return this.#log.next;
  }

  append(cell: number, event: SessionEventInit, bytes: number): void {
    // What says nothing takes room as well.
    const held = bytes + eventBytes;
    this.#unseenBytes += held;
    const seen = () => {
      this.#unseenBytes -= held;
      if (this.#unseenBytes <= this.#unseenBytesMax) this.#room?.resolve();
    };
    this.#log.append(this.#event(this.#log.next, cell, event), bytes, seen);
  }

  /** The session as it is now. */
  appendSession(session: Session): void {
    session.lastEvent = this.#log.next;
    this.append(0, { case: "session", value: clone(SessionSchema, session) }, 512);
  }

  /** Resolves when those who follow are not far behind; undefined when they are not. */
  room(): Promise<void> | undefined {
    if (this.#unseenBytes <= this.#unseenBytesMax) return undefined;
    const room = (this.#room ??= Promise.withResolvers());
    void room.promise.then(() => (this.#room = undefined));
    return room.promise;
  }

  /** Whether the interpreter is to be heard soon, for it was interrupted: who follows slowly then holds up less. */
  hurry(hurried: boolean): void {
    this.#unseenBytesMax = hurried ? hurriedBytesMax : unseenBytesMax;
    if (this.#unseenBytes <= this.#unseenBytesMax) this.#room?.resolve();
  }

  /** No event follows. */
  close(): void {
    this.#log.close();
    this.#room?.resolve();
  }

  /** The events after a number (-1: those to come), of all cells or of one to its end. */
  async *watch(
    after: number,
    cell: WatchedCell | undefined,
    context: CallContext,
  ): AsyncGenerator<SessionEvent> {
    const from = after === -1 ? this.#log.next - 1 : after;
    const isPast = (number: number) => number >= (cell?.lastEvent ?? Infinity);
    if (isPast(from)) return;
    for await (const event of this.#log.watch(from, context)) {
      const isLost = event.event.case === "lostBytes" && event.cell === 0;
      if (cell === undefined || event.cell === cell.message.id || isLost) yield event;
      if (isPast(event.number)) return;
    }
  }

  #event(number: number, cell: number, event: SessionEventInit): SessionEvent {
    const time = timestampFromMs(this.#clock.now());
    return create(SessionEventSchema, { number, time, cell, event });
  }
}
