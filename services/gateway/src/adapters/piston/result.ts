// What a job came to, in Piston's shape: a stage for the compiler, where the language has one, and a stage for the
// program, each with its two streams, both together in the order in which they came, and how it ended in the words of
// isolate, the sandbox that Piston uses.
import { constants } from "node:os";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Execution, ExecutionEvent } from "@syla/contract/syla/execution/v1/execution";
import { bytesOf } from "@syla/kit/text-or-bytes";
import type { Job, Stage } from "./request.ts";

/** One stage, as Piston answers it; times in milliseconds, memory in bytes. */
export interface StageResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
  readonly memory: number | null;
  readonly message: string | null;
  readonly status: "RE" | "SG" | "TO" | "OL" | "EL" | "XX" | null;
  readonly cpu_time: number | null;
  readonly wall_time: number | null;
}

/** The answer of `execute`. */
export interface JobResult {
  readonly compile?: StageResult;
  readonly run: StageResult;
  readonly language: string;
  readonly version: string;
}

type Ending = Pick<StageResult, "code" | "signal" | "message" | "status">;
type Usage = Pick<StageResult, "memory" | "cpu_time" | "wall_time">;

interface StageLog {
  readonly chunks: { readonly stream: "stdout" | "stderr"; readonly bytes: Buffer }[];
  readonly beganMs: number;
  /** When the next began, or all was over. */
  endedMs: number | undefined;
}

/** Follows one job by its events. */
export class JobLog {
  readonly #job: Job;
  readonly #stages = new Map<Stage, StageLog>();
  #stage: Stage = "run";
  #finished: Execution | undefined;

  constructor(job: Job) {
    this.#job = job;
  }

  /** Takes an event; answers the stage that began with it, if one did. */
  take({ event, time }: ExecutionEvent): Stage | undefined {
    const atMs = time === undefined ? Date.now() : timestampMs(time);
    if (event.case === "stdout" || event.case === "stderr") {
      const bytes = bytesOf(event.value);
      this.#stages.get(this.#stage)?.chunks.push({ stream: event.case, bytes });
    } else if (event.case === "finished") {
      this.#end(atMs);
      this.#finished = event.value;
    } else if (event.case === "status") {
      const { phase } = event.value;
      if (phase !== "compile" && phase !== "run") return undefined;
      this.#end(atMs);
      this.#stage = phase;
      this.#stages.set(phase, { chunks: [], beganMs: atMs, endedMs: undefined });
      return phase;
    }
    return undefined;
  }

  /** The result; `late` says that the stage was ended for passing its own bound. */
  result(late: boolean): JobResult {
    const { runtime, limits } = this.#job;
    const { language, version } = runtime;
    const stage = this.#stage;
    const ended = late
      ? { ending: overTime(wallClock), usage: this.#usage(stage, limits[stage].wallMs) }
      : { ending: this.#ending(), usage: this.#usage(stage) };
    const last = toResult(this.#stages.get(stage), ended.ending, ended.usage);
    // As Piston does: a program that was not compiled has nothing to run, and the run tells why.
    if (stage === "compile") return { compile: last, run: last, language, version };
    const compile = runtime.own.compiled ? { compile: this.#compiled() } : {};
    return { ...compile, run: last, language, version };
  }

  // It ended well, or there would be no run. How much it took is not told apart from the program's.
  #compiled(): StageResult {
    const log = this.#stages.get("compile");
    const wallMs = log === undefined ? 0 : wallOf(log);
    return toResult(log, fine, { memory: null, cpu_time: null, wall_time: wallMs });
  }

  #end(atMs: number): void {
    const log = this.#stages.get(this.#stage);
    if (log !== undefined) log.endedMs ??= atMs;
  }

  #ending(): Ending {
    if (this.#finished === undefined) return broken("The execution has no end.");
    const ending = endingOf(this.#finished);
    const ran = this.#stage === "run" && ending.status !== "XX";
    const isOver = ran && (this.#cpuMs() ?? 0) > this.#job.limits.run.cpuMs;
    return isOver ? overTime(processorTime) : ending;
  }

  #usage(stage: Stage, wallMs?: number): Usage {
    const log = this.#stages.get(stage);
    const metrics = this.#finished?.metrics;
    return {
      memory: metrics === undefined ? null : Math.round(metrics.memoryPeakMb * 1024 ** 2),
      cpu_time: this.#cpuMs(),
      wall_time: wallMs ?? this.#wallMs(log),
    };
  }

  /** By the jail's clock where there was one stage; the news of a start may come some milliseconds late. */
  #wallMs(log: StageLog | undefined): number | null {
    if (log === undefined) return null;
    const metrics = this.#stages.size === 1 ? this.#finished?.metrics : undefined;
    return metrics === undefined ? wallOf(log) : Math.round(metrics.executionDurationMs);
  }

  #cpuMs(): number | null {
    const metrics = this.#finished?.metrics;
    if (metrics === undefined) return null;
    return Math.round((metrics.cpuUsageMillicores * metrics.executionDurationMs) / 1000);
  }
}

/** What is said of a stage that took too long by the clock, and of one that took too much processor time. */
export const wallClock = "Time limit exceeded (wall clock)";
export const processorTime = "Time limit exceeded";
const fine: Ending = { code: 0, signal: null, message: null, status: null };

function overTime(message: string): Ending {
  return { code: null, signal: "SIGKILL", message, status: "TO" };
}

function broken(message: string): Ending {
  return { code: null, signal: null, message, status: "XX" };
}

function wallOf({ beganMs, endedMs }: StageLog): number {
  return Math.max(0, (endedMs ?? beganMs) - beganMs);
}

/** How an execution ended, as isolate would have told it. */
function endingOf(execution: Execution): Ending {
  const { errorType, errorMessage, exitCode, signal, stdoutTruncated } = execution;
  switch (errorType) {
    case "timeout":
      return overTime(wallClock);
    case "cpu_time":
      return overTime(processorTime);
    case "output": {
      const stream = stdoutTruncated ? "stdout" : "stderr";
      const status = stdoutTruncated ? "OL" : "EL";
      return { code: null, signal: "SIGKILL", message: `${stream} length exceeded`, status };
    }
    case "internal":
    case "lost":
    case "cancelled":
      return broken(errorMessage ?? errorType);
    default:
      break;
  }
  if (exitCode === 0) return fine;
  if (exitCode !== undefined) {
    const message = `Exited with error status ${exitCode}`;
    return { code: exitCode, signal: null, message, status: "RE" };
  }
  const name = signal ?? "SIGKILL";
  const message = `Caught fatal signal ${signalNumber(name) ?? name}`;
  return { code: null, signal: name, message, status: "SG" };
}

function signalNumber(name: string): number | undefined {
  return new Map<string, number>(Object.entries(constants.signals)).get(name);
}

function toResult(log: StageLog | undefined, ending: Ending, usage: Usage): StageResult {
  const chunks = log?.chunks ?? [];
  const text = (stream?: "stdout" | "stderr") => {
    const own = chunks.filter((chunk) => stream === undefined || chunk.stream === stream);
    return Buffer.concat(own.map(({ bytes }) => bytes)).toString("utf8");
  };
  const { code, signal, message, status } = ending;
  const streams = { stdout: text("stdout"), stderr: text("stderr") };
  return { ...streams, code, signal, output: text(), ...usage, message, status };
}
