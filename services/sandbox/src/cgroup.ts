/**
 * Cgroups for runs: `syla-<pid>-<start time>` below our own group, and in it slots that are made
 * once and used again and again. A process joins its slot by itself (see ../agent/launch.c for
 * why).
 *
 * The parent's name says which process owns it, so that what a kill -9 left behind is recognised by
 * the next start and removed, and what a living platform beside us uses is not.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CONTROLLERS, type CgroupPaths, detectCgroups } from "./cgroup-detect.ts";
import type { CgroupLayout, Controller } from "./cgroup-detect.ts";
import {
  type CgroupLimits,
  type CgroupUsage,
  type Group,
  admitUser,
  killAll,
  openGroupV1,
  openGroupV2,
  processesOf,
  removeDirectory,
} from "./cgroup-group.ts";
import { isOfDeadPlatform, platformName } from "./platform-name.ts";
import { isPrivileged, UID_BASE } from "./root.ts";

export type { CgroupLimits, CgroupUsage } from "./cgroup-group.ts";

/** What to do where limits cannot be had; also shown by `syla doctor`. */
export const CGROUP_REMEDY =
  "run as root, or: systemd-run --user --scope -p Delegate=yes -- npm start, " +
  "or, weaker: SYLA_SANDBOX_LIMITS=rlimit npm start";

/** No group can be written. The message says what to do too, `reason` only what is wrong. */
export class CgroupsUnavailableError extends Error {
  readonly reason: string;

  constructor(reason: string, options?: ErrorOptions) {
    super(
      `Cannot limit what programs use, so none is run: ${reason}. To change that: ${CGROUP_REMEDY}`,
      options,
    );
    this.name = "CgroupsUnavailableError";
    this.reason = reason;
  }
}

export interface CgroupOptions {
  /** "rlimit" does without cgroups: limits per process, no shared account. Default "cgroup". */
  readonly limits?: "cgroup" | "rlimit";
  readonly paths?: CgroupPaths;
}

export interface CgroupSlot {
  /** Unique among the slots in use; the jail's host uid is made from it. */
  readonly index: number;
  readonly limits: CgroupLimits;
  /** Gives a slot whose jail was made in advance the limits of its run, and counts from here. Throws when it cannot. */
  readonly begin: (limits: CgroupLimits) => void;
  /** Whether memory and pids must be limited by rlimits, there being no cgroup. */
  readonly rlimits: boolean;
  readonly launchArguments: readonly string[];
  readonly usage: () => CgroupUsage;
  /** Of usage() the one number that is asked for while a program runs. */
  readonly cpuUs: () => number;
  readonly kill: () => void;
  /** Waits until it is empty (killing what is left) and gives it back. */
  readonly release: () => Promise<void>;
}

export interface Cgroups {
  readonly kind: "v1" | "v2" | "hybrid" | "rlimit";
  /** For a zygote to be started with: where it may put what it forks into slots from. */
  readonly zygoteArguments: readonly string[];
  /** A free slot with these limits, synchronously: it is on every request's path. */
  readonly acquire: (limits: CgroupLimits) => CgroupSlot;
  /** Kills what is in any slot and removes all groups. */
  readonly close: () => Promise<void>;
}

const SUPERVISOR = "syla-supervisor";
const ZYGOTES = "zygotes";
const SLOTS_MAX = 4096;
const EMPTY_WAIT_MS_MAX = 5_000;
const NO_USAGE: CgroupUsage = { cpuUs: 0, memoryPeakBytes: 0, oomKills: 0, pidsMaxHits: 0 };

/**
 * What all runs together may take, whatever each was allowed: the host, and the platform on it, must live. A limit that
 * a caller asks for may be above the whole machine.
 */
const allBytesMax = (): number => Math.floor(totalmem() * 0.8);
const allPidsMax = (): number => {
  const pids = Number(readFileSync("/proc/sys/kernel/pid_max", "utf8"));
  const threads = Number(readFileSync("/proc/sys/kernel/threads-max", "utf8"));
  return Math.floor(Math.min(pids, threads) / 2);
};

/** Fails, saying what to do, when limits cannot be enforced and "rlimit" was not chosen. */
export const openCgroups = async (options: CgroupOptions = {}): Promise<Cgroups> => {
  if (options.limits === "rlimit") return slots("rlimit", noGroup, () => {});
  const layout = detectCgroups(options.paths);
  if (layout.kind === "none") throw new CgroupsUnavailableError(layout.reason);
  const name = platformName();
  try {
    if (layout.kind === "v2") return await openV2(layout.directory, name);
    return await openV1(layout, name);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CgroupsUnavailableError(reason, { cause });
  }
};

const openV1 = async (
  layout: Extract<CgroupLayout, { kind: "v1" | "hybrid" }>,
  name: string,
): Promise<Cgroups> => {
  const parents = new Map<Controller, string>();
  for (const controller of CONTROLLERS) {
    const own = layout.directories.get(controller);
    if (own === undefined) continue;
    await removeStale(own);
    parents.set(controller, join(own, name));
  }
  for (const parent of parents.values()) mkdirSync(parent, { recursive: true });
  for (const [controller, file, value] of [
    ["memory", "memory.limit_in_bytes", allBytesMax()],
    ["pids", "pids.max", allPidsMax()],
  ] as const) {
    writeFileSync(join(parents.get(controller) ?? "", file), String(value));
  }
  const open = (index: number): Group => {
    const entries = [...parents].map(([controller, parent]) => {
      const entry: [Controller, string] = [controller, join(parent, `slot-${index}`)];
      return entry;
    });
    return openGroupV1(new Map(entries));
  };
  return slots(layout.kind, open, () => {
    for (const parent of new Set(parents.values())) removeDirectory(parent);
  });
};

const openV2 = async (own: string, name: string): Promise<Cgroups> => {
  // An earlier start may have moved us (or the shell that started us) into the leaf.
  const home = basename(own) === SUPERVISOR ? dirname(own) : own;
  await removeStale(home);
  const wanted = wantedOf(home);
  enableControllers(home, wanted);
  const parent = join(home, name);
  mkdirSync(parent);
  writeFileSync(join(parent, "cgroup.subtree_control"), wanted);
  writeFileSync(join(parent, "memory.max"), String(allBytesMax()));
  writeFileSync(join(parent, "pids.max"), String(allPidsMax()));
  // To start a process in another group takes the right to write there and in the nearest group above both.
  const admitted = isPrivileged() ? UID_BASE : undefined;
  const zygotes = join(parent, ZYGOTES);
  mkdirSync(zygotes);
  admitUser(parent, admitted);
  const zygoteArguments = ["--cgroup-v2", zygotes];
  const open = (index: number): Group => openGroupV2(join(parent, `slot-${index}`), admitted);
  return {
    ...slots("v2", open, () => {
      removeDirectory(zygotes);
      removeDirectory(parent);
    }),
    zygoteArguments,
  };
};

const words = (path: string): string[] => readFileSync(path, "utf8").split(/\s+/).filter(Boolean);

const wantedOf = (directory: string): string => {
  const available = words(join(directory, "cgroup.controllers"));
  for (const needed of ["memory", "pids"]) {
    if (!available.includes(needed)) {
      throw new Error(`${directory} is not given the ${needed} controller`);
    }
  }
  const wanted = ["memory", "pids", "cpu", "io"].filter((one) => available.includes(one));
  return wanted.map((one) => `+${one}`).join(" ");
};

/**
 * A v2 group either holds processes or hands controllers down, never both. So when ours holds any
 * (us, for one), they move to a leaf of their own first.
 */
const enableControllers = (home: string, wanted: string): void => {
  const control = join(home, "cgroup.subtree_control");
  const enabled = words(control);
  if (wanted.split(" ").every((one) => enabled.includes(one.slice(1)))) return;
  try {
    writeFileSync(control, wanted);
    return;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EBUSY")) throw error;
  }
  const leaf = join(home, SUPERVISOR);
  mkdirSync(leaf, { recursive: true });
  for (const pid of processesOf(home)) writeFileSync(join(leaf, "cgroup.procs"), String(pid));
  writeFileSync(control, wanted);
};

/** Removes groups of platforms that are no more, ending what is in them. */
const removeStale = async (own: string): Promise<void> => {
  for (const name of existsSync(own) ? readdirSync(own) : []) {
    if (!isOfDeadPlatform(name)) continue;
    const parent = join(own, name);
    const groups = readdirSync(parent, { withFileTypes: true }).filter((one) => one.isDirectory());
    const directories = groups.map((group) => join(parent, group.name));
    // A process shown as 0 lives in a pid namespace that we do not see, and so may its platform.
    if (directories.some((directory) => processesOf(directory).includes(0))) continue;
    for (const directory of directories) {
      await emptied({
        kill: () => killAll(directory),
        empty: () => processesOf(directory).length === 0,
      });
      removeDirectory(directory);
    }
    removeDirectory(parent);
  }
};

/** Processes leave a cgroup when they are reaped, a little after they are killed. */
const emptied = async (group: Pick<Group, "kill" | "empty">): Promise<void> => {
  const deadline = Date.now() + EMPTY_WAIT_MS_MAX;
  for (let waitMs = 1; !group.empty(); waitMs = Math.min(waitMs * 2, 100)) {
    if (Date.now() > deadline) throw new Error("A cgroup stays occupied after SIGKILL");
    group.kill();
    await sleep(waitMs);
  }
};

const noGroup = (): Group => ({
  launchArguments: [],
  limit: () => {},
  begin: () => {},
  usage: () => NO_USAGE,
  empty: () => true,
  cpuUs: () => 0,
  kill: () => {},
  reset: () => true,
  remove: () => {},
});

interface Made {
  readonly index: number;
  readonly group: Group;
}

interface SlotOptions extends Made {
  readonly limits: CgroupLimits;
  readonly rlimits: boolean;
  readonly release: () => Promise<void>;
}

const slotOf = ({ index, group, limits, rlimits, release }: SlotOptions): CgroupSlot => {
  let current = limits;
  return {
    index,
    get limits() {
      return current;
    },
    begin: (next) => {
      group.limit(next);
      group.begin();
      current = next;
    },
    rlimits,
    launchArguments: group.launchArguments,
    usage: group.usage,
    cpuUs: group.cpuUs,
    kill: group.kill,
    release,
  };
};

const slots = (
  kind: Cgroups["kind"],
  open: (index: number) => Group,
  removeParents: () => void,
): Cgroups => {
  const free: Made[] = [];
  const used = new Map<number, Group>();
  let made = 0;
  const make = (): Made => {
    if (made >= SLOTS_MAX) throw new Error(`Cannot open more than ${SLOTS_MAX} jails at once`);
    return { index: made, group: open(made++) };
  };
  /** What a run left to the kernel (shared memory, files that it was the first to read) goes with its group. */
  const renewed = ({ index, group }: Made): Made => {
    group.remove();
    return { index, group: open(index) };
  };
  /** A v1 group may refuse a limit below what is still charged to it from earlier: EBUSY. */
  const limited = (slot: Made, limits: CgroupLimits): Made => {
    try {
      slot.group.limit(limits);
      return slot;
    } catch {
      const next = renewed(slot);
      next.group.limit(limits);
      return next;
    }
  };
  return {
    kind,
    zygoteArguments: [],
    acquire: (limits) => {
      // The one used last is the warmest in the kernel's caches.
      const slot = limited(free.pop() ?? make(), limits);
      const { index, group } = slot;
      group.begin();
      used.set(index, group);
      const release = async (): Promise<void> => {
        if (used.get(index) !== group) return;
        await emptied(group);
        used.delete(index);
        free.push(group.reset() ? slot : renewed(slot));
      };
      return slotOf({ ...slot, limits, rlimits: kind === "rlimit", release });
    },
    close: async () => {
      for (const group of [...used.values(), ...free.map((one) => one.group)]) {
        await emptied(group);
        group.remove();
      }
      used.clear();
      free.length = 0;
      removeParents();
    },
  };
};
