// A connection to a port of a sandbox, as a stream of bytes that Node's HTTP client takes for a socket. It is one call
// of the service that has the sandbox, in this process or in another.
import { Duplex } from "node:stream";
import { create, isMessage, type Message } from "@bufbuild/protobuf";
import {
  type TunnelInput,
  TunnelInputSchema,
  TunnelOutputSchema,
  TunnelService,
} from "@syla/contract/syla/sandbox/v1/tunnel";
import type { CallContext } from "@syla/kit/call";
import { type Dispatcher, methodPath } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { Target } from "./target.ts";

/** A message holds no more. */
const pieceBytesMax = 256 * 1024;
const connectPath = methodPath(TunnelService.method.connect);

export interface TunnelOptions {
  readonly dispatcher: Dispatcher;
  readonly target: Pick<Target, "sandbox" | "port">;
  /** On whose behalf; its end ends the connection. */
  readonly parent: CallContext;
  /** How long it may carry nothing, in milliseconds. */
  readonly idleMs: number;
}

/** Connects; throws what the service says when that is not possible. */
export async function openTunnel({
  dispatcher,
  target: { sandbox, port },
  parent,
  idleMs,
}: TunnelOptions): Promise<Duplex> {
  const connect = dispatcher.method(connectPath)?.stream;
  if (connect === undefined) throw new SylaError("unimplemented", "Ports are not served here.");
  const inputs = new Inputs();
  inputs.put(tunnelInput({ case: "open", value: { sandbox, port } }), () => undefined);
  const outputs = connect(inputs.messages(), parent.child())[Symbol.asyncIterator]();
  const first = await outputs.next();
  if (first.done === true || readOutput(first.value).case !== "opened") {
    throw new SylaError("internal", "A tunnel did not begin as it should.");
  }
  return new TunnelStream(inputs, outputs, idleMs);
}

type InputInit = NonNullable<Parameters<typeof create<typeof TunnelInputSchema>>[1]>["message"];

function tunnelInput(message: InputInit): TunnelInput {
  return create(TunnelInputSchema, message === undefined ? {} : { message });
}

function readOutput(message: Message) {
  if (isMessage(message, TunnelOutputSchema)) return message.message;
  throw new SylaError("internal", "A tunnel said what is none of its messages.");
}

/** What is to be sent, one message at a time: the next is asked for when the one before was taken. */
class Inputs {
  #next: { readonly message: TunnelInput; readonly taken: () => void } | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  put(message: TunnelInput, taken: () => void): void {
    this.#next = { message, taken };
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *messages(): AsyncGenerator<TunnelInput> {
    for (;;) {
      const next = this.#next;
      if (next !== undefined) {
        this.#next = undefined;
        yield next.message;
        next.taken();
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}

class TunnelStream extends Duplex {
  readonly #inputs: Inputs;
  readonly #outputs: AsyncIterator<Message>;
  readonly #idle: NodeJS.Timeout;
  #reading = false;

  constructor(inputs: Inputs, outputs: AsyncIterator<Message>, idleMs: number) {
    super({ allowHalfOpen: true });
    // Who has it changes: between two of them an error has nobody to hear it, and would end the process.
    this.on("error", () => undefined);
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#idle = setTimeout(() => {
      const message = "Cannot wait any longer: the connection carried nothing for too long.";
      this.destroy(new SylaError("deadline_exceeded", message));
    }, idleMs);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    void this.#pull().catch((thrown: unknown) => this.destroy(toSylaError(thrown)));
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#idle.refresh();
    this.#send(chunk, done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#inputs.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#inputs.end();
    this.#outputs.return?.().catch(() => undefined);
    done(error);
  }

  #send(chunk: Buffer, done: () => void): void {
    const rest = chunk.subarray(pieceBytesMax);
    const value = chunk.subarray(0, pieceBytesMax);
    this.#inputs.put(tunnelInput({ case: "data", value }), () => {
      if (rest.length === 0) done();
      else this.#send(rest, done);
    });
  }

  async #pull(): Promise<void> {
    for (let more = true; more;) {
      const next = await this.#outputs.next();
      this.#idle.refresh();
      if (next.done === true) {
        this.push(null);
        return;
      }
      const message = readOutput(next.value);
      if (message.case === "data") more = this.push(message.value);
    }
    this.#reading = false;
  }
}
