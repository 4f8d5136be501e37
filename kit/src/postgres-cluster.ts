// The cluster of the embedded PostgreSQL: the folder with the data, which initdb makes once.
//
// PostgreSQL refuses to run as root, so under root it runs as another user, who may not be able to pass through a
// parent of the data folder (a home is 0700). The cluster is therefore never named by its path: its processes are
// started in it (the folder is entered before the user changes) and call it /proc/self/cwd.
import { chown, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SylaError } from "./error.ts";
import type { Log } from "./log.ts";
import {
  type ClusterUser,
  cannotRunDatabase,
  findPrograms,
  runProgram,
} from "./postgres-programs.ts";

/** A database cluster on disk. */
export interface Cluster {
  /** The folder with the data; absolute. */
  readonly directory: string;
  /** The folder with the programs `postgres` and `initdb`. */
  readonly programs: string;
  readonly user: ClusterUser;
}

/** The superuser of the cluster, by which everything connects. */
export const clusterRole = "syla";

/** The path by which PostgreSQL's processes, started in the cluster's folder, name it. */
export const clusterPath = "/proc/self/cwd";

const newPrefix = "postgres.new-";

/** Finds the programs and makes the cluster `<dataDirectory>/postgres` if it is missing. */
export async function prepareCluster(options: {
  readonly dataDirectory: string;
  readonly log: Log;
}): Promise<Cluster> {
  const { dataDirectory, log } = options;
  const directory = join(dataDirectory, "postgres");
  const user = await clusterUser(directory);
  const programs = await findPrograms({ user, log });
  await removeHalfMade(dataDirectory);
  if (!(await exists(directory))) await makeCluster({ directory, programs, user }, log);
  return { directory, programs, user };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

// A cluster belongs to the user who made it. A new one of root's belongs to the user `syla`, which an installation
// may have for this alone, or to `nobody`.
async function clusterUser(directory: string): Promise<ClusterUser> {
  const ownUid = process.getuid?.();
  const owner = await stat(directory).catch(() => undefined);
  if (ownUid !== 0) {
    if (owner === undefined || owner.uid === ownUid) return undefined;
    throw cannotRunDatabase(
      `its folder ${directory} belongs to the user ${owner.uid}, this is ${ownUid}`,
    );
  }
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const found = ["syla", "nobody"].map((name) => lines.find((line) => line[0] === name));
  const [, , uid, gid] = found.find((line) => line !== undefined) ?? [];
  if (uid === undefined || gid === undefined) {
    throw cannotRunDatabase("it must not run as root, and there is no user syla or nobody");
  }
  return { uid: Number(uid), gid: Number(gid) };
}

// initdb works in a folder of another name, so that a cluster is there whole or not at all, whenever it is killed.
async function makeCluster(cluster: Cluster, log: Log): Promise<void> {
  const { directory, programs, user } = cluster;
  const parent = dirname(directory);
  const startMs = Date.now();
  const made = await mkdtemp(join(parent, newPrefix));
  if (user !== undefined) await chown(made, user.uid, user.gid);
  const { code, output } = await runProgram(
    join(programs, "initdb"),
    // Sorting by code point, built in: the order of an index never changes with the host's C library. Connections
    // need no password, because only who may enter the folder (0700) reaches the socket in it.
    [
      "--pgdata",
      clusterPath,
      "--username",
      clusterRole,
      "--encoding",
      "UTF8",
      "--auth",
      "trust",
    ].concat(
      ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"],
      ["--no-instructions"],
    ),
    made,
    user,
  );
  if (code !== 0) {
    await rm(made, { recursive: true });
    throw databaseFailed("initdb failed", output);
  }
  await rename(made, directory);
  const handle = await open(parent);
  await handle.sync();
  await handle.close();
  log.info({ durationMs: Date.now() - startMs }, "made the database");
}

async function removeHalfMade(dataDirectory: string): Promise<void> {
  const names = await readdir(dataDirectory);
  for (const name of names.filter((entry) => entry.startsWith(newPrefix))) {
    // An initdb whose platform was killed may still be writing there; it fails when its folder goes.
    await rm(join(dataDirectory, name), { recursive: true, force: true, maxRetries: 10 });
  }
}

/** The error for a database that does not start; the last thing it said goes into its message. */
export function databaseFailed(what: string, output: readonly string[]): SylaError {
  const fatal = output.findLast((line) => /FATAL|PANIC|error:/.test(line)) ?? output.at(-1);
  const full = output.some((line) => line.includes("No space left on device"));
  return new SylaError(
    full ? "storage_full" : "database_unavailable",
    `Cannot start the embedded database: ${what}: ${fatal ?? "it said nothing"}.`,
  );
}
