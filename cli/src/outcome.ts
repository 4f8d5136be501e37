// How a run ended, for a shell: the program's own exit code wherever it has one, and else the codes that `timeout`
// and shells use, with one sentence on what happened.
import { constants } from "node:os";
import type { Execution } from "@syla/contract/syla/execution/v1/execution";
import type { Process } from "@syla/contract/syla/sandbox/v1/process";
import { exitCodes } from "./failure.ts";
import { printable } from "./render.ts";

/** Limits as the user gave them, in words; to name the one that was hit. */
export type LimitWords = Readonly<Partial<Record<string, string>>>;

/** The exit code for a run that ended. */
export function exitCodeOf({ exitCode, signal, errorType }: Execution): number {
  switch (errorType) {
    case "timeout":
    case "cpu_time":
      return exitCodes.timeout;
    case "cancelled":
      return exitCodes.signal + constants.signals.SIGINT;
    case "lost":
    case "internal":
      return exitCodes.platform;
    default:
      break;
  }
  if (exitCode !== undefined) return exitCode === 0 && errorType !== undefined ? 1 : exitCode;
  if (signal !== undefined) return exitCodes.signal + signalNumber(signal);
  if (errorType === undefined) return 0;
  // A compiler that failed, or a limit whose enforcement killed the program.
  return errorType === "compile" ? 1 : exitCodes.signal + constants.signals.SIGKILL;
}

/** The exit code for a process of a sandbox that ended. */
export function exitCodeOfProcess({ exitCode, signal, endReason }: Process): number {
  if (endReason === "timeout" || endReason === "cpu_time") return exitCodes.timeout;
  return exitCode ?? exitCodes.signal + signalNumber(signal ?? "SIGKILL");
}

/** One sentence on an end that the exit code alone does not tell. */
export function sentenceOf(execution: Execution, limits: LimitWords = {}): string | undefined {
  const { errorType, errorMessage, signal } = execution;
  if (errorType === undefined || errorType === "exit_code") return undefined;
  const limit = limits[errorType];
  const said = printable(errorMessage ?? "").replace(/\.$/, "");
  return `${limited(errorType, limit) ?? (said || own(errorType, signal))} (${errorType})`;
}

function limited(errorType: string, limit: string | undefined): string | undefined {
  if (limit === undefined) return undefined;
  switch (errorType) {
    case "timeout":
      return `ended after ${limit} of wall time`;
    case "cpu_time":
      return `ended after ${limit} of processor time`;
    case "memory":
      return `ran out of its ${limit} of memory`;
    case "pids":
      return `wanted more than its ${limit} processes`;
    case "disk":
      return `ran out of its ${limit} of disk`;
    case "output":
      return `wrote more than its ${limit} of output`;
    default:
      return undefined;
  }
}

function own(errorType: string, signal: string | undefined): string {
  switch (errorType) {
    case "signal":
      return `ended by ${signal ?? "a signal"}`;
    case "compile":
      return "the program did not compile";
    case "cancelled":
      return "cancelled";
    case "lost":
      return "the platform died while the program was running";
    case "internal":
      return "the platform failed to run the program";
    default:
      return "a limit was hit";
  }
}

function signalNumber(name: string): number {
  const numbers = new Map<string, number>(Object.entries(constants.signals));
  return numbers.get(name) ?? constants.signals.SIGKILL;
}
