/**
 * What this host offers for isolating programs, each found out by trying it and not by looking at
 * version numbers, with the one line that would provide what is missing.
 */
import { execFile } from "node:child_process";
import { access, constants, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { type Agent, COMPILER_REMEDY, agentDirectory, buildAgent } from "./jail/agent-build.ts";
import {
  CGROUP_REMEDY,
  type CgroupOptions,
  CgroupsUnavailableError,
  openCgroups,
} from "./cgroup/cgroup.ts";
import { detectCgroups } from "./cgroup/detect.ts";
import { probeTrees } from "./copies/trees.ts";
import { openJail } from "./jail/jail.ts";
import { openSpawner } from "./jail/spawner.ts";
import { outcomeOf } from "./jail/outcome.ts";
import { isPrivileged, prepareRoot } from "./jail/root.ts";
import { seccompFilter } from "./seccomp/seccomp.ts";

export interface Capability {
  readonly name: string;
  readonly ok: boolean;
  /** Whether nothing can be run without it. */
  readonly required: boolean;
  readonly detail: string;
  /** One line to type; only where ok is false. */
  readonly remedy?: string;
}

type Finding = Omit<Capability, "name" | "required">;

const run = promisify(execFile);
const PROBE_MS_MAX = 10_000;
const MIB = 1024 * 1024;
const PROBE_LIMITS = { memoryBytes: 64 * MIB, pids: 16 };

export interface ProbeOptions {
  /** How programs are to be limited on this host; see openCgroups(). */
  readonly limits?: CgroupOptions["limits"];
  /** Where the platform keeps its data, or would; default: the folder for temporary files. */
  readonly dataDirectory?: string;
}

/** What probes have in common. */
interface Bench {
  readonly limits: ProbeOptions["limits"];
  /** Of theirs, and removed after the last. */
  readonly directory: string;
  readonly agentPath: () => Promise<string>;
}

interface Probe {
  readonly name: string;
  readonly required: boolean;
  readonly find: (bench: Bench) => Promise<Finding>;
  readonly remedy: () => Promise<string> | string;
}

const probeBubblewrap = async (): Promise<Finding> => {
  const { stdout } = await run("bwrap", ["--version"], { timeout: PROBE_MS_MAX });
  return { ok: true, detail: stdout.trim() };
};

const probeNamespaces = async (): Promise<Finding> => {
  const user = isPrivileged() ? [] : ["--unshare-user"];
  const all = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"];
  const root = ["--ro-bind", "/", "/", "--proc", "/proc"];
  const program = ["unshare", "--user", "--map-current-user", "true"];
  await run("bwrap", [...user, ...all, "--unshare-cgroup", ...root, "--", ...program], {
    timeout: PROBE_MS_MAX,
  });
  return { ok: true, detail: "user, mount, pid, network, ipc, uts and cgroup can be made" };
};

/** Three settings are known to forbid user namespaces; each has its own way out. */
const namespaceRemedy = async (): Promise<string> => {
  const settings: readonly [string, (value: number) => boolean, number][] = [
    ["kernel.apparmor_restrict_unprivileged_userns", (value) => value === 1, 0],
    ["kernel.unprivileged_userns_clone", (value) => value === 0, 1],
    ["user.max_user_namespaces", (value) => value === 0, 16_384],
  ];
  for (const [name, forbids, better] of settings) {
    const value = await readNumber(`/proc/sys/${name.replaceAll(".", "/")}`);
    if (value !== undefined && forbids(value)) return `sysctl -w ${name}=${better}`;
  }
  return "in a container, start it with: --security-opt seccomp=unconfined --cap-add SYS_ADMIN";
};

const readNumber = async (path: string): Promise<number | undefined> => {
  try {
    return Number(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
};

const probeCgroups = async ({ limits }: Bench): Promise<Finding> => {
  if (limits === "rlimit") return { ok: true, detail: "not used, as configured (weaker)" };
  const cgroups = await openCgroups();
  try {
    const slot = cgroups.acquire(PROBE_LIMITS);
    await slot.release();
  } finally {
    await cgroups.close();
  }
  const layout = detectCgroups();
  const controllers = "directories" in layout ? [...layout.directories.keys()] : ["memory", "pids"];
  return { ok: true, detail: `${cgroups.kind}, limits by ${controllers.join(", ")}` };
};

const probeSeccomp = async (): Promise<Finding> => {
  const status = await readFile("/proc/self/status", "utf8");
  const ok = /^Seccomp:/m.test(status);
  return { ok, detail: ok ? "the kernel has filters" : "the kernel has no CONFIG_SECCOMP_FILTER" };
};

const probeCompiler = async (): Promise<Finding> => {
  const { stdout } = await run("cc", ["--version"], { timeout: PROBE_MS_MAX });
  return { ok: true, detail: stdout.split("\n")[0] ?? "" };
};

/** The one that counts: a program in a jail with everything on. */
const probeJail = async ({ limits: kind, directory, agentPath }: Bench): Promise<Finding> => {
  const closes: (() => Promise<unknown>)[] = [];
  try {
    const agent = await agentPath();
    const root = prepareRoot({ directory: join(directory, "root"), agentPath: agent });
    const cgroups = await openCgroups({ limits: kind });
    closes.unshift(cgroups.close);
    const spawner = await openSpawner({ agentPath: agent });
    closes.unshift(() => spawner.close());
    const slot = cgroups.acquire(PROBE_LIMITS);
    slot.begin(PROBE_LIMITS);
    const disk = { diskBytes: MIB, diskInodes: 100 };
    const jail = openJail({ root, spawner, slot, filter: seccompFilter(), ...disk });
    closes.unshift(() => jail.close());
    const limits = { wallMs: PROBE_MS_MAX, stdoutBytes: 1, stderrBytes: 1 };
    const end = await jail.exec({ argv: ["/bin/true"], limits, onOutput: () => {} });
    const ok = outcomeOf(end).success;
    return { ok, detail: ok ? "a program ran in a jail" : (end.detail ?? "it failed") };
  } finally {
    for (const close of closes) await close();
  }
};

/** Of what templates bring, on the file system that it would lie on. */
const probeCopyOnWrite = async ({ directory, agentPath }: Bench): Promise<Finding> => {
  if (!isPrivileged()) return { ok: false, detail: "only root can stack file systems for jails" };
  await probeTrees(directory, await agentPath());
  return { ok: true, detail: "sandboxes share what their template brings" };
};

const copyOnWriteRemedy = (): string =>
  isPrivileged()
    ? "keep the data folder on ext4, XFS or Btrfs, with Linux 5.19 or newer"
    : "start the platform as root (without it, a template is unpacked for each sandbox)";

const probeKvm = async (): Promise<Finding> => {
  await access("/dev/kvm", constants.R_OK | constants.W_OK);
  return { ok: true, detail: "/dev/kvm can be opened" };
};

const probePodman = async (): Promise<Finding> => {
  const { stdout } = await run("podman", ["--version"], { timeout: PROBE_MS_MAX });
  return { ok: true, detail: stdout.trim() };
};

const PROBES: readonly Probe[] = [
  {
    name: "bubblewrap",
    required: true,
    find: probeBubblewrap,
    remedy: () => "apt-get install -y bubblewrap",
  },
  { name: "namespaces", required: true, find: probeNamespaces, remedy: namespaceRemedy },
  { name: "cgroups", required: true, find: probeCgroups, remedy: () => CGROUP_REMEDY },
  {
    name: "seccomp",
    required: true,
    find: probeSeccomp,
    remedy: () => "boot a kernel that is built with CONFIG_SECCOMP_FILTER=y",
  },
  { name: "C compiler", required: true, find: probeCompiler, remedy: () => COMPILER_REMEDY },
  {
    name: "jail",
    required: true,
    find: probeJail,
    remedy: () => "provide what is missing above, then: syla doctor",
  },
  {
    name: "copy-on-write",
    required: false,
    find: probeCopyOnWrite,
    remedy: copyOnWriteRemedy,
  },
  {
    name: "KVM",
    required: false,
    find: probeKvm,
    remedy: () => "on a host with virtualisation: modprobe kvm && usermod -aG kvm $USER",
  },
  {
    name: "Podman",
    required: false,
    find: probePodman,
    remedy: () => "apt-get install -y podman",
  },
];

/** Takes 0.4 s, and where no platform has started yet as long as compiling the agent. What fails is a finding. */
export const probeHost = async (options: ProbeOptions = {}): Promise<Capability[]> => {
  const { limits } = options;
  const home = await startedIn(options.dataDirectory);
  const directory = await mkdtemp(join(home ?? tmpdir(), ".probe-"));
  let agent: Promise<Agent> | undefined;
  const agentPath = async (): Promise<string> => {
    agent ??= buildAgent({ directory: home === undefined ? directory : agentDirectory(home) });
    return (await agent).path;
  };
  const found: Capability[] = [];
  try {
    // One after the other: cgroups and the jail would otherwise use the same group.
    for (const { name, required, find, remedy } of PROBES) {
      const finding = await attempt(() => find({ limits, directory, agentPath }));
      const missing = finding.ok ? {} : { remedy: await remedy() };
      found.push({ name, required, ...finding, ...missing });
    }
  } finally {
    await rm(directory, { recursive: true });
  }
  return found;
};

/** A data folder is made by the platform, whose user is not always who probes. */
const startedIn = async (dataDirectory: string | undefined): Promise<string | undefined> => {
  if (dataDirectory === undefined) return undefined;
  try {
    await access(dataDirectory, constants.W_OK);
    return resolve(dataDirectory);
  } catch {
    return undefined;
  }
};

const attempt = async (find: () => Promise<Finding>): Promise<Finding> => {
  try {
    return await find();
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? reasonOf(error) : String(error) };
  }
};

/** The last line of what a program said, rather than Node's line about the program. */
const reasonOf = (error: Error): string => {
  if (error instanceof CgroupsUnavailableError) return error.reason;
  if ("code" in error && error.code === "ENOENT") return "not found";
  const said = "stderr" in error ? String(error.stderr).trim() : "";
  return (said || error.message).split("\n").at(-1) ?? "";
};
