// What runs left on the host: everything that the tests look for, and what can only be counted: slots, zygotes, and
// descriptors and mounts of the service's processes.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { groupsOf, type Host, observeHost } from "../../tests/host.ts";
import { serviceProcesses, zygoteProcesses } from "./jails.ts";
import type { Platform } from "./platform.ts";

/** What a platform may keep more of, having had more to do at one time: slots that nothing is in. */
const slotSlack = 64;
const descriptorSlack = 32;
/** bubblewrap, PID 1 and the interpreter. */
const processesOfZygote = 3;

interface Surroundings extends Host {
  readonly slots: number;
  /** The most in any namespace of the service's. */
  readonly mountCount: number;
  readonly zygotes: number;
  /** Those of what lasts as long as the platform, and of the zygote that has the most. */
  readonly descriptors: number;
  readonly paths: readonly string[];
}

/** Waits until no run is under way, and looks. */
export async function lookAround(platform: Platform): Promise<Surroundings> {
  const host = await observeHost(platform);
  const slots = new Set(groupsOf(platform.pid).flatMap((path) => /slot-\d+$/.exec(path) ?? []));
  const service = serviceProcesses(platform.pid);
  const mounts = service.map((pid) => lineCount(`/proc/${pid}/mountinfo`));
  const zygotes = zygoteProcesses(platform.pid);
  const lasting = service.filter((pid) => !zygotes.includes(pid)).map(descriptorCount);
  return {
    ...host,
    slots: slots.size - host.waiting,
    mountCount: Math.max(...mounts),
    descriptors:
      lasting.reduce((sum, count) => sum + count, Math.max(0, ...zygotes.map(descriptorCount))) -
      host.waiting,
    zygotes: zygotes.length,
    paths: pathsIn(platform.data),
  };
}

/** What a process has open but files of slots, which are kept with their slots. */
function descriptorCount(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((name) => {
    try {
      return !/\/slot-\d+\//.test(readlinkSync(join(folder, name)));
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

const lineCount = (path: string): number => readFileSync(path, "utf8").split("\n").length - 1;

/** Every path in the data folder but the database's, which grows with the history. */
function pathsIn(data: string): string[] {
  return readdirSync(data).flatMap((name) => {
    if (/^(?:database|postgres)/.test(name)) return [name];
    const path = join(data, name);
    try {
      return readdirSync(path, { recursive: true, encoding: "utf8" }).map((below) =>
        join(name, below),
      );
    } catch {
      return [name]; // a file
    }
  });
}

/** What is there after that was not before, in words; empty when there is nothing. */
export function leftBehind(before: Surroundings, after: Surroundings): readonly string[] {
  const found: string[] = [];
  const added = (what: string, old: readonly string[], now: readonly string[]) => {
    const fresh = now.filter((one) => !old.includes(one));
    if (fresh.length > 0) found.push(`${fresh.length} ${what} such as ${fresh[0]}`);
  };
  const grown = (what: string, old: number, now: number, slack: number) => {
    if (now > old + slack) found.push(`${what}: ${old} became ${now}`);
  };
  added("processes", before.jailed, after.jailed);
  added("processes in control groups", before.grouped, after.grouped);
  added("control groups", before.foreignGroups, after.foreignGroups);
  added("mounts", before.mounts, after.mounts);
  added("files", before.paths, after.paths);
  grown("jails that do not wait", before.jails, after.jails, 0);
  grown("mounts of the service", before.mountCount, after.mountCount, 0);
  grown("slots", before.slots, after.slots, slotSlack);
  // One that was replaced goes with the last jail that is a fork of it, which may still wait for its program.
  grown("zygotes", before.zygotes, after.zygotes, after.waiting * processesOfZygote);
  grown("descriptors", before.descriptors, after.descriptors, descriptorSlack);
  if (before.files !== after.files) found.push("the agent's or the root's files changed");
  return found;
}
