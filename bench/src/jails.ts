// The processes of a platform's jails, seen from the host: which of them share a slot, and what each has for itself.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { descendants, groupsOf, isZygote } from "../../tests/host.ts";

export interface JailProcess {
  readonly pid: number;
  readonly command: string;
  /** The slot's control group: one for each jail. */
  readonly slot: string;
  /** The first process of the jail; alone there while no program runs. */
  readonly keeper: boolean;
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
}

/** The slot of a process, if it is in one of this platform's. */
export function slotOf(pid: number, platformPid: number): string | undefined {
  const pattern = new RegExp(`/syla-${platformPid}-\\d+/(slot-\\d+)$`, "m");
  return pattern.exec(text(`/proc/${pid}/cgroup`))?.[1];
}

/** All processes that are in a jail now, or in what becomes one. */
export function jailProcesses(platformPid: number): readonly JailProcess[] {
  return descendants(platformPid).flatMap(({ pid, command }) => {
    const slot = slotOf(pid, platformPid);
    const keeper = /^NSpid:.*\t1$/m.test(text(`/proc/${pid}/status`));
    return slot === undefined ? [] : [{ pid, command, slot, keeper }];
  });
}

/** What the platform runs beside programs and its database: itself, the spawner of jails, zygotes. */
export function serviceProcesses(platformPid: number): readonly number[] {
  const others = descendants(platformPid).filter((one) => {
    const serves = isZygote(one) || one.command.includes("/syla-agent-");
    return serves && !slotOf(one.pid, platformPid);
  });
  return [platformPid, ...others.map(({ pid }) => pid)];
}

/** Those of them that jails are forked from, with the processes that started them. */
export function zygoteProcesses(platformPid: number): readonly number[] {
  const zygotes = new Set(
    descendants(platformPid).flatMap((one) => (isZygote(one) ? one.pid : [])),
  );
  return serviceProcesses(platformPid).filter((pid) => zygotes.has(pid));
}

/** Memory that a process shares with no other, in MiB. */
export function privateMiB(pid: number): number {
  const rollup = text(`/proc/${pid}/smaps_rollup`);
  const sizes = [...rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)];
  return sizes.reduce((sum, [, size]) => sum + Number(size), 0) / 1024;
}

/** What a slot's control group is charged for, the kernel's share and files of its disk among it, in MiB. */
export function chargedMiB(slot: string, platformPid: number): number {
  const groups = groupsOf(platformPid).filter((path) => path.endsWith(`/${slot}`));
  const names = ["memory.usage_in_bytes", "memory.current"];
  const figures = groups.flatMap((path) => names.map((name) => text(join(path, name))));
  return Number(figures.find((figure) => figure !== "") ?? Number.NaN) / 1024 ** 2;
}
