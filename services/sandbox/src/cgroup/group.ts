/**
 * What one run's cgroup can be asked and told, in its two forms. Files that are read on every run
 * are held open: re-reading an open cgroup file takes 5 us, opening and reading it 20.
 */
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Controller } from "./detect.ts";
import { freezeGroup } from "./freeze.ts";

export interface CgroupLimits {
  /** Everything charged to the run: its processes, its disk (a tmpfs), its sockets. No swap. */
  readonly memoryBytes: number;
  readonly pids: number;
  /** Cores' worth of CPU time per second; default all of the host. */
  readonly cpus?: number;
}

export interface CgroupUsage {
  readonly cpuUs: number;
  readonly memoryPeakBytes: number;
  /** Processes that the kernel killed for want of memory. */
  readonly oomKills: number;
  /** Forks refused by the pids limit. */
  readonly pidsMaxHits: number;
  readonly ioBytes?: number;
}

/** What a group uses at a moment. */
export interface CgroupNow {
  readonly memoryBytes: number;
  readonly pids: number;
}

export interface Group {
  readonly launchArguments: readonly string[];
  readonly limit: (limits: CgroupLimits) => void;
  /** From here on usage() counts: what made the jail is not its run's. */
  readonly begin: () => void;
  readonly usage: () => CgroupUsage;
  /** CPU time of all of it since begin(), in microseconds. */
  readonly cpuUs: () => number;
  /** Whether no process is in it, not even one that is dead but not yet reaped. */
  readonly empty: () => boolean;
  readonly now: () => CgroupNow;
  /** Of now() what is charged to it. */
  readonly chargedBytes: () => number;
  /** Stops all of it where it is, or lets it go on; undefined where that cannot be done. */
  readonly freeze: ((frozen: boolean) => Promise<void>) | undefined;
  /** SIGKILL to all of it. */
  readonly kill: () => void;
  /**
   * Makes it as new; only when it is empty. False when it cannot be, because what a run left in the kernel is still
   * charged to it.
   */
  readonly reset: () => boolean;
  readonly remove: () => void;
}

const CPU_PERIOD_US = 100_000;
/** What a used group may begin with, rather than be made anew: it counts as the next run's memory. */
const LEFT_BYTES_MAX = 4 * 1024 * 1024;
/** The part of a run's memory that v1 lets its sockets have, on top: a host's TCP has one bound for all runs. */
const SOCKETS_PER_MEMORY = 1 / 8;
const FILE_BYTES_MAX = 4096;
const scratch = Buffer.alloc(FILE_BYTES_MAX);

const readOpen = (fd: number): string =>
  scratch.toString("latin1", 0, readSync(fd, scratch, 0, FILE_BYTES_MAX, 0));

/** The number after `key` in a file of `key value` lines, 0 without such a line. */
const valueOf = (text: string, key: string): number => {
  const found = new RegExp(`^${key} (\\d+)`, "m").exec(text);
  return Number(found?.[1] ?? 0);
};

/** Only processes in our own namespaces; one of another pid namespace reads as 0. */
export const processesOf = (directory: string): number[] => {
  try {
    const text = readFileSync(join(directory, "cgroup.procs"), "utf8");
    return text.split("\n").filter(Boolean).map(Number);
  } catch {
    return []; // it is gone, and so are its processes
  }
};

export const killAll = (directory: string): void => {
  for (const pid of processesOf(directory)) {
    if (pid <= 0) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended between the two.
    }
  }
};

export const removeDirectory = (directory: string): boolean => {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
};

const makeDirectory = (directory: string): void => {
  if (!existsSync(directory)) mkdirSync(directory, { recursive: true });
};

/** 0 or less, or more than the host has, means no quota. */
const quotaUs = (cpus: number | undefined): number =>
  cpus === undefined || cpus >= availableParallelism() ? -1 : Math.round(cpus * CPU_PERIOD_US);

/** The files of a v1 group that are read again and again. */
const holdFiles = (directories: ReadonlyMap<Controller, string>) => {
  const hold = (controller: Controller, name: string, flags = "r"): number | undefined => {
    const file = join(directories.get(controller) ?? "", name);
    return directories.has(controller) && existsSync(file) ? openSync(file, flags) : undefined;
  };
  return {
    cpu: hold("cpuacct", "cpuacct.usage"),
    peak: hold("memory", "memory.max_usage_in_bytes", "r+"),
    charged: hold("memory", "memory.usage_in_bytes"),
    oom: hold("memory", "memory.oom_control"),
    pids: hold("pids", "pids.events"),
    tasks: hold("pids", "pids.current"),
  };
};

/** One directory per controller; recycled, since counters can be reset or compared. */
export const openGroupV1 = (directories: ReadonlyMap<Controller, string>): Group => {
  for (const directory of directories.values()) makeDirectory(directory);
  const directory = (controller: Controller): string | undefined => directories.get(controller);
  const memory = directory("memory") ?? "";
  const pids = directory("pids") ?? "";
  const freezer = directory("freezer");
  const held = holdFiles(directories);
  const read = (fd: number | undefined): string => (fd === undefined ? "" : readOpen(fd));
  const counters = () => ({
    cpuUs: Math.round(Number(read(held.cpu)) / 1000),
    oomKills: valueOf(read(held.oom), "oom_kill"),
    pidsMaxHits: valueOf(read(held.pids), "max"),
  });
  const chargedBytes = (): number => Number(read(held.charged));
  let base = { cpuUs: 0, oomKills: 0, pidsMaxHits: 0 };
  let current = "";
  let removed = false;
  const unique = [...new Set(directories.values())];
  return {
    launchArguments: unique.flatMap((one) => ["--cgroup-v1", one]),
    limit: (limits) => {
      const key = JSON.stringify(limits);
      if (key === current) return;
      current = "";
      setMemoryV1(memory, limits.memoryBytes);
      setSocketMemoryV1(memory, limits.memoryBytes);
      writeFileSync(join(pids, "pids.max"), String(limits.pids));
      const cpu = directory("cpu");
      if (cpu) writeFileSync(join(cpu, "cpu.cfs_quota_us"), String(quotaUs(limits.cpus)));
      current = key;
    },
    usage: () => {
      const now = counters();
      return {
        cpuUs: now.cpuUs - base.cpuUs,
        memoryPeakBytes: Number(read(held.peak)),
        oomKills: now.oomKills - base.oomKills,
        pidsMaxHits: now.pidsMaxHits - base.pidsMaxHits,
      };
    },
    begin: () => {
      base = counters();
      if (held.peak !== undefined) writeSync(held.peak, "0", 0);
    },
    // The kernel counts them; a list of them, in each hierarchy, would take ten times as long.
    empty: () => Number(read(held.tasks)) === 0,
    cpuUs: () => Math.round(Number(read(held.cpu)) / 1000) - base.cpuUs,
    now: () => ({
      memoryBytes: chargedBytes(),
      pids: Number(read(held.tasks)),
    }),
    chargedBytes,
    freeze: freezer === undefined ? undefined : (frozen) => freezeGroup(freezer, frozen),
    kill: () => killAll(memory),
    reset: () => chargedBytes() <= LEFT_BYTES_MAX,
    remove: () => {
      if (removed) return; // the numbers of its descriptors may be others' by now
      removed = true;
      for (const fd of Object.values(held)) if (fd !== undefined) closeSync(fd);
      for (const one of unique) removeDirectory(one);
    },
  };
};

/** memory+swap may never be under memory, so which is written first depends on the direction. */
const setMemoryV1 = (directory: string, bytes: number): void => {
  const plain = join(directory, "memory.limit_in_bytes");
  const withSwap = join(directory, "memory.memsw.limit_in_bytes");
  const swap = existsSync(withSwap);
  if (swap) writeFileSync(withSwap, "-1");
  writeFileSync(plain, String(bytes));
  if (swap) writeFileSync(withSwap, String(bytes));
};

/** TCP and UDP buffers are charged to nobody in v1 until they have a limit of their own; in v2 they are memory. */
const setSocketMemoryV1 = (directory: string, memoryBytes: number): void => {
  const file = join(directory, "memory.kmem.tcp.limit_in_bytes");
  if (existsSync(file)) writeFileSync(file, String(Math.floor(memoryBytes * SOCKETS_PER_MEMORY)));
};

/** Lets that user put processes into a v2 group, as its owner may. */
export const admitUser = (directory: string, uid: number | undefined): void => {
  const file = join(directory, "cgroup.procs");
  if (uid !== undefined && existsSync(file)) chownSync(file, uid, uid);
};

/**
 * One directory, made anew for each run: memory.peak cannot be reset before Linux 6.12. `admitted` may start processes
 * in it.
 */
export const openGroupV2 = (directory: string, admitted?: number): Group => {
  const read = (name: string): string => {
    try {
      return readFileSync(join(directory, name), "utf8");
    } catch {
      return ""; // older kernels lack some: memory.peak (5.19), io.stat without the controller
    }
  };
  const make = (): void => {
    makeDirectory(directory);
    admitUser(directory, admitted);
  };
  make();
  const cpuUs = (): number => valueOf(read("cpu.stat"), "usage_usec");
  const chargedBytes = (): number => Number(read("memory.current"));
  let baseCpuUs = 0;
  return {
    launchArguments: ["--cgroup-v2", directory],
    limit: (limits) => {
      const quota = quotaUs(limits.cpus);
      const write = (name: string, value: string): void =>
        writeFileSync(join(directory, name), value);
      write("memory.max", String(limits.memoryBytes));
      if (existsSync(join(directory, "memory.swap.max"))) write("memory.swap.max", "0");
      write("pids.max", String(limits.pids));
      if (quota > 0 || existsSync(join(directory, "cpu.max"))) {
        write("cpu.max", `${quota > 0 ? quota : "max"} ${CPU_PERIOD_US}`);
      }
    },
    usage: () => {
      const io = read("io.stat").matchAll(/[rw]bytes=(\d+)/g);
      return {
        cpuUs: cpuUs() - baseCpuUs,
        memoryPeakBytes: Number(read("memory.peak") || read("memory.current")),
        oomKills: valueOf(read("memory.events"), "oom_kill"),
        pidsMaxHits: valueOf(read("pids.events"), "max"),
        ioBytes: [...io].reduce((sum, match) => sum + Number(match[1]), 0),
      };
    },
    begin: () => {
      baseCpuUs = cpuUs();
    },
    empty: () => processesOf(directory).length === 0,
    cpuUs: () => cpuUs() - baseCpuUs,
    now: () => ({
      memoryBytes: chargedBytes(),
      pids: Number(read("pids.current")),
    }),
    chargedBytes,
    freeze: (frozen) => freezeGroup(directory, frozen),
    kill: () => {
      if (!existsSync(join(directory, "cgroup.kill"))) return killAll(directory); // before 5.14
      writeFileSync(join(directory, "cgroup.kill"), "1");
    },
    reset: () => {
      removeDirectory(directory);
      make();
      baseCpuUs = 0;
      return true;
    },
    remove: () => void removeDirectory(directory),
  };
};
