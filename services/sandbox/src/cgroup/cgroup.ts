/**
 * Cgroups for runs: `syla-<pid>-<start time>` below our own group, and in it slots that are made
 * once and used again and again. A process joins its slot by itself (see ../../agent/spawn.c for
 * why).
 *
 * The parent's name says which process owns it, so that what a kill -9 left behind is recognised by
 * the next start and removed, and what a living platform beside us uses is not.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CONTROLLERS, type CgroupPaths, detectCgroups } from "./detect.ts";
import type { CgroupLayout, Controller } from "./detect.ts";
import {
  type CgroupLimits,
  type CgroupNow,
  type CgroupUsage,
  type Group,
  admitUser,
  killAll,
  openGroupV1,
  openGroupV2,
  processesOf,
  removeDirectory,
} from "./group.ts";
import { thawGroup } from "./freeze.ts";
import { isOfDeadPlatform, platformName } from "../jail/platform-name.ts";
import { isPrivileged, UID_BASE } from "../jail/root.ts";

export type { CgroupLimits, CgroupNow, CgroupUsage } from "./group.ts";

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
  readonly limits?: "cgroup" | "rlimit" | undefined;
  readonly paths?: CgroupPaths;
}

export interface CgroupSlot {
  /** Unique among the slots in use; the jail's host uid is made from it. */
  readonly index: number;
  readonly limits: CgroupLimits;
  /**
   * Gives a slot, whose jail may have been made long before, the limits of its run. usage() counts from here, and tells
   * nothing before. Throws when it cannot.
   */
  readonly begin: (limits: CgroupLimits) => void;
  /** Whether memory and pids must be limited by rlimits, there being no cgroup. */
  readonly rlimits: boolean;
  readonly launchArguments: readonly string[];
  readonly usage: () => CgroupUsage;
  /** Of usage() the one number that is asked for while a program runs. */
  readonly cpuUs: () => number;
  readonly now: () => CgroupNow;
  /** Of now() what is charged to it. */
  readonly chargedBytes: () => number;
  /** Stops all of it where it is, or lets it go on; undefined where that cannot be done. */
  readonly freeze: ((frozen: boolean) => Promise<void>) | undefined;
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
/** So many that nothing is in are kept; each is a directory of every controller, and a descriptor or more. */
const FREE_MAX = 64;
/** In which the kernel counts TCP's memory; where its pages are larger, the bound is lower than it may be. */
const PAGE_BYTES = 4096;
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
    parents.set(controller, join(own, name));
  }
  await Promise.all([...new Set(layout.directories.values())].map(removeStale));
  for (const parent of parents.values()) mkdirSync(parent, { recursive: true });
  limitAllSocketsV1(parents.get("memory") ?? "");
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

/** So much TCP memory leaves the host's own connections without pressure; v1 charges it apart from other memory. */
const limitAllSocketsV1 = (directory: string): void => {
  const file = join(directory, "memory.kmem.tcp.limit_in_bytes");
  const [withoutPressure = 0] = readFileSync("/proc/sys/net/ipv4/tcp_mem", "utf8")
    .split(/\s+/)
    .map(Number);
  if (existsSync(file)) writeFileSync(file, String(withoutPressure * PAGE_BYTES));
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
  const names = existsSync(own) ? readdirSync(own).filter(isOfDeadPlatform) : [];
  // What the kernel does not let go of, as a process that waits for a disk, or what another start that is under way
  // removes at the same time, is no reason not to start.
  await Promise.allSettled(names.map((name) => removeAll(join(own, name))));
};

const removeAll = async (parent: string): Promise<void> => {
  const groups = readdirSync(parent, { withFileTypes: true }).filter((one) => one.isDirectory());
  const directories = groups.map((group) => join(parent, group.name));
  // A process shown as 0 lives in a pid namespace that we do not see, and so may its platform.
  if (directories.some((directory) => processesOf(directory).includes(0))) return;
  for (const directory of directories) {
    thawGroup(directory);
    await emptied({
      kill: () => killAll(directory),
      empty: () => processesOf(directory).length === 0,
    });
    removeDirectory(directory);
  }
  removeDirectory(parent);
};

/** Processes leave a cgroup when they are reaped, a little after they are killed. */
const emptied = async (group: Pick<Group, "kill" | "empty">): Promise<void> => {
  const deadline = performance.now() + EMPTY_WAIT_MS_MAX;
  for (let waitMs = 1; !group.empty(); waitMs = Math.min(waitMs * 2, 100)) {
    if (performance.now() > deadline) throw new Error("A cgroup stays occupied after SIGKILL");
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
  now: () => ({ memoryBytes: 0, pids: 0 }),
  chargedBytes: () => 0,
  freeze: undefined,
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
      if (next !== current) group.limit(next);
      group.begin();
      current = next;
    },
    rlimits,
    launchArguments: group.launchArguments,
    usage: group.usage,
    cpuUs: group.cpuUs,
    now: group.now,
    chargedBytes: group.chargedBytes,
    freeze: group.freeze,
    kill: group.kill,
    release,
  };
};

/** Groups that are in no use, and the numbers of those that are not open. */
const stockOf = (open: (index: number) => Group) => {
  const free: Made[] = [];
  /** Of slots whose group could not be opened, or not be held to the limits asked for. */
  const unopened: number[] = [];
  let made = 0;
  const make = (index: number): Made => {
    if (index >= SLOTS_MAX) throw new Error(`Cannot open more than ${SLOTS_MAX} jails at once`);
    return { index, group: open(index) };
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
      try {
        next.group.limit(limits);
        return next;
      } catch (error) {
        next.group.remove(); // and its descriptors
        throw error;
      }
    }
  };
  return {
    take: (limits: CgroupLimits): Made => {
      // The one used last is the warmest in the kernel's caches.
      const known = free.pop();
      const index = known?.index ?? unopened.pop() ?? made++;
      try {
        return limited(known ?? make(index), limits);
      } catch (error) {
        if (index < SLOTS_MAX) unopened.push(index);
        else made -= 1;
        throw error;
      }
    },
    giveBack: (slot: Made): void => {
      try {
        if (free.length >= FREE_MAX) {
          slot.group.remove();
          unopened.push(slot.index);
        } else {
          free.push(slot.group.reset() ? slot : renewed(slot));
        }
      } catch {
        unopened.push(slot.index);
      }
    },
    takeAll: (): Group[] => free.splice(0).map(({ group }) => group),
  };
};

const slots = (
  kind: Cgroups["kind"],
  open: (index: number) => Group,
  removeParents: () => void,
): Cgroups => {
  const stock = stockOf(open);
  const used = new Map<number, Group>();
  let closed = false;
  const giveBack = (slot: Made): void => {
    used.delete(slot.index);
    stock.giveBack(slot);
  };
  /** A process that the kernel does not let go of yet, as one that waits for a disk, keeps its slot until then. */
  const giveBackLater = async (slot: Made): Promise<void> => {
    while (!slot.group.empty()) {
      slot.group.kill();
      await sleep(EMPTY_WAIT_MS_MAX / 10, undefined, { ref: false });
      if (closed) return;
    }
    giveBack(slot);
  };
  return {
    kind,
    zygoteArguments: [],
    acquire: (limits) => {
      const slot = stock.take(limits);
      const { index, group } = slot;
      used.set(index, group);
      const release = async (): Promise<void> => {
        if (used.get(index) !== group) return;
        try {
          await emptied(group);
        } catch (error) {
          giveBackLater(slot).catch(() => {}); // it stays in use until the end
          throw error;
        }
        giveBack(slot);
      };
      return slotOf({ ...slot, limits, rlimits: kind === "rlimit", release });
    },
    close: async () => {
      closed = true;
      for (const group of [...used.values(), ...stock.takeAll()]) {
        await emptied(group);
        group.remove();
      }
      used.clear();
      removeParents();
    },
  };
};
