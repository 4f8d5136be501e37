// The data folder of an installation, held by one process at a time. The hold is a kernel lock on a file of it, so it
// ends with its process however that ends: there is no stale lock to judge, and no race between two that judge.
//
// Node has no flock; SQLite, which is part of Node, takes such a lock (fcntl, exclusive) on any file it opens.
// Rejected:
// a file with a pid (two starters can both find it stale, pids are reused and mean nothing across containers), and a
// Unix socket (the same race when it is replaced; an abstract one is not seen from another network namespace).
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SylaError } from "./error.ts";

/** Which process holds a data folder. */
export interface Owner {
  readonly pid: number;
  /** Where it serves; undefined until it does. */
  readonly url: string | undefined;
}

/** A data folder, held until `close`. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string;
  /** Tells others where this process serves. */
  announce(url: string): Promise<void>;
  /** Lets go; a second call does nothing. */
  close(): Promise<void>;
}

const lockFile = "lock";
const ownerFile = "platform.json";

/**
 * Makes the folder if it is missing (readable by this user only) and takes hold of it. Throws `already_running`,
 * naming the process and its URL, when another process holds it.
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const directory = resolve(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lock = takeLock(join(directory, lockFile));
  if (lock === undefined) throw alreadyRunning(directory, await readOwner(directory));
  await writeOwner(directory, { pid: process.pid, url: undefined });
  let open = true;
  return {
    path: directory,
    announce: (url) => writeOwner(directory, { pid: process.pid, url }),
    close: async () => {
      if (!open) return;
      open = false;
      await rm(join(directory, ownerFile), { force: true });
      lock.close();
    },
  };
}

/** Who holds a data folder, as its holder last told; undefined when nobody does. */
export async function findOwner(path: string): Promise<Owner | undefined> {
  const directory = resolve(path);
  const owner = await readOwner(directory);
  if (owner === undefined) return undefined;
  const lock = takeLock(join(directory, lockFile));
  lock?.close();
  return lock === undefined ? owner : undefined;
}

function takeLock(file: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    // Nothing is ever written, so there is nothing to keep a journal file for.
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (isLocked(error)) return undefined;
    throw error;
  }
}

const sqliteBusy = 5;

function isLocked(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === sqliteBusy;
}

async function writeOwner(directory: string, owner: Owner): Promise<void> {
  const file = join(directory, ownerFile);
  await writeFile(`${file}.new`, JSON.stringify(owner), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function readOwner(directory: string): Promise<Owner | undefined> {
  try {
    return parseOwner(JSON.parse(await readFile(join(directory, ownerFile), "utf8")));
  } catch {
    return undefined;
  }
}

function parseOwner(value: unknown): Owner | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, url } = value as { pid?: unknown; url?: unknown };
  if (typeof pid !== "number") return undefined;
  return { pid, url: typeof url === "string" ? url : undefined };
}

function alreadyRunning(directory: string, owner: Owner | undefined): SylaError {
  const who = owner === undefined ? "another process" : `process ${owner.pid}`;
  const where = owner?.url === undefined ? "" : ` and serves ${owner.url}`;
  return new SylaError(
    "already_running",
    `Cannot use the data folder ${directory}: ${who} holds it${where}.`,
  );
}
