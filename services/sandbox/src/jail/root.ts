/**
 * What a program in a jail sees as `/`: a small directory prepared once per platform start, holding
 * the few files of /etc that programs need and empty mount points, with /usr and what a language
 * asks for bound over it, all read-only. Prepared once because every mount that bubblewrap makes
 * costs a parse of mountinfo and two system calls: this way a jail takes two binds instead of
 * thirty.
 *
 * Nothing of the host is in it by default: a name that is not listed here does not exist inside.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { Bind } from "../languages/language.ts";
import type { ZygoteFiles } from "./agent-build.ts";

/** The program's user inside; the agent maps a host uid of its own for each jail to it. */
const PROGRAM_UID = 1000;
/** Where programs start, and where files go in and come out. */
export const WORK_DIRECTORY = "/work";

/** First of the host uids of zygotes and jails: its own is the zygotes', each slot has one above. */
export const UID_BASE = 1_900_000_000;
/** Whose the files of trees are on the host's disk: nobody's, and in each jail that begins with one its user's. */
export const TREE_UID = UID_BASE - 1;
const AGENT_INSIDE = "/init";
/** What an interpreter preloads, and runs, to become a zygote. */
export const ZYGOTE_LIBRARY = "/zygote.so";
const ZYGOTE_SCRIPT = "/zygote.py";
/** What other interpreters preload to wait for their program. */
export const GATE_LIBRARY = "/gate.so";
/** What a Node runs that waits for its program. */
export const HOLD_SCRIPT = "/hold.cjs";
const HOLD_SOURCE = fileURLToPath(new URL("../../agent/hold.cjs", import.meta.url));
const MOUNT_POINTS = ["usr", "proc", "dev", "etc", "work", "tmp", "run", "home"];
/** Where clients of other products expect the user to be at home: a link, which costs a jail nothing. */
const HOME_LINK = "home/user";
const SYSTEM_DIRECTORIES = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/** Copied from the host's /etc if present. Never: machine-id, shadow, ssl/private, ssh, netrc. */
const ETC = [
  /^ld\.so\.(cache|conf|conf\.d)$/,
  /^alternatives$/,
  /^localtime$/,
  /^(mime\.types|protocols|services|os-release|debian_version)$/,
  /^(java|python|php|perl|lua|ruby)[-.\d]*(-openjdk)?$/,
  /^(fonts|gai\.conf|matplotlibrc|R)$/,
];

/** Variables that the host gives each of its own R programs, such as keys of package repositories. */
const NOT_FOR_TENANTS = /^\/etc\/R\/Renviron\.site$/;
const FONT_CACHE = "/var/cache/fontconfig";

const SYNTHETIC: Readonly<Record<string, string>> = {
  passwd: [
    "root:x:0:0:root:/nonexistent:/usr/sbin/nologin",
    `user:x:${PROGRAM_UID}:${PROGRAM_UID}:user:${WORK_DIRECTORY}:/bin/sh`,
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  ].join("\n"),
  group: `root:x:0:\nuser:x:${PROGRAM_UID}:\nnogroup:x:65534:\n`,
  hosts: "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
  hostname: "sandbox\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
  "resolv.conf": "",
};

export interface PrepareRootOptions {
  /** Made anew, so give it nothing else; must be out of reach of other users' writes. */
  readonly directory: string;
  /** The agent's binary on the host. */
  readonly agentPath: string;
  /** What an interpreter loads to become a zygote; without it there are none of interpreters. */
  readonly zygote?: ZygoteFiles | undefined;
  /** What an interpreter preloads to wait for its program; without it, none does that needs it. */
  readonly gatePath?: string | undefined;
  /** Default /usr/bin/bwrap. */
  readonly bubblewrapPath?: string;
  /** Whether this process may use host uids of its choice; default isPrivileged(). */
  readonly privileged?: boolean;
}

export interface JailRoot {
  readonly directory: string;
  readonly bubblewrapPath: string;
  /**
   * The whole command that starts the agent as PID 1 in a root with these extra host paths bound
   * read-only at the same place.
   */
  readonly command: (options: RootCommandOptions) => string[];
  /** The same for a zygote, or undefined where this process may not make one: it takes real root. */
  readonly zygoteCommand: (options: ZygoteCommandOptions) => string[];
  readonly zygotes: boolean;
  /** Whether GATE_LIBRARY is there. */
  readonly gate: boolean;
}

/** What a zygote loads and then forks; without it, it forks jails alone. */
export interface ZygoteProgram {
  /** The first is an absolute path inside the jail. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface ZygoteCommandOptions {
  readonly binds: readonly Bind[];
  readonly uidBase: number;
  readonly uidCount: number;
  /** The host uid that is charged for what the kernel counts for each user namespace. */
  readonly owner: number;
  readonly program?: ZygoteProgram | undefined;
}

export interface RootCommandOptions {
  readonly binds: readonly Bind[];
  readonly hostUid: number;
  readonly diskBytes: number;
  readonly diskInodes: number;
}

/**
 * Whether we are root of the host and not of a user namespace (a rootless container, LXC), in which
 * neither devices nor host uids can be had. Where we are not, bubblewrap makes a user namespace to
 * make the mounts in, and programs run under our own uid.
 */
export const isPrivileged = (uidMapPath = "/proc/self/uid_map"): boolean => {
  if (process.getuid?.() !== 0) return false;
  return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync(uidMapPath, "utf8"));
};

/** Makes the directory (20 ms) and answers how to start a jail on it. */
export const prepareRoot = (options: PrepareRootOptions): JailRoot => {
  const { directory, bubblewrapPath = "/usr/bin/bwrap", privileged = isPrivileged() } = options;
  if (!privileged && isPrivileged()) {
    throw new Error("Cannot prepare an unprivileged root as root: programs would be host uid 0");
  }
  rmSync(directory, { recursive: true, force: true });
  for (const name of MOUNT_POINTS) makeDirectory(join(directory, name));
  symlinkSync(WORK_DIRECTORY, join(directory, HOME_LINK));
  chmodSync(directory, 0o755);
  const systemBinds = makeSystemDirectories(directory);
  copyEtc(directory);
  copyFontCache(directory);
  copyFileSync(options.agentPath, join(directory, AGENT_INSIDE));
  chmodSync(join(directory, AGENT_INSIDE), 0o755);
  copyReadable(HOLD_SOURCE, join(directory, HOLD_SCRIPT));
  if (options.zygote !== undefined) {
    copyReadable(options.zygote.libraryPath, join(directory, ZYGOTE_LIBRARY));
    copyReadable(options.zygote.scriptPath, join(directory, ZYGOTE_SCRIPT));
  }
  if (options.gatePath !== undefined) copyReadable(options.gatePath, join(directory, GATE_LIBRARY));
  const prepared = new Set<string>();
  const mounts = privileged ? [] : UNPRIVILEGED;
  const base = [bubblewrapPath, "--ro-bind", directory, "/", ...systemBinds, ...mounts];
  return {
    directory,
    bubblewrapPath,
    command: ({ binds, hostUid, diskBytes, diskInodes }) => [
      ...base,
      ...NAMESPACES,
      "--unshare-cgroup",
      ...binds.flatMap((bind) => bindArguments({ directory, bind, prepared })),
      "--",
      AGENT_INSIDE,
      "init",
      "--uid",
      // Without root there is one uid to be had: the platform's own, which bubblewrap shows as 0.
      String(privileged ? hostUid : 0),
      "--disk-bytes",
      String(diskBytes),
      "--disk-inodes",
      String(diskInodes),
      "--system-mounts",
      privileged ? "1" : "0",
    ],
    zygotes: privileged,
    gate: options.gatePath !== undefined,
    // Without --unshare-cgroup: each jail leaves for a group, and then a namespace, of its own.
    zygoteCommand: ({ binds, uidBase, uidCount, owner, program }) => [
      ...base,
      ...NAMESPACES,
      ...binds.flatMap((bind) => bindArguments({ directory, bind, prepared })),
      ...["--", AGENT_INSIDE, "zygote"],
      ...["--uid-base", String(uidBase), "--uid-count", String(uidCount)],
      ...["--owner", String(owner)],
      ...(program === undefined ? [] : ["--", ...environmentOf(program), ...program.argv]),
    ],
  };
};

const environmentOf = ({ env }: ZygoteProgram): string[] =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`);

const NAMESPACES = [
  ...["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"],
  ...["--hostname", "sandbox", "--die-with-parent", "--as-pid-1", "--clearenv", "--chdir", "/"],
];

/**
 * The agent needs powers over its own mounts for a moment; all of them end at this namespace, where
 * it may not mount a new /proc or make devices. With root it does both, faster than bubblewrap.
 */
const UNPRIVILEGED = [
  ...["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"],
  ...["--proc", "/proc", "--dev", "/dev"],
];

const copyReadable = (source: string, target: string): void => {
  copyFileSync(source, target);
  chmodSync(target, 0o644);
};

/** chmod because the caller's umask must not decide whether the program can read its own root. */
const makeDirectory = (path: string): void => {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
};

/** /bin and its like: a link where the host has a link, a bind where it has a directory. */
const makeSystemDirectories = (directory: string): string[] => {
  const binds = ["--ro-bind", "/usr", "/usr"];
  for (const name of SYSTEM_DIRECTORIES) {
    const host = `/${name}`;
    if (!existsSync(host)) continue;
    if (lstatSync(host).isSymbolicLink()) {
      symlinkSync(readlinkSync(host), join(directory, name));
      continue;
    }
    makeDirectory(join(directory, name));
    binds.push("--ro-bind", host, host);
  }
  return binds;
};

const copyEtc = (directory: string): void => {
  const etc = join(directory, "etc");
  const copy = { recursive: true, verbatimSymlinks: true, filter: isReadableByAll };
  for (const name of readdirSync("/etc")) {
    if (ETC.some((pattern) => pattern.test(name))) cpSync(`/etc/${name}`, join(etc, name), copy);
  }
  if (existsSync("/etc/ssl/certs")) {
    makeDirectory(join(etc, "ssl"));
    cpSync("/etc/ssl/certs", join(etc, "ssl/certs"), copy);
    const settings = "/etc/ssl/openssl.cnf";
    if (existsSync(settings)) copyFileSync(settings, join(etc, "ssl/openssl.cnf"));
  }
  for (const [name, content] of Object.entries(SYNTHETIC)) {
    writeFileSync(join(etc, name), content);
    chmodSync(join(etc, name), 0o644);
  }
};

/**
 * What fontconfig knows of the fonts below /usr. Without it, a program that draws text reads all of them and writes
 * what it finds into its own folder, where it would pass for a file that the program made.
 */
const copyFontCache = (directory: string): void => {
  if (!existsSync(FONT_CACHE)) return;
  const copy = join(directory, FONT_CACHE);
  cpSync(FONT_CACHE, copy, { recursive: true, filter: isReadableByAll });
  for (let folder = copy; folder !== directory; folder = dirname(folder)) chmodSync(folder, 0o755);
};

/** What the host keeps from its own users is not for a tenant either. */
const isReadableByAll = (path: string): boolean => {
  const about = lstatSync(path);
  if (about.isSymbolicLink()) return true;
  if (NOT_FOR_TENANTS.test(path)) return false;
  return (about.isFile() || about.isDirectory()) && (about.mode & 0o004) !== 0;
};

/** On a host whose user has that name, languages may be at its home: what is bound there is not to go by the link. */
const makeWay = (directory: string, target: string): void => {
  const link = join(directory, HOME_LINK);
  if (!`${target}/`.startsWith(`/${HOME_LINK}/`)) return;
  if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true) rmSync(link);
};

interface BindOptions {
  readonly directory: string;
  readonly bind: Bind;
  readonly prepared: Set<string>;
}

/** The root is read-only to bubblewrap too, so the mount point must exist in it beforehand. */
const bindArguments = ({ directory, bind, prepared }: BindOptions): string[] => {
  const { source, target } = bind;
  if (target === source && (source === "/usr" || source.startsWith("/usr/"))) return [];
  for (const path of [source, target]) {
    if (!isAbsolute(path) || normalize(path) !== path || path === "/") {
      throw new Error(`Cannot bind "${path}": not a plain absolute path`);
    }
  }
  if (!prepared.has(target)) {
    makeWay(directory, target);
    const inside = join(directory, target);
    makeDirectory(dirname(inside));
    if (statSync(source).isDirectory()) makeDirectory(inside);
    else writeFileSync(inside, "");
    prepared.add(target);
  }
  return ["--ro-bind", source, target];
};
