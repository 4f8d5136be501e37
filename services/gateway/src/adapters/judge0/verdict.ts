// What became of one run of a submission, judged from its execution's events as Judge0 judges what isolate tells it.
import { constants } from "node:os";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Execution,
  type ExecutionEvent,
  Execution_Status as ExecutionStatus,
} from "@syla/contract/syla/execution/v1/execution";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { multiFileId } from "./languages.ts";
import { outputDigest, type Submitted } from "./record.ts";
import { compileFailedFile, compileOutputFile } from "./spec.ts";
import { signalStatus, type StatusId } from "./statuses.ts";

/** What became of a run; what is not known yet, or was empty, is null. */
export interface Verdict {
  readonly status: StatusId;
  readonly stdout: Buffer | null;
  readonly stderr: Buffer | null;
  readonly compile_output: Buffer | null;
  readonly message: string | null;
  readonly exit_code: number | null;
  readonly exit_signal: number | null;
  /** Of the processor, in seconds. */
  readonly time: number | null;
  /** In seconds. */
  readonly wall_time: number | null;
  /** In KB. */
  readonly memory: number | null;
}

type Judged = Pick<Verdict, "status" | "message" | "exit_code" | "exit_signal">;

interface Piece {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

/** A run, put together from its events. */
interface Run {
  readonly compiling: Piece[];
  readonly running: Piece[];
  readonly files: Map<string, Buffer>;
  phase: string;
  /** When the last phase began. */
  beganMs: number;
  endedMs: number;
}

/** How long after its end a program may be told to have ended. */
const noticeSeconds = 0.1;

const nothing = { stdout: null, stderr: null, compile_output: null };
const unknown = { message: null, exit_code: null, exit_signal: null };
const untaken = { time: null, wall_time: null, memory: null };

/** Of a run that has not ended. */
export function pendingVerdict(status: ExecutionStatus): Verdict {
  const waits = status === ExecutionStatus.PENDING;
  return { status: waits ? 1 : 2, ...nothing, ...unknown, ...untaken };
}

/** Of a run that has. */
export function verdictOf(
  submitted: Submitted,
  execution: Execution,
  events: readonly ExecutionEvent[],
): Verdict {
  const run = collect(events);
  const failed = run.files.has(compileFailedFile);
  const said = run.files.get(compileOutputFile) ?? together(run.compiling);
  if (failed || execution.errorType === "compile" || run.phase === "compile") {
    const late = /^(?:timeout|cpu_time)$/.test(execution.errorType ?? "");
    const words = late ? Buffer.from("Compilation time limit exceeded.") : said;
    return { status: 6, ...nothing, ...unknown, ...untaken, compile_output: filled(words) };
  }
  const merged = submitted.redirect_stderr_to_stdout;
  const stdout = together(run.running, merged ? undefined : "stdout");
  const taken = takenBy(execution, run);
  const late = overTime(submitted, taken);
  return {
    ...(late ?? judge(submitted, execution, stdout)),
    stdout: filled(stdout),
    stderr: merged ? null : filled(together(run.running, "stderr")),
    compile_output: filled(said),
    ...taken,
  };
}

function collect(events: readonly ExecutionEvent[]): Run {
  const run: Run = {
    ...{ compiling: [], running: [], files: new Map(), phase: "", beganMs: 0, endedMs: 0 },
  };
  for (const { event, time } of events) {
    const atMs = time === undefined ? 0 : timestampMs(time);
    if (event.case === "stdout" || event.case === "stderr") {
      const pieces = run.phase === "compile" ? run.compiling : run.running;
      pieces.push({ stream: event.case, bytes: bytesOf(event.value) });
    } else if (event.case === "status" && event.value.phase !== "") {
      run.phase = event.value.phase;
      run.beganMs = atMs;
    } else if (event.case === "artifact" && event.value.error === undefined) {
      run.files.set(event.value.name, Buffer.from(event.value.contentBase64));
    }
    run.endedMs = atMs;
  }
  return run;
}

function takenBy({ metrics }: Execution, run: Run): Pick<Verdict, "time" | "wall_time" | "memory"> {
  if (metrics === undefined || run.phase === "") return untaken;
  const { cpuUsageMillicores, executionDurationMs, memoryPeakMb } = metrics;
  return {
    time: toMilliseconds((cpuUsageMillicores * executionDurationMs) / 1e6),
    wall_time: toMilliseconds(Math.max(0, run.endedMs - run.beganMs) / 1000),
    memory: Math.round(memoryPeakMb * 1024),
  };
}

function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

// What took more than its bound was over time, whether or not it was still ended for that. A project's compilers are
// among what it took, so that is not judged.
function overTime(
  { language_id, cpu_time_limit, wall_time_limit }: Submitted,
  { time, wall_time }: Pick<Verdict, "time" | "wall_time">,
): Judged | undefined {
  if (language_id === multiFileId) return undefined;
  if (cpu_time_limit > 0 && (time ?? 0) > cpu_time_limit) return tooLong("");
  const late = (wall_time ?? 0) > wall_time_limit + noticeSeconds;
  return late ? tooLong(" (wall clock)") : undefined;
}

function tooLong(which: string): Judged {
  return { status: 5, message: `Time limit exceeded${which}`, exit_code: 0, exit_signal: null };
}

function judge(submitted: Submitted, execution: Execution, stdout: Buffer): Judged {
  const { errorType, errorMessage = "", exitCode, signal } = execution;
  switch (errorType) {
    case "timeout":
      return tooLong(" (wall clock)");
    case "cpu_time":
      return tooLong("");
    case "output":
      // There, output is a file, and a file that is too large ends its program.
      return signalled(constants.signals.SIGXFSZ);
    case "internal":
    case "lost":
    case "cancelled":
      return { status: 13, message: errorMessage, exit_code: 0, exit_signal: null };
    default:
      break;
  }
  if (exitCode === undefined) return signalled(signalNumber(signal ?? "SIGKILL"));
  if (exitCode !== 0) {
    const message = `Exited with error status ${exitCode}`;
    return { status: 11, message, exit_code: exitCode, exit_signal: null };
  }
  const { expected_digest } = submitted;
  const right = expected_digest === undefined || expected_digest === outputDigest(stdout);
  return { status: right ? 3 : 4, message: null, exit_code: 0, exit_signal: null };
}

function signalled(number: number): Judged {
  const message = `Caught fatal signal ${number}`;
  return { status: signalStatus(number), message, exit_code: 0, exit_signal: number };
}

function signalNumber(name: string): number {
  const known = new Map<string, number>(Object.entries(constants.signals));
  return known.get(name) ?? constants.signals.SIGKILL;
}

function together(pieces: readonly Piece[], stream?: Piece["stream"]): Buffer {
  const own = pieces.filter((piece) => stream === undefined || piece.stream === stream);
  return Buffer.concat(own.map(({ bytes }) => bytes));
}

function filled(bytes: Buffer): Buffer | null {
  return bytes.length === 0 ? null : bytes;
}
