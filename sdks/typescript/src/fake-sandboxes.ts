// The sandboxes of a fake platform: a command in one is a TypeScript function. Files are taken and forgotten.
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { FileService } from "@syla/contract/syla/sandbox/v1/file";
import {
  type Process,
  type ProcessEvent,
  ProcessEventSchema,
  ProcessSchema,
  ProcessService,
  type ProcessSpec,
  ProcessSpecSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import {
  type Sandbox,
  Sandbox_Status as Status,
  SandboxSchema,
  SandboxService,
  type SandboxSpec,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { refusal } from "./fake-refusal.ts";

/** What a fake command sees and can do. */
export interface FakeProcessView {
  readonly spec: ProcessSpec;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** What is written to it next; undefined when its input has ended. */
  readonly read: () => Promise<string | undefined>;
  /** Resolves with the name of the first signal. */
  readonly signalled: Promise<string>;
}

/** A fake command's body; what it answers is how it ended, exit code 0 by default. */
export type FakeCommand = (
  view: FakeProcessView,
) => Promise<Partial<Pick<Process, "exitCode" | "signal" | "endReason">> | void>;

const defaultLifetimeMs = 300_000;

class FakeProcess {
  readonly message: Process;
  readonly #events: ProcessEvent[] = [];
  readonly #signalled = Promise.withResolvers<string>();
  readonly #input: (string | undefined)[] = [];
  #changed = Promise.withResolvers<void>();

  constructor(message: Process) {
    this.message = message;
    this.#push({ case: "started", value: clone(ProcessSchema, message) });
  }

  async run(spec: ProcessSpec, command: FakeCommand): Promise<void> {
    const ending = await command({
      spec,
      stdout: (value) => this.#push({ case: "stdout", value: { data: { case: "text", value } } }),
      stderr: (value) => this.#push({ case: "stderr", value: { data: { case: "text", value } } }),
      read: () => this.#read(),
      signalled: this.#signalled.promise,
    });
    Object.assign(this.message, ending ?? { exitCode: 0 }, { running: false });
    this.#push({ case: "ended", value: this.message });
  }

  write(text: string, end: boolean): void {
    if (text !== "") this.#input.push(text);
    if (end) this.#input.push(undefined);
    this.#wake();
  }

  signal(name: string): void {
    this.#signalled.resolve(name);
  }

  async *watch(after: number, signal: AbortSignal): AsyncGenerator<ProcessEvent, void> {
    const left = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => left.resolve(), { once: true });
    for (let at = after; !signal.aborted; at += 1) {
      while (this.#events.length <= at && !signal.aborted) {
        await Promise.race([this.#changed.promise, left.promise]);
      }
      const event = this.#events[at];
      if (event === undefined) return;
      yield event;
      if (event.event.case === "ended") return;
    }
  }

  async #read(): Promise<string | undefined> {
    while (this.#input.length === 0) await this.#changed.promise;
    return this.#input.shift();
  }

  #push(event: MessageInitShape<typeof ProcessEventSchema>["event"] & object): void {
    const number = this.#events.length + 1;
    this.message.lastEvent = number;
    this.#events.push(create(ProcessEventSchema, { number, time: timestampNow(), event }));
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** All of them. */
export class FakeSandboxes {
  /** By id. */
  readonly messages = new Map<string, Sandbox>();
  /** The calls that changed a sandbox, and its id, in their order. */
  readonly calls: string[] = [];
  readonly #processes = new Map<string, FakeProcess[]>();
  readonly #commands: Readonly<Record<string, FakeCommand>>;
  readonly #cutAfter: number | undefined;

  constructor(commands: Readonly<Record<string, FakeCommand>>, cutAfter: number | undefined) {
    this.#commands = commands;
    this.#cutAfter = cutAfter;
  }

  /** Adds their services. */
  serve(router: ConnectRouter): void {
    const change = (call: string, id: string, to: Partial<Sandbox>) => {
      this.calls.push(`${call} ${id}`);
      return Object.assign(this.#find(id), to);
    };
    router.service(SandboxService, {
      createSandbox: ({ spec }) => this.#create(spec),
      getSandbox: ({ id }) => this.#find(id),
      listSandboxes: () => ({ sandboxes: [...this.messages.values()].toReversed() }),
      extendSandbox: ({ id, lifetime }) => {
        const ms = lifetime === undefined ? 0 : durationMs(lifetime);
        return change("extend", id, { expiresAt: timestampFromMs(Date.now() + ms) });
      },
      pauseSandbox: ({ id }) => change("pause", id, { status: Status.PAUSED }),
      resumeSandbox: ({ id }) => change("resume", id, { status: Status.RUNNING }),
      killSandbox: ({ id }) => change("kill", id, { status: Status.ENDED, endReason: "killed" }),
    });
    this.#serveProcesses(router);
    router.service(FileService, {
      writeFiles: ({ files }) => ({ entries: files.map(({ path }) => ({ path, name: path })) }),
    });
  }

  #serveProcesses(router: ConnectRouter): void {
    const cutAfter = this.#cutAfter;
    const find = (request: { readonly sandbox: string; readonly id: number }) =>
      this.#process(request.sandbox, request.id);
    const start = this.#start.bind(this);
    async function* cut(events: AsyncIterable<ProcessEvent>): AsyncGenerator<ProcessEvent, void> {
      let sent = 0;
      for await (const event of events) {
        yield event;
        sent += 1;
        if (sent === cutAfter) throw new ConnectError("cut", Code.Unavailable);
      }
    }
    router.service(ProcessService, {
      startProcess: ({ sandbox, spec }) => this.#start(sandbox, spec).message,
      async *startProcessStream({ sandbox, spec }, context) {
        yield* cut(start(sandbox, spec).watch(0, context.signal));
      },
      getProcess: (request) => find(request).message,
      listProcesses: ({ sandbox }) => ({
        processes: (this.#processes.get(sandbox) ?? []).map(({ message }) => message),
      }),
      async *watchProcess(request, context) {
        yield* cut(find(request).watch(request.after, context.signal));
      },
      writeInput: ({ data, end, ...request }) => {
        find(request).write(Buffer.from(data.value ?? "").toString(), end);
        return {};
      },
      signalProcess: ({ signal, ...request }) => {
        const process = find(request);
        process.signal(signal);
        return process.message;
      },
      resizeTerminal: (request) => find(request).message,
    });
  }

  #create(spec: SandboxSpec | undefined): Sandbox {
    const id = `0197b000-0000-7000-8000-${String(this.messages.size + 1).padStart(12, "0")}`;
    const lifetimeMs = spec?.lifetime === undefined ? defaultLifetimeMs : durationMs(spec.lifetime);
    const sandbox = create(SandboxSchema, {
      ...{ id, status: Status.RUNNING, language: spec?.language ?? "" },
      metadata: spec?.metadata ?? {},
      createdAt: timestampNow(),
      expiresAt: timestampFromMs(Date.now() + lifetimeMs),
    });
    this.messages.set(id, sandbox);
    return sandbox;
  }

  #start(sandbox: string, spec = create(ProcessSpecSchema)): FakeProcess {
    this.#find(sandbox);
    const command = this.#commands[spec.command];
    if (command === undefined) {
      throw refusal("process_not_started", `Cannot start ${spec.command}: there is no such file.`);
    }
    const all = this.#processes.get(sandbox) ?? [];
    this.#processes.set(sandbox, all);
    const { args, tag } = spec;
    const process = new FakeProcess(
      create(ProcessSchema, {
        ...{ id: all.length + 1, sandbox, command: spec.command, args, tag, running: true },
        startedAt: timestampNow(),
        ...(spec.terminal === undefined ? {} : { terminal: spec.terminal }),
      }),
    );
    all.push(process);
    void process.run(spec, command);
    return process;
  }

  #process(sandbox: string, id: number): FakeProcess {
    this.#find(sandbox);
    const process = this.#processes.get(sandbox)?.[id - 1];
    if (process !== undefined) return process;
    throw refusal("process_not_found", "There is no such process.");
  }

  #find(id: string): Sandbox {
    const sandbox = this.messages.get(id);
    if (sandbox === undefined) throw refusal("sandbox_not_found", "There is no such sandbox.");
    return sandbox;
  }
}
