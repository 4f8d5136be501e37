// A job that is talked to while it runs: a sandbox for it alone, in which its stages are processes.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { FileService } from "@syla/contract/syla/sandbox/v1/file";
import type {
  PlanProgramResponse,
  Process,
  ProcessOutput,
  ProcessService,
} from "@syla/contract/syla/sandbox/v1/process";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import type { Job, Stage, StageLimits } from "./request.ts";
import { processorTime, wallClock } from "./result.ts";

/** What an interactive job is made of. */
export interface Interactive {
  readonly sandboxes: Client<typeof SandboxService>;
  readonly processes: Client<typeof ProcessService>;
  readonly files: Client<typeof FileService>;
}

export interface InteractiveOptions {
  readonly interactive: Interactive;
  /** The connection's; whatever ends it ends the job. */
  readonly context: CallContext;
  /** Of each stream of a stage. */
  readonly outputBytesMax: number;
  /** Resolves when the client has room for more. */
  readonly tell: (message: object) => Promise<void>;
}

/** What cannot be done, in words for the client. */
export class RefusedJob extends Error {
  override readonly name = "RefusedJob";
}

type Spec = NonNullable<PlanProgramResponse["run"]>;
type Stream = "stdout" | "stderr";

/** How long a sandbox stays beyond what its job may take. */
const spareMs = 30_000;
/** What a client may send ahead of a program that does not read. */
const waitingBytesMax = 4 * 1024 ** 2;
const pieceBytesMax = 1024 ** 2;

/** One job, and what its client has to say to it. */
export class InteractiveJob {
  readonly #options: InteractiveOptions;
  /** The program's process, when there is one; undefined when there will be none. */
  readonly #program = Promise.withResolvers<number | undefined>();
  /** That of the present stage. */
  #current = Promise.withResolvers<number | undefined>();
  #input: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #sandbox = "";
  #ended = false;

  constructor(options: InteractiveOptions) {
    this.#options = options;
  }

  /** Runs its stages to their end. */
  async run(job: Job): Promise<void> {
    const { interactive, context: parent } = this.#options;
    const { runtime, limits, spec } = job;
    const { sandboxes } = interactive;
    const names = spec.files.map(({ name }) => name);
    if (names.some((name) => name === ".." || name.startsWith("../"))) {
      throw new RefusedJob("files must have names that are relative paths without ..");
    }
    const memoryBytes = spec.limits?.memoryBytes ?? 0n;
    const { language, version } = { language: runtime.own.name, version: runtime.own.version };
    const lifetime = durationFromMs(limits.compile.wallMs + limits.run.wallMs + spareMs);
    const made = { language, version, lifetime, env: spec.env, limits: { memoryBytes } };
    const { id } = await sandboxes.createSandbox({ spec: made }, { parent });
    this.#sandbox = id;
    try {
      parent.throwIfAborted();
      await this.#runIn(job);
    } finally {
      this.#ended = true;
      this.#program.resolve(undefined);
      this.#current.resolve(undefined);
      // Not on behalf of the client, who may have left.
      await sandboxes.killSandbox({ id }).catch(() => undefined);
    }
  }

  /** Ends it now. */
  end(): void {
    this.#ended = true;
    if (this.#sandbox === "") return;
    const { sandboxes } = this.#options.interactive;
    void sandboxes.killSandbox({ id: this.#sandbox }).catch(() => undefined);
  }

  /** Gives the program input, once there is one; throws when too much waits. */
  write(text: string, end: boolean): void {
    const bytes = Buffer.from(text.toWellFormed());
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > waitingBytesMax) {
      throw new RefusedJob(`stdin cannot hold more than ${waitingBytesMax} bytes that wait`);
    }
    this.#input = this.#input
      .then(() => this.#give(bytes, end))
      // It has ended, or reads no more.
      .catch(() => undefined)
      .finally(() => (this.#waitingBytes -= bytes.length));
  }

  /** To the present stage, or the one that is about to begin. */
  async signal(signal: string): Promise<void> {
    const id = await this.#current.promise;
    if (id === undefined || this.#ended) return;
    const { processes } = this.#options.interactive;
    const request = { sandbox: this.#sandbox, id, signal };
    await processes.signalProcess(request).catch(() => undefined);
  }

  async #runIn({ spec, limits }: Job): Promise<void> {
    const { interactive, context: parent } = this.#options;
    const sandbox = this.#sandbox;
    const { processes, files } = interactive;
    const { code, args } = spec;
    const names = spec.files.map(({ name }) => name);
    const request = { sandbox, files: names, code, args };
    const plan = await processes.planProgram(request, { parent });
    const main = { path: plan.file, body: { case: "content" as const, value: code } };
    const given = spec.files.map(({ name, body }) => ({ path: name, body }));
    await files.writeFiles({ sandbox, files: given.length > 0 ? given : [main] }, { parent });
    if (plan.compile !== undefined) {
      const compiler = await this.#runStage("compile", plan.compile, limits.compile);
      if (compiler.exitCode !== 0) return;
      this.#current = Promise.withResolvers();
    }
    if (plan.run !== undefined) await this.#runStage("run", plan.run, limits.run);
  }

  async #runStage(stage: Stage, spec: Spec, { wallMs, cpuMs }: StageLimits): Promise<Process> {
    const { interactive, context: parent, tell } = this.#options;
    await tell({ type: "stage", stage });
    const times = { timeout: durationFromMs(wallMs), cpuTime: durationFromMs(cpuMs) };
    const process = { ...spec, input: stage === "run", ...times };
    const request = { sandbox: this.#sandbox, spec: process };
    const output = new StageOutput(this.#options.outputBytesMax);
    let last: Process | undefined;
    for await (const { event } of interactive.processes.startProcessStream(request, { parent })) {
      if (event.case === "started") this.#began(stage, event.value.id);
      else if (event.case === "ended") last = event.value;
      else if (event.case === "lostBytes") output.fault ??= "output was not read in time";
      else if (event.case === "stdout" || event.case === "stderr") {
        const data = output.take(event.case, event.value);
        if (data !== "") await tell({ type: "data", stream: event.case, data });
      }
      if (output.isOver()) await this.signal("SIGKILL");
    }
    if (last === undefined) throw new SylaError("sandbox_ended", "The job ended with its sandbox.");
    await tell({ type: "exit", stage, ...exitOf(last, output.fault) });
    return last;
  }

  #began(stage: Stage, id: number): void {
    this.#current.resolve(id);
    if (stage === "run") this.#program.resolve(id);
  }

  async #give(bytes: Buffer, end: boolean): Promise<void> {
    const id = await this.#program.promise;
    if (id === undefined || this.#ended) return;
    const { interactive, context: parent } = this.#options;
    const to = { sandbox: this.#sandbox, id };
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      const value = bytes.subarray(at, at + pieceBytesMax);
      await interactive.processes.writeInput(
        { ...to, data: { case: "base64", value } },
        { parent },
      );
    }
    if (end) await interactive.processes.writeInput({ ...to, end }, { parent });
  }
}

/** What a stage has written, as far as it may. */
class StageOutput {
  /** Why it is ended. */
  fault: string | undefined;
  readonly #bytesMax: number;
  readonly #bytes: Record<Stream, number> = { stdout: 0, stderr: 0 };
  #told = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether it is to be ended; that is said once. */
  isOver(): boolean {
    const isNew = this.fault !== undefined && !this.#told;
    this.#told ||= isNew;
    return isNew;
  }

  /** The text that is told of it. */
  take(stream: Stream, output: ProcessOutput): string {
    if (this.fault !== undefined) return "";
    const bytes = bytesOf(output);
    const room = this.#bytesMax - this.#bytes[stream];
    this.#bytes[stream] += bytes.length;
    if (bytes.length <= room) return bytes.toString("utf8");
    this.fault = `${stream} length exceeded`;
    // A character that was cut is left out.
    return new TextDecoder().decode(bytes.subarray(0, room), { stream: true });
  }
}

function exitOf({ exitCode, signal, endReason }: Process, fault: string | undefined) {
  if (fault === undefined && endReason === "cpu_time") {
    // Whichever of its two guards came first.
    return { code: null, signal: "SIGKILL", error: processorTime };
  }
  const error = fault ?? (endReason === "timeout" ? wallClock : undefined);
  const told = error === undefined ? {} : { error };
  return { code: exitCode ?? null, signal: signal ?? null, ...told };
}
