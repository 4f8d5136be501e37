/**
 * The host as discovery sees it: which programs lie in its PATH, and what they say of themselves.
 * Only here does the sandbox run a program outside of a jail: interpreters and compilers of the
 * person who installed Syla, with arguments of our own, never a tenant's byte.
 */

import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, isAbsolute, join, relative } from "node:path";

import type { Bind } from "./language.ts";

const STANDARD_PLACES = ["/usr/local/bin", "/usr/bin", "/bin"];
/** Seen in every jail at the same place. */
const SYSTEM_PLACES = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];
/** Folders that a jail fills itself: a host path below one cannot be bound at its own place. */
const JAIL_PLACES = ["/work", "/tmp", "/proc", "/dev", "/run"];
const ASK_MS_MAX = 10_000;
const ANSWER_BYTES_MAX = 64 * 1024;

export interface Host {
  readonly home: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where things prepared once are kept. */
  readonly cacheDirectory: string;
  /** All executables with these names, in the order of the names within each folder of PATH. */
  readonly executables: (names: readonly string[]) => string[];
  /** What a program prints, or null when it fails, hangs or prints nothing. */
  readonly ask: (binary: string, args: readonly string[]) => Promise<string | null>;
}

export interface HostOptions {
  readonly cacheDirectory: string;
  readonly signal: AbortSignal;
  /** Default: this process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export function openHost(options: HostOptions): Host {
  const { cacheDirectory, signal, environment = process.env } = options;
  const folders = [...(environment["PATH"] ?? "").split(delimiter), ...STANDARD_PLACES];
  const searchPath = [...new Set(folders.filter((folder) => isAbsolute(folder)))];
  return {
    home: environment["HOME"] ?? homedir(),
    environment,
    cacheDirectory,
    executables: (names) =>
      searchPath.flatMap((folder) => names.map((name) => join(folder, name))).filter(isExecutable),
    ask: (binary, args) => ask({ binary, args, signal, environment }),
  };
}

interface AskOptions {
  readonly binary: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  readonly environment: HostOptions["environment"];
}

/** Some tools print their version on stderr, so that is the answer where stdout has none. */
function ask({ binary, args, signal, environment }: AskOptions): Promise<string | null> {
  const limits = { timeout: ASK_MS_MAX, maxBuffer: ANSWER_BYTES_MAX };
  // From / because version managers let a file in the working directory choose the version.
  const options = { ...limits, signal, cwd: "/", env: { ...environment } };
  return new Promise((resolve) => {
    execFile(binary, [...args], options, (error, stdout, stderr) => {
      const answer = stdout.trim() === "" ? stderr.trim() : stdout.trim();
      resolve(error === null && answer !== "" ? answer : null);
    });
  });
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Folders below a folder, none when it does not exist. */
export function foldersIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => !entry.isFile()).map((entry) => join(folder, entry.name));
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}

/** Whether every jail sees this path without a bind. */
function isSystemPath(path: string): boolean {
  return SYSTEM_PLACES.some((folder) => isInside(path, folder));
}

/** The real file behind links, or the path itself when there is none. */
export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

export interface Placed {
  readonly binary: string;
  readonly home: string;
  readonly hostHome: string;
  readonly binds: readonly Bind[];
}

export interface Place {
  readonly binary: string;
  /** The folder that holds the whole tool. */
  readonly home: string;
  /** Where it goes in the jail; null for a tool that only works where it was installed. */
  readonly target: string | null;
}

/**
 * Where a tool is inside the jail: a tool of the system at its own place, another one at `target`,
 * so that a program does not learn where the host keeps it. Null when it cannot be placed.
 */
export function place(tool: Place): Placed | null {
  const [binary, home] = [realPath(tool.binary), realPath(tool.home)];
  if (isSystemPath(binary) && isSystemPath(home)) {
    return { binary, home, hostHome: home, binds: [] };
  }
  if (!isInside(binary, home) || home === dirname(home)) return null;
  const target = tool.target ?? home;
  if (JAIL_PLACES.some((folder) => isInside(target, folder))) return null;
  return {
    binary: join(target, relative(home, binary)),
    home: target,
    hostHome: home,
    binds: [{ source: home, target }],
  };
}
