/**
 * The limit on CPU time of all of a jail's processes together, which no rlimit can express: judged
 * from the cgroup's account, at the earliest moment at which it could have been reached, and again
 * at the next such moment. A program that mostly waits costs a few looks and not a poll.
 */
import { availableParallelism } from "node:os";
import type { CgroupSlot } from "../cgroup/cgroup.ts";

export interface CpuWatchOptions {
  readonly slot: CgroupSlot;
  readonly cpuMs: number | undefined;
  readonly exceeded: () => void;
}

/** Asked once: it reads files, and what watches a program is started for every run. */
const CORES = availableParallelism();
/** Not sooner again than this, for a program that creeps up on its limit. */
const LOOK_MS_MIN = 5;

export const watchCpu = (options: CpuWatchOptions): { stop: () => void } => {
  const { slot, cpuMs, exceeded } = options;
  if (cpuMs === undefined || slot.rlimits) return { stop: () => {} };
  const cores = Math.min(slot.limits.cpus ?? Infinity, CORES);
  const baseUs = slot.cpuUs();
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const leftMs = cpuMs - (slot.cpuUs() - baseUs) / 1000;
    if (leftMs <= 0) return exceeded();
    timer = setTimeout(look, Math.max(leftMs / cores, LOOK_MS_MIN));
  };
  timer = setTimeout(look, Math.max(cpuMs / cores, LOOK_MS_MIN));
  return { stop: () => clearTimeout(timer) };
};
