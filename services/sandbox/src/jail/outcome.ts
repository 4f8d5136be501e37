/**
 * Why a run ended, in one word. Several things may be true at once (a program that ran out of
 * memory was also killed by a signal), so this is an order of precedence: first what we did to it,
 * then the limit it ran into, then what it did itself.
 */
import type { CgroupUsage } from "../cgroup/cgroup.ts";
import type { JailUsage, ProgramEnd } from "./frames.ts";

export type ErrorType =
  | "exit_code"
  | "signal"
  | "compile"
  | "timeout"
  | "cpu_time"
  | "memory"
  | "pids"
  | "disk"
  | "output"
  | "cancelled"
  | "lost"
  | "internal";

/** What the host, rather than the agent or the kernel, ended a jail for. */
export type HostCause = "cancelled" | "timeout" | "cpu_time" | "lost" | "internal";

export interface OutcomeInput {
  /** Whether this was the step that builds the program. */
  readonly compile?: boolean | undefined;
  readonly cause?: HostCause | undefined;
  /** Missing when the jail died before it could say. */
  readonly end?: ProgramEnd | undefined;
  readonly usage?: JailUsage | undefined;
  readonly cgroup: Pick<CgroupUsage, "oomKills" | "pidsMaxHits">;
}

export type Outcome =
  | { readonly success: true; readonly exitCode: 0 }
  | {
      readonly success: false;
      readonly errorType: ErrorType;
      readonly exitCode?: number;
      readonly signal?: number;
    };

const SIGXCPU = 24;
const SIGXFSZ = 25;
const ENOSPC = 28;

export const outcomeOf = (input: OutcomeInput): Outcome => {
  const { end } = input;
  if (end?.kind === "exited" && end.code === 0 && !input.cause && end.reason === "none") {
    return { success: true, exitCode: 0 };
  }
  const errorType = errorTypeOf(input);
  if (end?.kind === "exited") return { success: false, errorType, exitCode: end.code };
  if (end?.kind === "signalled") return { success: false, errorType, signal: end.code };
  return { success: false, errorType };
};

const errorTypeOf = ({ compile, cause, end, usage, cgroup }: OutcomeInput): ErrorType => {
  if (cause === "internal" && cgroup.oomKills > 0) return "memory";
  if (cause !== undefined) return cause;
  if (end === undefined) return cgroup.oomKills > 0 ? "memory" : "internal";
  if (end.reason === "timeout") return "timeout";
  if (end.reason === "stdout" || end.reason === "stderr") return "output";
  if (end.reason === "killed") return "cancelled";
  if (end.kind === "signalled" && end.code === SIGXCPU) return "cpu_time";
  if (cgroup.oomKills > 0) return "memory";
  if (cgroup.pidsMaxHits > 0) return "pids";
  if (usage?.diskFull || usage?.inodesFull) return "disk";
  if (end.kind === "signalled" && end.code === SIGXFSZ) return "disk";
  if (end.kind === "notStarted") return end.code === ENOSPC ? "disk" : "internal";
  if (compile) return "compile";
  return end.kind === "signalled" ? "signal" : "exit_code";
};
