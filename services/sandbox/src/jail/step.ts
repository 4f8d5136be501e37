/** One program run in a jail: what is asked, and what is known when it has ended. */
import type { CgroupSlot, CgroupUsage } from "../cgroup/cgroup.ts";
import type { ExecRequest, JailUsage, ProgramEnd, StartRequest } from "./frames.ts";
import type { HostCause } from "./outcome.ts";
import { WORK_DIRECTORY } from "./root.ts";

export interface StepLimits {
  readonly wallMs: number;
  /** CPU time of all processes together; undefined: no limit. */
  readonly cpuMs?: number | undefined;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** Largest single file. */
  readonly fileBytes?: number | undefined;
  /** Default 1024. */
  readonly openFiles?: number | undefined;
}

export interface Step {
  /** The first is an absolute path inside the jail. */
  readonly argv: readonly string[];
  /** Over DEFAULT_ENVIRONMENT. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Default /work. */
  readonly directory?: string | undefined;
  /** Default: /dev/null. */
  readonly stdin?: Uint8Array | undefined;
  readonly limits: StepLimits;
  /** Called in the order in which the agent read it; the buffer may be kept. */
  readonly onOutput: (stream: "stdout" | "stderr", data: Buffer) => void;
  readonly onStarted?: (() => void) | undefined;
  /**
   * Default "execute". "fork": by the interpreter that the jail is a fork of; argv is then what executing it would be.
   * "release": by the one that is held in the jail; argv is its program and that one's arguments.
   */
  readonly start?: "execute" | "fork" | "release" | undefined;
  /** Aborting it ends the step as cancelled. */
  readonly signal?: AbortSignal | undefined;
}

/** Input of outcomeOf(), and the numbers of a run's metrics. */
export interface StepEnd {
  readonly cause?: HostCause | undefined;
  /** For logs: what went wrong when the cause is internal. */
  readonly detail?: string | undefined;
  readonly end?: ProgramEnd | undefined;
  readonly usage?: JailUsage | undefined;
  readonly cgroup: CgroupUsage;
}

export const DEFAULT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: WORK_DIRECTORY,
  USER: "user",
  LANG: "C.UTF-8",
  TMPDIR: "/tmp",
  TZ: "UTC",
};

const OPEN_FILES_DEFAULT = 1_024;

/** What each process of a program is held to by rlimits; 0 leaves one as it is. */
export type ProcessLimits = Omit<StartRequest, "argv" | "env" | "directory">;

export const processLimitsOf = (
  slot: Pick<CgroupSlot, "rlimits" | "limits">,
  { fileBytes, openFiles, cpuMs }: Pick<StepLimits, "fileBytes" | "openFiles" | "cpuMs">,
): ProcessLimits => ({
  fileBytes: fileBytes ?? 0,
  openFiles: openFiles ?? OPEN_FILES_DEFAULT,
  // A process alone that reaches it gets SIGXCPU; the sum over processes is watchCpu's.
  cpuSeconds: cpuMs === undefined ? 0 : Math.ceil(cpuMs / 1000),
  addressBytes: slot.rlimits ? slot.limits.memoryBytes : 0,
  processes: slot.rlimits ? slot.limits.pids : 0,
});

export interface RequestOptions {
  readonly step: Step;
  readonly slot: CgroupSlot;
  readonly process: number;
}

export const requestOf = ({ step, slot, process }: RequestOptions): ExecRequest => ({
  process,
  argv: step.argv,
  env: { ...DEFAULT_ENVIRONMENT, ...step.env },
  directory: step.directory ?? WORK_DIRECTORY,
  stdin: step.stdin,
  // Never rounded to 0, which to the agent means that there is no limit.
  wallUs: Math.max(1, Math.round(step.limits.wallMs * 1000)),
  stdoutBytes: step.limits.stdoutBytes,
  stderrBytes: step.limits.stderrBytes,
  ...processLimitsOf(slot, step.limits),
  start: step.start ?? "execute",
});
