// What a sandbox connected to and was refused: the last of each, apart, so that many of one do not hide the other.
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type NetworkEvent,
  NetworkEvent_Type as Type,
  NetworkEventSchema,
} from "@syla/contract/syla/sandbox/v1/network";
import type { Clock } from "@syla/kit/clock";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import type { Reason } from "./policy.ts";

const eachMax = 250;
/** What one sandbox may have in the log in a minute: it is not to fill the disk. */
const logLinesMax = 60;
const logWindowMs = 60_000;

/** What is told of one. */
export interface EventFacts {
  readonly host: string;
  readonly port: number;
  readonly address?: string;
}

export interface NetworkEventsOptions {
  readonly sandbox: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: NetworkCounters;
}

/** What all sandboxes together are counted by. */
export interface NetworkCounters {
  readonly connections: (outcome: "connected" | "refused" | "failed", reason: string) => void;
  readonly bytes: (direction: "sent" | "received", count: number) => void;
}

export class NetworkEvents {
  readonly #options: NetworkEventsOptions;
  readonly #kept: Record<"connected" | "refused", NetworkEvent[]> = { connected: [], refused: [] };
  readonly #counts = { connected: 0, refused: 0 };
  #last = 0;
  #logged = { sinceMs: -Infinity, lines: 0, left: 0 };

  constructor(options: NetworkEventsOptions) {
    this.#options = options;
  }

  get counts(): Readonly<Record<"connected" | "refused", number>> {
    return this.#counts;
  }

  /** Those with a greater number, oldest first. */
  list(after: number): NetworkEvent[] {
    const all = [...this.#kept.connected, ...this.#kept.refused];
    const sorted = all.toSorted((a, b) => a.number - b.number);
    return sorted.filter(({ number }) => number > after).map((e) => clone(NetworkEventSchema, e));
  }

  /** A connection is made; what is answered tells its bytes, and its end once. */
  connected(facts: EventFacts, rule: string): { ended(sent: number, received: number): void } {
    const event = this.#add({ ...facts, type: Type.CONNECTED, rule, open: true });
    this.#counts.connected += 1;
    this.#options.counters.connections("connected", "");
    return {
      ended: (sent, received) => {
        Object.assign(event, { sentBytes: sent, receivedBytes: received, open: false });
        this.#options.counters.bytes("sent", sent);
        this.#options.counters.bytes("received", received);
      },
    };
  }

  refused(facts: EventFacts, reason: Reason, message: string): void {
    this.#add({ ...facts, type: Type.REFUSED, reason, message });
    this.#counts.refused += 1;
    this.#options.counters.connections("refused", reason);
    this.#tell({ ...facts, reason }, "a sandbox was refused a connection");
  }

  failed(facts: EventFacts, reason: Reason, message: string): void {
    this.#add({ ...facts, type: Type.FAILED, reason, message });
    this.#options.counters.connections("failed", reason);
  }

  #add(init: Omit<Partial<NetworkEvent>, "$typeName" | "$unknown">): NetworkEvent {
    const { clock } = this.#options;
    const number = (this.#last += 1);
    const event = create(NetworkEventSchema, {
      ...init,
      number,
      time: timestampFromMs(clock.now()),
    });
    const list = this.#kept[event.type === Type.CONNECTED ? "connected" : "refused"];
    list.push(event);
    if (list.length > eachMax) list.shift();
    return event;
  }

  #tell(fields: object, message: string): void {
    const { log, clock, sandbox } = this.#options;
    const nowMs = clock.now();
    if (nowMs - this.#logged.sinceMs > logWindowMs) {
      const { left } = this.#logged;
      if (left > 0) log.info({ sandbox, count: left }, "a sandbox was refused more connections");
      this.#logged = { sinceMs: nowMs, lines: 0, left: 0 };
    }
    if (this.#logged.lines >= logLinesMax) this.#logged.left += 1;
    else log.info({ sandbox, ...fields }, message);
    this.#logged.lines += 1;
  }
}

/** Counts in a process's metrics. */
export function networkCounters(metrics: Metrics): NetworkCounters {
  const connections = metrics.counter({
    name: "syla_network_connections_total",
    help: "Connections of sandboxes, by what became of them and why.",
    labels: ["outcome", "reason"],
  });
  const bytes = metrics.counter({
    name: "syla_network_bytes_total",
    help: "Bytes that connections of sandboxes sent and received, counted at their end.",
    labels: ["direction"],
  });
  return {
    connections: (outcome, reason) => connections.inc({ outcome, reason }),
    bytes: (direction, count) => bytes.inc({ direction }, count),
  };
}
