// What is known here of the connections to kernels, beside what their sessions have themselves: whose message each
// cell came from, so that everybody is told the same, and how far each client has come, so that one that comes back
// goes on there. All of it goes a while after the last connection.
import type { JsonObject } from "@bufbuild/protobuf";
import { SylaError } from "@syla/kit/error";

/** A cell that somebody runs. */
export interface LinkedCell {
  /** The header of the message that asked for it. */
  readonly parent: JsonObject;
  /** The client that is to have the answer; none when it was not asked for here. */
  readonly client: string | undefined;
  /** The number of its first event. */
  readonly firstEvent: number;
  /** Expressions that were to be evaluated after it. */
  readonly expressions: readonly string[];
  /** The interpreter's count of it; 0 when that is not known. */
  count: number;
  ended: boolean;
  /** The client has the answer. */
  answered: boolean;
}

/** A connection, as others of the same kernel see it. */
export interface Connection {
  /** Another connection has taken its place. */
  replaced(): void;
}

const connectionsMax = 32;
const cellsMax = 256;
const placesMax = 64;
const linksMax = 1000;
/** For how long a client that lost its connection may come back to where it was. */
const keepMs = 300_000;

/** One kernel's. */
export class KernelLink {
  readonly kernel: string;
  readonly connections = new Map<string, Connection>();
  /** By the cell's number in its session. */
  readonly cells = new Map<number, LinkedCell>();
  /** By client, the number of the last event that it was told. */
  readonly places = new Map<string, number>();
  /** Cells that were given and have no number yet: until they do, no event is told. */
  readonly starting = new Set<Promise<unknown>>();
  /** How many restarts the session had had when somebody asked here for another. */
  restartOf: number | undefined;
  /** The cell that asks its user. */
  asking: number | undefined;

  constructor(kernel: string) {
    this.kernel = kernel;
  }

  /** Remembers a cell; forgets the oldest of those that have ended. */
  add(number: number, cell: LinkedCell): LinkedCell {
    this.cells.set(number, cell);
    for (const [old, { ended }] of this.cells) {
      if (this.cells.size <= cellsMax) break;
      if (ended) this.cells.delete(old);
    }
    return cell;
  }

  /** Remembers how far a client has come. */
  place(client: string, event: number): void {
    this.places.delete(client);
    this.places.set(client, event);
    for (const old of this.places.keys()) {
      if (this.places.size <= placesMax) break;
      if (!this.connections.has(old)) this.places.delete(old);
    }
  }
}

/** All of them. */
export class KernelLinks {
  readonly #links = new Map<string, KernelLink>();
  readonly #leaving = new Map<string, NodeJS.Timeout>();

  /** How many connections a kernel has. */
  count(kernel: string): number {
    return this.#links.get(kernel)?.connections.size ?? 0;
  }

  /** How many there are to all kernels. */
  get total(): number {
    return [...this.#links.values()].reduce((sum, { connections }) => sum + connections.size, 0);
  }

  /** What is known of a kernel. */
  find(kernel: string): KernelLink | undefined {
    return this.#links.get(kernel);
  }

  /** Throws `too_many_channels` when no more may connect; who takes the place of a connection always may. */
  assertRoom(kernel: string, client: string): void {
    const connections = this.#links.get(kernel)?.connections;
    if (connections === undefined || connections.has(client)) return;
    if (connections.size < connectionsMax) return;
    const message = `Cannot connect: kernel ${kernel} has ${connectionsMax} connections already.`;
    throw new SylaError("too_many_channels", message);
  }

  /** Takes a connection in, if there is room; one of the same client gives way. */
  enter(kernel: string, client: string, connection: Connection): KernelLink {
    this.assertRoom(kernel, client);
    clearTimeout(this.#leaving.get(kernel));
    this.#leaving.delete(kernel);
    const link = this.#links.get(kernel) ?? new KernelLink(kernel);
    this.#links.set(kernel, link);
    link.connections.get(client)?.replaced();
    link.connections.set(client, connection);
    return link;
  }

  /** Lets a connection go. */
  leave(link: KernelLink, client: string, connection: Connection): void {
    if (link.connections.get(client) !== connection) return;
    link.connections.delete(client);
    if (link.connections.size > 0) return;
    const forget = () => this.forget(link.kernel);
    this.#leaving.set(link.kernel, setTimeout(forget, keepMs).unref());
    const [oldest] = this.#leaving.keys();
    if (this.#leaving.size > linksMax && oldest !== undefined) this.forget(oldest);
  }

  /** Its kernel is gone. */
  forget(kernel: string): void {
    clearTimeout(this.#leaving.get(kernel));
    this.#leaving.delete(kernel);
    if (this.count(kernel) === 0) this.#links.delete(kernel);
  }
}
