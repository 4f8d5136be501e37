// An interpreter that keeps its state: a process in a sandbox that is told what to run on its standard input, prints
// on its own, and says what came of it in words.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Process,
  ProcessEvent,
  ProcessOutput,
  ProcessService,
  ProcessSpecSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import type { Command, KernelProgram } from "./kernels.ts";
import { type Word, WordError, Words } from "./words.ts";

/** How it ended. */
export interface KernelEnd {
  /** A sentence on it, of which it is the subject. */
  readonly reason: string;
  /** Its sandbox is not there any more, and why. */
  readonly sandboxEnd: string | undefined;
}

/** Who hears it. */
export interface KernelListener {
  output(stream: "stdout" | "stderr", output: ProcessOutput): void;
  word(word: Word, bytes: number): void;
  lost(bytes: number): void;
  ended(end: KernelEnd): void;
  /** Resolves when more may come; undefined when it may at once. */
  room(): Promise<void> | undefined;
}

export interface KernelOptions {
  readonly processes: Client<typeof ProcessService>;
  readonly sandbox: string;
  readonly program: KernelProgram;
  /** The interpreter's path. */
  readonly interpreter: string;
  /** Its folder and variables. */
  readonly spec: Pick<MessageInitShape<typeof ProcessSpecSchema>, "directory" | "env">;
  /** How large one word may be. */
  readonly wordBytesMax: number;
  readonly listener: KernelListener;
}

/** One interpreter, from its start to its end. */
export class Kernel {
  /** Resolves when it can run a cell; rejects when it ends before. */
  readonly ready: Promise<void>;
  readonly #options: KernelOptions;
  readonly #words: Words;
  readonly #ready = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<number>();
  readonly #ended = Promise.withResolvers<void>();
  #over = false;
  /** Why it was ended for what it said. */
  #fault: string | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#words = new Words(options.wordBytesMax);
    this.ready = this.#ready.promise;
    this.ready.catch(() => {});
    this.#started.promise.catch(() => {});
    void this.#follow();
  }

  /** Resolves when it has ended and that was told. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Tells it something; what was told before comes before. */
  tell(command: Command): Promise<void> {
    const line = Buffer.from(`${this.#options.program.encode(command)}\n`);
    return this.#write(line);
  }

  /** Sends a signal to it and what it started; one that has ended does not mind. */
  async signal(signal: "SIGINT" | "SIGKILL"): Promise<void> {
    if (this.#over) return;
    const { processes, sandbox } = this.#options;
    try {
      await processes.signalProcess({ sandbox, id: await this.#started.promise, signal });
    } catch (error) {
      if (!(error instanceof SylaError)) throw error; // its sandbox has ended, and it with that
    }
  }

  #write(bytes: Buffer): Promise<void> {
    const { processes, sandbox } = this.#options;
    const send = async () => {
      const id = await this.#started.promise;
      for (let from = 0; from < bytes.length; from += writeBytesMax) {
        const value = bytes.subarray(from, from + writeBytesMax);
        await processes.writeInput({ sandbox, id, data: { case: "base64", value } });
      }
    };
    this.#writing = this.#writing.then(send, send);
    return this.#writing;
  }

  async #follow(): Promise<void> {
    const { processes, sandbox, spec, program, interpreter } = this.#options;
    const [command, ...args] = program.command(interpreter);
    let end: KernelEnd = { reason: "its log ended", sandboxEnd: undefined };
    try {
      const events = processes.startProcessStream({
        sandbox,
        spec: { ...spec, command, args, tag: "session", input: true, words: true },
      });
      for await (const { event } of events) {
        if (event.case === "ended") end = endOf(event.value);
        else this.#take(event);
        const room = this.#options.listener.room();
        if (room !== undefined) await room;
      }
    } catch (error) {
      end = failureOf(error);
      this.#started.reject(error);
      this.#ready.reject(error);
    }
    this.#finish(this.#fault === undefined ? end : { ...end, reason: this.#fault });
  }

  #finish(end: KernelEnd): void {
    this.#over = true;
    const { reason } = end;
    const message = `The interpreter could not be started: ${reason}.`;
    this.#ready.reject(new SylaError("interpreter_not_started", message));
    this.#options.listener.ended(end);
    this.#ended.resolve();
  }

  #take(event: ProcessEvent["event"]): void {
    const { listener, program } = this.#options;
    switch (event.case) {
      case "started": {
        this.#started.resolve(event.value.id);
        this.#write(program.source).catch(() => {}); // it has ended, which is told
        return;
      }
      case "stdout":
      case "stderr":
        return listener.output(event.case, event.value);
      case "lostBytes":
        return listener.lost(event.value);
      case "words":
        return this.#hear(event.value);
      default:
    }
  }

  #hear(output: ProcessOutput): void {
    if (this.#fault !== undefined) return;
    try {
      for (const { word, bytes } of this.#words.take(bytesOf(output))) {
        if (word.kind === "ready") this.#ready.resolve();
        else this.#options.listener.word(word, bytes);
      }
    } catch (error) {
      if (!(error instanceof WordError)) throw error;
      this.#fault = error.message;
      void this.signal("SIGKILL");
    }
  }
}

const writeBytesMax = 1024 * 1024;

function endOf({ exitCode, signal, endReason }: Process): KernelEnd {
  const how =
    signal === undefined ? `it exited with ${exitCode ?? 0}` : `it was ended by ${signal}`;
  return { reason: how, sandboxEnd: endReason === "killed" ? "it has ended" : undefined };
}

function failureOf(error: unknown): KernelEnd {
  if (!(error instanceof SylaError))
    return { reason: "of an internal error", sandboxEnd: undefined };
  const gone = error.code === "sandbox_ended" || error.code === "sandbox_not_found";
  return { reason: error.message, sandboxEnd: gone ? error.message : undefined };
}
