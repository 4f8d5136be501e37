// One run, from the request to the end: a fresh jail, the files, a compile step where the language has one, the
// program, what it left to bring back. Everything that can happen ends in exactly one `finished`.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Artifact,
  ArtifactSchema,
  type Finished,
  FinishedSchema,
  type Limits,
  type RunEvent,
  RunEventSchema,
  type RunRequest,
} from "@syla/contract/syla/sandbox/v1/runner";
import { present } from "@syla/kit/assert";
import type { CallContext } from "@syla/kit/call";
import type { Log } from "@syla/kit/log";
import { ProgramBuild } from "./build/build.ts";
import type { BuildCache } from "./build/cache.ts";
import type { SandboxConfig } from "./config.ts";
import { EventQueue } from "./event-queue.ts";
import type { JailFile } from "./jail/frames.ts";
import type { Jail, StepEnd } from "./jail/jail.ts";
import { type ErrorType, outcomeOf } from "./jail/outcome.ts";
import type { JailRequest, Jails, WarmJail } from "./jail/jails.ts";
import type { Language } from "./languages/languages.ts";
import type { Lease } from "./jail/pool.ts";
import { signalName } from "./jail/signals.ts";
import { openRunNetwork, reachesAny } from "./network/run-network.ts";
import type { NetworkParts, SandboxNetwork } from "./network/sandbox-network.ts";

export interface RunnerOptions {
  readonly config: SandboxConfig;
  readonly jails: Jails;
  /** Undefined: every program is compiled. */
  readonly builds: { readonly cache: BuildCache; readonly agent: string } | undefined;
  /** What runs reach hosts by; there once the platform has its database, which they are not to reach. */
  readonly network: Promise<NetworkParts>;
  readonly log: Log;
}

type Phase = "compile" | "run";
type Event = NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>;

const queuedBytesMax = 1024 * 1024;
/** What an event takes beyond its bytes: a program can write a million times one byte. */
const eventBytes = 256;
/** Of all artifacts of a run together: sparse files take nothing of the disk, and would be all ours to hold. */
const artifactsBytesMax = 32 * 1024 * 1024;
/** Runs programs in jails of their own. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #closing = new Set<Promise<void>>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /**
   * Runs one program; the last event is `finished`. Ends the program when the context ends. With `anew` it is compiled
   * whether or not it was before.
   */
  async *run(
    request: RunRequest,
    language: Language,
    context: CallContext,
    { anew = false }: { readonly anew?: boolean } = {},
  ): AsyncGenerator<RunEvent> {
    const options = anew ? { ...this.#options, builds: undefined } : this.#options;
    const run = new Run(request, language, options);
    const unlink = context.onAbort(() => run.cancel());
    void run.toEnd();
    try {
      for await (const event of run.events.read()) yield create(RunEventSchema, { event });
    } finally {
      unlink();
      this.#forget(run.close());
    }
  }

  /** Has a jail wait for the language's next program. */
  warm(language: Language, limits: Limits): Promise<void> {
    return this.#options.jails.warm(requestOf(language, limits, this.#options.config));
  }

  /** Resolves when nothing is left of any run. */
  async drain(): Promise<void> {
    await Promise.all(this.#closing);
  }

  #forget(closed: Promise<void>): void {
    const logged = closed
      .catch((error: unknown) => this.#options.log.error({ error }, "a jail did not close"))
      .finally(() => this.#closing.delete(logged));
    this.#closing.add(logged);
  }
}

class Run {
  readonly events: EventQueue<Event>;
  readonly #request: RunRequest;
  readonly #language: Language;
  readonly #limits: Limits;
  /** Of the request's files. */
  readonly #names: readonly string[];
  readonly #builds: RunnerOptions["builds"];
  readonly #parts: RunnerOptions["network"];
  readonly #log: Log;
  readonly #jails: Jails;
  readonly #wanted: JailRequest;
  #lease: Lease<WarmJail>;
  readonly #releasing: Promise<void>[] = [];
  #cancelled = false;
  readonly #begin = performance.now();
  #startedMs: number | undefined;
  #build: ProgramBuild | undefined;
  /** Whether anything of the run has been in the jail. */
  #used = false;
  #truncated = { stdout: false, stderr: false };

  constructor(request: RunRequest, language: Language, options: RunnerOptions) {
    const { config, jails, builds } = options;
    this.#request = request;
    this.#language = language;
    this.#builds = builds;
    this.#parts = options.network;
    this.#log = options.log;
    const asked = present(request.limits, "the run's limits");
    this.#names = request.files.map(({ name, content }) =>
      name === "" ? language.fileFor(Buffer.from(content).toString("utf8")) : name,
    );
    const { held: _, ...unheld } = language;
    const wanted = requestOf(this.#canBeHeld() ? language : unheld, asked, config);
    this.#jails = jails;
    this.#wanted = wanted;
    const { memoryBytes, pids } = wanted.limits;
    this.#limits = { ...asked, memoryBytes: BigInt(memoryBytes), pids };
    this.#lease = jails.take(wanted);
    this.events = new EventQueue<Event>({
      size: (event) =>
        eventBytes + (event.case === "stdout" || event.case === "stderr" ? event.value.length : 0),
      bytesMax: queuedBytesMax,
      pause: () => this.#jail.pause(),
      resume: () => this.#jail.resume(),
    });
  }

  get #jail(): Jail {
    return this.#lease.slot.jail;
  }

  /** Ends the program, whatever it does. */
  cancel(): void {
    this.#cancelled = true;
    this.#jail.kill("cancelled");
  }

  async close(): Promise<void> {
    await Promise.all([...this.#releasing, this.#lease.release(!this.#used)]);
  }

  /** Runs to the end; never rejects. */
  async toEnd(): Promise<void> {
    try {
      let finished = await this.#steps();
      if (finished.errorType === "internal" && this.#startedMs === undefined && !this.#cancelled) {
        finished = await this.#again();
      }
      this.events.push({ case: "finished", value: finished });
    } catch (error) {
      this.#log.error({ error }, "a run could not be carried out");
      this.events.push({
        case: "finished",
        value: this.#ending("internal", "The jail could not be used."),
      });
    }
    this.events.end();
  }

  /** Once more, in another jail: the first ended before anything began, as all do when what they come from dies. */
  async #again(): Promise<Finished> {
    this.#releasing.push(this.#lease.release(false));
    await this.#jails.usable();
    this.#lease = this.#jails.takeFresh(this.#wanted);
    if (this.#cancelled) this.cancel();
    return this.#steps();
  }

  async #steps(): Promise<Finished> {
    const { files, args } = this.#request;
    const names = this.#names;
    this.#used = true;
    const sent = files.map(({ content }, index): JailFile => {
      return { path: names[index] ?? this.#language.defaultFile, content };
    });
    for (const file of sent) this.#jail.writeFile(file);
    const memoryBytes = Number(this.#limits.memoryBytes);
    const compile = this.#language.compile?.(names);
    if (compile !== undefined) {
      const failed = await this.#make(compile, sent);
      if (failed !== undefined) return this.#finished(failed, true);
    }
    const ran = await this.#runProgram(this.#language.run(names, args, { memoryBytes }));
    await this.#bringBack();
    return this.#finished(ran, false);
  }

  async #runProgram(argv: readonly string[]): Promise<StepEnd> {
    const network = await openRunNetwork(this.#request, this.#jail, this.#parts);
    try {
      return await this.#exec("run", argv, network);
    } finally {
      network?.close();
    }
  }

  /** Whether the program's interpreter is to see its variables when it starts; Node is told so to use the proxy. */
  get #configuresInterpreter(): boolean {
    const { env, network } = this.#request;
    return reachesAny(network) || Object.keys(env).some((name) => early.test(name));
  }

  /** Builds the program, or has it from the cache; answers the step that failed, if one did. */
  async #make(argv: readonly string[], files: readonly JailFile[]): Promise<StepEnd | undefined> {
    if (this.#builds !== undefined) {
      const outputBytes = Number(this.#limits.outputBytes);
      const what = { language: this.#language, argv, files };
      this.#build = new ProgramBuild({ ...this.#builds, ...what, jail: this.#jail, outputBytes });
      if (await this.#build.place()) return undefined;
    }
    const built = await this.#exec("compile", argv);
    if (!outcomeOf({ ...built, compile: true }).success) return built;
    await this.#build?.keep(built);
    return undefined;
  }

  /** Whether an interpreter that was started before the program was known does what one would that starts now. */
  #canBeHeld(): boolean {
    const { args } = this.#request;
    const { held, preload } = this.#language;
    if (this.#configuresInterpreter) return false;
    return preload === undefined || (args.length === 0 && this.#names[0] === held?.[0]);
  }

  #exec(phase: Phase, argv: readonly string[], network?: SandboxNetwork): Promise<StepEnd> {
    const { args, stdin } = this.#request;
    const env = { ...network?.environment, ...this.#request.env };
    const start =
      phase === "run" && !this.#configuresInterpreter ? this.#lease.slot.start : "execute";
    const outputBytes = Number(this.#limits.outputBytes);
    return this.#jail.exec({
      // A held interpreter is given its program alone.
      argv: start === "release" ? argv.slice(-1 - args.length) : argv,
      start,
      env: { ...this.#language.env, ...(phase === "run" ? env : {}) },
      stdin: phase === "run" && stdin.length > 0 ? stdin : undefined,
      limits: {
        wallMs: milliseconds(this.#limits.wallTime),
        cpuMs: milliseconds(this.#limits.cpuTime),
        stdoutBytes: outputBytes,
        stderrBytes: outputBytes,
      },
      onStarted: () => {
        this.#startedMs ??= performance.now();
        this.events.push({ case: "started", value: { phase, version: this.#language.version } });
        for (const { stream, data } of this.#build?.repeated ?? []) {
          this.events.push({ case: stream, value: data });
        }
      },
      onOutput: (stream, data) => {
        if (phase === "compile") this.#build?.hear(stream, data);
        this.events.push({ case: stream, value: data });
      },
    });
  }

  async #bringBack(): Promise<void> {
    let leftBytes = artifactsBytesMax;
    // One after another: a list of all their paths may be longer than a frame, and all together have one bound.
    for (const path of this.#request.artifacts) {
      if (!this.#jail.alive) return;
      const bytesMax = Math.min(Number(this.#limits.artifactBytes), leftBytes);
      for (const found of await this.#jail.collect([{ path, bytesMax }])) {
        if ("content" in found) leftBytes -= found.content.length;
        this.events.push({ case: "artifact", value: toArtifact(found) });
      }
    }
  }

  #finished(step: StepEnd, compile: boolean): Finished {
    const outcome = outcomeOf({ ...step, compile });
    if (step.detail !== undefined) this.#log.warn({ detail: step.detail, outcome }, "a jail said");
    const { end, usage, cgroup } = step;
    this.#truncated = { stdout: end?.reason === "stdout", stderr: end?.reason === "stderr" };
    const finished = outcome.success
      ? this.#ending(undefined, undefined)
      : this.#ending(outcome.errorType, this.#sentence(outcome.errorType, step));
    if (outcome.exitCode !== undefined) finished.exitCode = outcome.exitCode;
    if (!outcome.success && outcome.signal !== undefined) {
      finished.signal = signalName(outcome.signal) ?? `SIG${outcome.signal}`;
    }
    // Of the program's own processes, and not of making the jail, which the group counts too when it was made for this.
    const ownUs = (end?.userUs ?? 0) + (end?.systemUs ?? 0);
    finished.cpuMs = (ownUs > 0 ? ownUs : cgroup.cpuUs) / 1000;
    // The agent's clock: to a platform that is busy, the news of a start and of an end may come together.
    finished.executionMs = Math.max(finished.executionMs, (end?.wallUs ?? 0) / 1000);
    finished.memoryPeakBytes =
      cgroup.memoryPeakBytes > 0 ? cgroup.memoryPeakBytes : (end?.residentBytes ?? 0);
    finished.diskIoBytes = usage?.diskBytes ?? 0;
    finished.networkIoBytes = usage?.networkBytes ?? 0;
    return finished;
  }

  #ending(errorType: ErrorType | undefined, errorMessage: string | undefined): Finished {
    const now = performance.now();
    return create(FinishedSchema, {
      stdoutTruncated: this.#truncated.stdout,
      stderrTruncated: this.#truncated.stderr,
      startupMs: (this.#startedMs ?? now) - this.#begin,
      executionMs: now - (this.#startedMs ?? now),
      ...(errorType === undefined ? {} : { errorType }),
      ...(errorMessage === undefined ? {} : { errorMessage }),
    });
  }

  #sentence(errorType: ErrorType, { end }: StepEnd): string {
    const { wallTime, cpuTime, memoryBytes, pids, diskBytes, outputBytes } = this.#limits;
    const code = end?.code ?? 0;
    switch (errorType) {
      case "exit_code":
        return `The program exited with code ${code}.`;
      case "signal":
        return `The program was ended by ${signalName(code) ?? `signal ${code}`}.`;
      case "compile":
        return "The program does not compile; standard error has the compiler's words.";
      case "timeout":
        return `Ended after ${milliseconds(wallTime) / 1000} s by the clock.`;
      case "cpu_time":
        return `Ended after ${milliseconds(cpuTime) / 1000} s of processor time.`;
      case "memory":
        return `Ended for using more than ${memoryBytes} bytes of memory.`;
      case "pids":
        return `Failed with more than ${pids} processes and threads at one time.`;
      case "disk":
        return `Failed with its disk of ${diskBytes} bytes full.`;
      case "output":
        return `Ended for writing more than ${outputBytes} bytes of output.`;
      case "cancelled":
        return "Cancelled.";
      case "lost":
        return "The platform died while this was running.";
      case "internal":
        return "The jail could not run the program; the platform's log says why.";
    }
  }
}

/** Below a language's own needs its tools do not start, and the program would never be reached. */
function requestOf(language: Language, limits: Limits, { cpus }: SandboxConfig): JailRequest {
  const memoryBytes = Math.max(Number(limits.memoryBytes), language.memoryBytesMin);
  const pids = Math.max(limits.pids, language.pidsMin);
  return {
    language,
    limits: { memoryBytes, pids, cpus },
    diskBytes: Number(limits.diskBytes),
  };
}

/**
 * What an interpreter, or a library that is loaded into it, reads once and early: a program with such a variable gets
 * an interpreter of its own.
 */
const early =
  /^(PYTHON|NODE_|UV_|LD_|LC_|LANG|LOCPATH$|TZ$|MALLOC_|GLIBC_|OPENBLAS_|OMP_|MKL_|NUMEXPR_|NUMBA_|MPL|R_)/;

function milliseconds(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}

// The agent says it in words for a person; callers decide by one of three.
const artifactErrors: ReadonlyMap<string, string> = new Map([
  ["not found", "not_found"],
  ["not readable", "unreadable"],
  ["symbolic link", "not_a_file"],
  ["not a regular file", "not_a_file"],
  ["not below a directory", "not_found"],
]);

function toArtifact(found: Awaited<ReturnType<Jail["collect"]>>[number]): Artifact {
  if ("error" in found) {
    return create(ArtifactSchema, {
      name: found.path,
      error: artifactErrors.get(found.error) ?? "unreadable",
    });
  }
  const { path, content, sizeBytes, truncated } = found;
  return create(ArtifactSchema, { name: path, content, truncated, sizeBytes });
}
