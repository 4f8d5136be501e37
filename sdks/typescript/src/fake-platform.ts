// A platform for tests of the SDK and the CLI: the real contract on a real port over the real protocol, but a program
// is a TypeScript function instead of code in a jail, so that a test decides what it writes, when, and how it ends.
import { createServer, type Server } from "node:http";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  type Execution,
  Execution_Status,
  type ExecutionEvent,
  ExecutionEventSchema,
  ExecutionSchema,
  ExecutionService,
  type LanguageSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { type ExecutionSpec, ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { ReplService } from "@syla/contract/syla/repl/v1/repl";
import { FakeSandboxes, type FakeCommand } from "./fake-sandboxes.ts";
import { refusal } from "./fake-refusal.ts";

/** What a fake program sees and can do. */
export interface FakeProgram {
  readonly spec: ExecutionSpec;
  /** Aborted when the execution is cancelled. */
  readonly cancelled: AbortSignal;
  readonly stdout: (data: string | Uint8Array) => void;
  readonly stderr: (data: string | Uint8Array) => void;
  readonly artifact: (name: string, content: Uint8Array | undefined) => void;
}

/** How a fake program ended. */
export type FakeEnding = Partial<
  Pick<Execution, "status" | "exitCode" | "signal" | "errorType" | "errorMessage">
>;

/** A fake program's body; what it answers is how it ended, success by default. */
export type FakeBody = (program: FakeProgram) => Promise<FakeEnding | void>;

/** What a fake platform is made of. */
export interface FakeOptions {
  /** Programs by their exact source text. */
  readonly programs?: Readonly<Record<string, FakeBody>>;
  /** Commands of sandboxes by their name. */
  readonly commands?: Readonly<Record<string, FakeCommand>>;
  /** Languages; python and c by default. */
  readonly languages?: readonly MessageInitShape<typeof LanguageSchema>[];
  /** After how many events each connection of WatchExecution and WatchProcess is cut; never by default. */
  readonly cutAfter?: number;
}

/** A fake platform that listens. */
export interface FakePlatform {
  readonly url: string;
  readonly executions: ReadonlyMap<string, FakeRun>;
  readonly sandboxes: FakeSandboxes;
  readonly close: () => Promise<void>;
}

const defaultLanguages: readonly MessageInitShape<typeof LanguageSchema>[] = [
  { name: "c", version: "12.2.0", aliases: ["gcc"], extensions: ["c"], compiled: true },
  { name: "python", version: "3.11.2", aliases: ["py"], extensions: ["py"], firstRunMs: 21.4 },
];

/** One execution on a fake platform. */
export class FakeRun {
  readonly spec: ExecutionSpec;
  readonly execution: Execution;
  readonly events: ExecutionEvent[] = [];
  readonly #cancel = new AbortController();
  #changed = Promise.withResolvers<void>();

  constructor(id: string, spec: ExecutionSpec) {
    const { language, metadata } = spec;
    const createdAt = timestampNow();
    const status = Execution_Status.PENDING;
    this.spec = spec;
    this.execution = create(ExecutionSchema, { id, language, metadata, createdAt, status });
  }

  get ended(): boolean {
    return this.execution.finishedAt !== undefined;
  }

  async start(body: FakeBody): Promise<void> {
    this.execution.status = Execution_Status.RUNNING;
    this.#push({ case: "status", value: { status: Execution_Status.RUNNING, phase: "run" } });
    const ending = await body({
      spec: this.spec,
      cancelled: this.#cancel.signal,
      stdout: (data) => this.#write("stdout", data),
      stderr: (data) => this.#write("stderr", data),
      artifact: (name, content) => this.#bring(name, content),
    });
    this.#end(ending ?? { status: Execution_Status.SUCCEEDED, exitCode: 0 });
  }

  cancel(): void {
    if (this.ended) return;
    this.#end({ status: Execution_Status.CANCELLED, errorType: "cancelled" });
    this.#cancel.abort();
  }

  async *watch(after: number, signal: AbortSignal): AsyncGenerator<ExecutionEvent, void> {
    for (let at = after; ; at += 1) {
      const left = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => left.resolve(), { once: true });
      while (this.events.length <= at && !signal.aborted) {
        await Promise.race([this.#changed.promise, left.promise]);
      }
      const event = this.events[at];
      if (event === undefined) return;
      yield event;
      if (event.event.case === "finished") return;
    }
  }

  #write(stream: "stdout" | "stderr", data: string | Uint8Array): void {
    if (typeof data === "string") {
      this.execution[stream] += data;
      this.#push({ case: stream, value: { data: { case: "text", value: data } } });
    } else {
      this.#push({ case: stream, value: { data: { case: "base64", value: data } } });
    }
  }

  #bring(name: string, content: Uint8Array | undefined): void {
    const value =
      content === undefined
        ? { name, error: "not_found" }
        : { name, contentBase64: content, sizeBytes: content.length };
    this.#push({ case: "artifact", value });
  }

  #end(ending: FakeEnding): void {
    if (this.ended) return;
    Object.assign(this.execution, ending, { finishedAt: timestampNow() });
    const withoutOutput = { ...this.execution, stdout: "", stderr: "" };
    this.#push({ case: "finished", value: withoutOutput });
  }

  #push(event: MessageInitShape<typeof ExecutionEventSchema>["event"] & object): void {
    const number = this.events.length + 1;
    this.events.push(create(ExecutionEventSchema, { number, time: timestampNow(), event }));
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** Starts a fake platform on a free port of the loopback. */
export async function startFakePlatform(options: FakeOptions = {}): Promise<FakePlatform> {
  const executions = new Map<string, FakeRun>();
  const sandboxes = new FakeSandboxes(options.commands ?? {}, options.cutAfter);
  const routes = (router: ConnectRouter) => {
    serve(router, executions, options);
    sandboxes.serve(router);
  };
  const connect = connectNodeAdapter({ routes });
  const server = createServer((request, response) => {
    if (request.url === "/health") response.end("{}");
    else connect(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: urlOf(server), executions, sandboxes, close: () => close(server) };
}

function serve(router: ConnectRouter, runs: Map<string, FakeRun>, options: FakeOptions): void {
  const languages = [...(options.languages ?? defaultLanguages)];
  const start = (spec = create(ExecutionSpecSchema)) => {
    if (!languages.some(({ name }) => name === spec.language)) throw unknownLanguage(spec);
    const body = options.programs?.[sourceOf(spec)] ?? (async () => {});
    const run = new FakeRun(newId(runs.size), spec);
    runs.set(run.execution.id, run);
    return { run, ended: run.start(body) };
  };
  router.service(ExecutionService, {
    createExecution: ({ spec }) => start(spec).run.execution,
    execute: async ({ spec }) => {
      const { run, ended } = start(spec);
      await ended;
      return run.execution;
    },
    getExecution: ({ id }) => find(runs, id).execution,
    listExecutions: () => ({
      executions: [...runs.values()].map((run) => run.execution).toReversed(),
    }),
    cancelExecution: ({ id }) => {
      const run = find(runs, id);
      run.cancel();
      return run.execution;
    },
    async *watchExecution({ id, after }, context) {
      let sent = 0;
      for await (const event of find(runs, id).watch(after, context.signal)) {
        yield event;
        sent += 1;
        if (sent === options.cutAfter) throw new ConnectError("cut", Code.Unavailable);
      }
    },
    listLanguages: () => ({ languages }),
  });
  router.service(ReplService, {
    listLanguages: () => ({ languages: languages.map(({ name = "" }) => name) }),
  });
}

function sourceOf(spec: ExecutionSpec): string {
  const body = spec.files[0]?.body;
  if (body?.case === "contentBase64") return Buffer.from(body.value).toString();
  return body?.value ?? spec.code;
}

function newId(count: number): string {
  return `0197a000-0000-7000-8000-${String(count + 1).padStart(12, "0")}`;
}

function find(runs: ReadonlyMap<string, FakeRun>, id: string): FakeRun {
  const run = runs.get(id);
  if (run === undefined) throw refusal("execution_not_found", "There is no such execution.");
  return run;
}

function unknownLanguage(spec: ExecutionSpec): ConnectError {
  return refusal("unknown_language", `There is no language '${spec.language}' here.`);
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Not listening on a port.");
  return `http://127.0.0.1:${address.port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
