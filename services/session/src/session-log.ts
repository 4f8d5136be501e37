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
import { FollowedLog } from "@syla/kit/followed-log";

export type SessionEventInit = NonNullable<MessageInitShape<typeof SessionEventSchema>["event"]>;

/** How far behind one who follows may be before the interpreter waits. */
const unseenBytesMax = 256 * 1024;

/** The log of one session. */
export class SessionLog {
  readonly #log: FollowedLog<SessionEvent>;
  readonly #clock: Clock;
  #unseenBytes = 0;
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
    this.#unseenBytes += bytes;
    const seen = () => {
      this.#unseenBytes -= bytes;
      if (this.#unseenBytes <= unseenBytesMax) this.#room?.resolve();
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
    if (this.#unseenBytes <= unseenBytesMax) return undefined;
    const room = (this.#room ??= Promise.withResolvers());
    void room.promise.then(() => (this.#room = undefined));
    return room.promise;
  }

  /** No event follows. */
  close(): void {
    this.#log.close();
    this.#room?.resolve();
  }

  /** The events after a number (-1: those to come), of all cells (0) or of one to its end. */
  async *watch(after: number, cell: number, context: CallContext): AsyncGenerator<SessionEvent> {
    const from = after === -1 ? this.#log.next - 1 : after;
    for await (const event of this.#log.watch(from, context)) {
      if (cell === 0) yield event;
      else if (event.cell === cell || event.event.case === "lostBytes") yield event;
      if (cell !== 0 && event.cell === cell && event.event.case === "ended") return;
    }
  }

  #event(number: number, cell: number, event: SessionEventInit): SessionEvent {
    const time = timestampFromMs(this.#clock.now());
    return create(SessionEventSchema, { number, time, cell, event });
  }
}
