// One TCP connection to a port on a sandbox's loopback. What comes out of the sandbox is asked for as it is taken, and
// what goes in waits for the server there, so that neither side holds more than its window here.
import { create } from "@bufbuild/protobuf";
import {
  type TunnelInput,
  type TunnelOutput,
  TunnelOpenedSchema,
  TunnelOutputSchema,
} from "@syla/contract/syla/sandbox/v1/tunnel";
import type { CallContext } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { type Channel, InputClosedError, RefusedError, windowed } from "../jail/channels.ts";
import type { Sandbox } from "../sandbox.ts";

const windowBytes = 256 * 1024;
/** Half of the channels that a jail has: the others are for its processes and files. */
const connectionsMax = 128;

/** The connections that are open, for each sandbox. */
export class Tunnels {
  readonly #open = new WeakMap<Sandbox, number>();

  /** Connects; throws `port_closed` when nobody listens, `connections_full` when there are too many already. */
  async connect(sandbox: Sandbox, port: number): Promise<Tunnel> {
    const before = this.#open.get(sandbox) ?? 0;
    const { id } = sandbox.message;
    if (before >= connectionsMax) {
      const message = `Cannot connect to sandbox ${id}: ${connectionsMax} connections are open already.`;
      throw new SylaError("connections_full", message);
    }
    const tunnel = new Tunnel((listener) => sandbox.connect(port, listener));
    this.#open.set(sandbox, before + 1);
    void tunnel.released.then(() => {
      this.#open.set(sandbox, (this.#open.get(sandbox) ?? 1) - 1);
    });
    try {
      await tunnel.connected;
      return tunnel;
    } catch (error) {
      tunnel.close();
      if (!(error instanceof RefusedError)) throw error;
      const message = `Cannot reach port ${port} of sandbox ${id}: nothing listens there.`;
      throw new SylaError("port_closed", message);
    }
  }
}

type Connect = (listener: Parameters<Sandbox["connect"]>[1]) => Channel;

/** One connection. */
export class Tunnel {
  readonly released: Promise<void>;
  readonly connected: Promise<unknown>;
  readonly #channel: Channel;
  readonly #used: (bytes: number) => void;
  readonly #parts: Buffer[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(connect: Connect) {
    this.#channel = connect({
      output: (_output, data) => {
        this.#parts.push(data);
        this.#wake?.();
      },
      outputEnd: () => this.#end(),
    });
    this.released = this.#channel.released;
    void this.released.then(() => this.#end());
    this.connected = this.#channel.begun;
    this.#used = windowed(this.#channel, "stdout", windowBytes);
  }

  /** What the server sends, until it ends its direction or the connection is closed. */
  async *output(): AsyncGenerator<Buffer> {
    for (;;) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        this.#used(part.length);
        yield part;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  /** Sends until there is no more; a server that reads no further ends it quietly. */
  async input(parts: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const part of parts) await this.#channel.write(part);
      this.#channel.endInput();
    } catch (error) {
      if (error instanceof InputClosedError) return;
      this.close();
    }
  }

  close(): void {
    this.#channel.close();
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}

/** Serves the messages of a tunnel whose first one was read already. */
export async function* carry(
  tunnel: Tunnel,
  inputs: AsyncIterator<TunnelInput>,
  context: CallContext,
): AsyncGenerator<TunnelOutput> {
  const stop = context.onAbort(() => tunnel.close());
  try {
    void tunnel.input(dataOf(inputs));
    yield create(TunnelOutputSchema, {
      message: { case: "opened", value: create(TunnelOpenedSchema) },
    });
    for await (const value of tunnel.output()) {
      yield create(TunnelOutputSchema, { message: { case: "data", value } });
    }
  } finally {
    stop();
    tunnel.close();
    // Not awaited: it may wait for what the caller sends next.
    inputs.return?.().catch(() => undefined);
  }
}

async function* dataOf(inputs: AsyncIterator<TunnelInput>): AsyncGenerator<Uint8Array> {
  for (let next = await inputs.next(); next.done !== true; next = await inputs.next()) {
    const { message } = next.value;
    if (message.case === "data") yield message.value;
  }
}
