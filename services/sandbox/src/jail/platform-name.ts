// Names what a platform process leaves on the host (cgroups, the jails' root) after the process, so that the next start
// can tell what a kill -9 left behind from what belongs to a living platform beside it. A pid alone is used again; with
// the time of its process's start it is not.
import { readFileSync } from "node:fs";

const shape = /^syla-(\d+)-(\d+)$/;

/** The name of what this process makes. */
export function platformName(): string {
  return `syla-${process.pid}-${startTimeOf(process.pid) ?? 0}`;
}

/** Whether a name is that of a platform which is no more; false for names of anything else. */
export function isOfDeadPlatform(name: string): boolean {
  const [, pid, startTime] = shape.exec(name) ?? [];
  return pid !== undefined && startTimeOf(Number(pid)) !== startTime;
}

/** Clock ticks from boot to the start of a process; undefined when there is none. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is a name in parentheses that may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
