// What a run could leave on its host, and the assertion that it left nothing: processes, control groups, mounts,
// descriptors and files of the platform, settings of the kernel. What is released after an answer is waited for. Jails
// that wait for the next run may be there, as many as the platform says it has and with nothing in them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Platform } from "./platform.ts";

/** How long what follows an answer may take, on a host under load. */
const settleMsMax = 20_000;
const settlePollMs = 20;
/** Connections: what a platform may hold more of than before, having had more to do. */
const descriptorSlack = 48;
/** ABOVE_ALL_OTHERS of the agent's gate.c. */
const gateDescriptor = 512;

/** A host as far as runs could change it. */
export interface Host {
  /** Processes below the platform's spawner of jails, but for zygotes and those that keep an empty jail. */
  readonly jailed: readonly string[];
  /** Processes in any control group of the platform's, but for those that keep an empty jail. */
  readonly grouped: readonly string[];
  /** Jails beyond those that wait. */
  readonly jails: number;
  /** Jails that wait: they come and go with what is to be expected, and are no sign of anything. */
  readonly waiting: number;
  /** Groups that are neither the platform's own nor its slots. */
  readonly foreignGroups: readonly string[];
  /** Mounts of jails that show on the host. */
  readonly mounts: readonly string[];
  /** The platform's, but for those of slots and of jails that wait. */
  readonly descriptors: number;
  /** Over all files that jails see and that the platform trusts. */
  readonly files: string;
  readonly settings: Readonly<Record<string, string>>;
}

const settingFiles = [
  "/proc/sys/kernel/core_pattern",
  "/proc/sys/kernel/hostname",
  "/proc/sys/kernel/modprobe",
  "/proc/sys/kernel/sysrq",
  "/proc/sys/vm/overcommit_memory",
] as const;

type HostOf = Pick<Platform, "pid" | "data" | "url">;

/** Looks at the host, at a moment at which no run's jail is open. */
export async function observeHost(platform: HostOf): Promise<Host> {
  const deadline = Date.now() + settleMsMax;
  for (;;) {
    const host = await lookAtHost(platform);
    const quiet = host.jailed.length + host.grouped.length === 0 && host.jails === 0;
    if (quiet || Date.now() > deadline) return host;
    await sleep(settlePollMs);
  }
}

/** Asserts that nothing is left of any run since the host was looked at. */
export async function assertHostUnchanged(platform: HostOf, before: Host): Promise<void> {
  const { descriptors, waiting: _, ...after } = await observeHost(platform);
  const { descriptors: descriptorsBefore, waiting: _before, ...rest } = before;
  assert.deepEqual(after, rest);
  const most = descriptorsBefore + descriptorSlack;
  assert.ok(
    descriptors <= most,
    `the platform holds ${descriptors} descriptors, more than ${most}`,
  );
}

/** Looks at the host as it is now. */
export async function lookAtHost({ pid, data, url }: HostOf): Promise<Host> {
  const groups = groupsOf(pid);
  const waiting = await waitingJails(url);
  const grouped = groups.filter((path) => !path.endsWith("/zygotes")).flatMap(processesIn);
  const keepers = new Set(grouped.filter(keepsJail).map(({ pid: own }) => own));
  const waits = (one: Pick<Process, "pid" | "command">) => keepers.has(one.pid) || isHeld(one);
  return {
    jailed: jailedBelow(pid)
      .filter((one) => !waits(one) && !isZygote(one))
      .map(describe),
    grouped: grouped.filter((one) => !waits(one)).map(describe),
    jails: keepers.size - waiting,
    waiting,
    foreignGroups: groups.filter((path) => !/\/syla-\d+-\d+(\/(slot-\d+|zygotes))?$/.test(path)),
    mounts: lines(`/proc/${pid}/mountinfo`).filter((line) => {
      return line.includes(data) || /\/(newroot|oldroot|bwrap)|\/var\/lib\/syla/.test(line);
    }),
    // Each jail that waits has a socket.
    descriptors: descriptorsOf(pid).length - waiting,
    files: digest(["agent", "root"].map((name) => join(data, name))),
    settings: Object.fromEntries(settingFiles.map((file) => [file, text(file)])),
  };
}

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Every process that can be seen from here. */
export function processes(): readonly Process[] {
  return namesIn("/proc").flatMap((name) => {
    const stat = /^\d+$/.test(name) ? text(`/proc/${name}/stat`) : "";
    if (stat === "") return [];
    // The name in parentheses may hold anything, parentheses among it.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    const command = text(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim();
    return [{ pid: Number(name), parent, command }];
  });
}

/** The processes below one, however deep. */
export function descendants(pid: number, all = processes()): readonly Process[] {
  const children = all.filter(({ parent }) => parent === pid);
  return [...children, ...children.flatMap((child) => descendants(child.pid, all))];
}

/** How many jails wait, as the platform tells. */
async function waitingJails(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const counts = metrics.matchAll(/^syla_pool_slots\{.*state="warm"\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The first process of a process namespace: a jail's agent, which alone is in a jail that waits. */
function keepsJail({ pid }: Pick<Process, "pid">): boolean {
  return /^NSpid:.*\t1$/m.test(text(`/proc/${pid}/status`));
}

/** What jails are forked from is in none, nor in any run's control group. */
export function isZygote({ command }: Pick<Process, "command">): boolean {
  return /(^|\/)bwrap .*\/init zygote |^\/init zygote | \/zygote/.test(command);
}

/** What waits for its program, by its gate; or a Node that waits or has had its own: then its jail is one too many. */
function isHeld({ pid }: Pick<Process, "pid">): boolean {
  return (
    text(`/proc/${pid}/environ`).includes("--require=/hold.cjs") ||
    target(`/proc/${pid}/fd/${gateDescriptor}`).startsWith("socket:")
  );
}

function describe({ pid, command, group }: Pick<Process, "pid" | "command"> & { group?: string }) {
  return `${pid} ${command}${group === undefined ? "" : ` in ${group}`}`;
}

/** What a process holds open, but for the files of its slots: those are used again, by one jail after the other. */
function descriptorsOf(pid: number): string[] {
  const directory = `/proc/${pid}/fd`;
  const targets = namesIn(directory).map((name) => target(join(directory, name)));
  return targets.filter((path) => !/\/syla-\d+-\d+\/slot-\d+\//.test(path));
}

function jailedBelow(pid: number): Process[] {
  const all = processes();
  const spawners = all.filter(({ parent, command }) => parent === pid && / spawn \//.test(command));
  const below = spawners.flatMap((spawner) => descendants(spawner.pid, all));
  return below.filter(({ command }) => !/ spawn \//.test(command)); // its helper, which is in no jail
}

/** The control groups that a platform made, in every hierarchy, deepest last. */
export function groupsOf(pid: number): string[] {
  return hierarchies().flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.startsWith(`syla-${pid}-`))
      .flatMap((name) => withNested(join(directory, name))),
  );
}

/** Where this process's control groups are, in each hierarchy that is mounted. */
function hierarchies(): string[] {
  const mounts = lines("/proc/self/mountinfo").flatMap((line) => {
    const [left, right] = line.split(" - ");
    const [, , , root, point] = left?.split(" ") ?? [];
    const [type] = right?.split(" ") ?? [];
    if (root === undefined || point === undefined || !type?.startsWith("cgroup")) return [];
    return [point];
  });
  const own = lines("/proc/self/cgroup").map((line) => line.split(":").slice(2).join(":"));
  const found = mounts.flatMap((mount) => ["/", ...own].map((path) => join(mount, path)));
  // A platform that found processes beside itself may have moved to a leaf of its own.
  return [...new Set([...found, ...found.map((path) => join(path, ".."))])].filter(existsSync);
}

function withNested(directory: string): string[] {
  const below = namesIn(directory)
    .map((name) => join(directory, name))
    .filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true);
  return [directory, ...below.flatMap(withNested)];
}

function processesIn(group: string) {
  return lines(join(group, "cgroup.procs")).map((pid) => {
    const command = text(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    return { pid: Number(pid), command, group };
  });
}

function digest(paths: readonly string[]): string {
  const hash = createHash("sha256");
  const add = (path: string): void => {
    const about = lstatSync(path, { throwIfNoEntry: false });
    if (about === undefined) return;
    const { mode, uid, size, mtimeMs } = about;
    if (about.isSymbolicLink()) hash.update(`${path} -> ${readlinkSync(path)}\n`);
    else if (about.isDirectory())
      for (const name of namesIn(path).toSorted()) add(join(path, name));
    // Empty ones are mount points, which are made at the first run that needs them.
    else if (size > 0) hash.update(`${path} ${mode} ${uid} ${size} ${mtimeMs}\n`);
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

function lines(path: string): string[] {
  return text(path).split("\n").filter(Boolean);
}
