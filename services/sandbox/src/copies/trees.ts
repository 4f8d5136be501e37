// Templates' files as folders, which sandboxes begin with by copy-on-write: what one does not change it shares with all
// others (../../agent/layers.c). Each is made of a blob, once, in a jail, and lies in the data folder as
// `<digest>.<bytes>`. They are a cache: what has none is unpacked for each sandbox, which is slower and otherwise
// the same, as everywhere where the host does not have what it takes.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, chown, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Log } from "@syla/kit/log";
import { TREE_UID, UID_BASE } from "../jail/root.ts";
import type { Blobs } from "./blobs.ts";

export interface TreesOptions {
  readonly directory: string;
  /** syla-agent, which looks whether it can be done, and looks after what tenants named. */
  readonly agentPath: string;
  readonly blobs: Pick<Blobs, "read" | "reserve" | "sizeOf">;
  /** Whether jails can be handed a disk at all. */
  readonly possible: boolean;
  /** Makes in a folder what a blob says; resolves when nobody writes there any more. */
  readonly unpack: (path: string, content: AsyncIterable<Buffer>) => Promise<void>;
  readonly log: Log;
}

/** One that somebody begins with: it stays until they release it. */
export interface Tree {
  readonly path: string;
  readonly release: () => void;
}

interface Kept {
  readonly path: string;
  readonly bytes: number;
  users: number;
  /** Whether its blob is there. */
  named: boolean;
}

const shape = /^([0-9a-f]{64})\.(\d{1,15})$/;
/** A disk that is slow to be written takes longer than anything else that is asked of the agent. */
const agentMsMax = 120_000;
const run = promisify(execFile);

/** All trees of a platform. */
export class Trees {
  readonly #options: TreesOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #making = new Map<string, Promise<void>>();
  readonly #removing = new Set<Promise<void>>();
  #usable = false;
  /** One after the other is made: each takes the disk, and a jail. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(options: TreesOptions) {
    this.#options = options;
  }

  /** Opens the folder: what lies there is kept if a blob of that name is, and the rest removed. Tries what it takes. */
  static async open(options: TreesOptions): Promise<Trees> {
    const trees = new Trees(options);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(options.directory)) {
      await trees.#find(name).catch((error: unknown) => trees.#warn("is not removed", name, error));
    }
    if (options.possible) trees.#usable = await trees.#probe();
    return trees;
  }

  /** The tree of a blob; where there is none, one is made for those who come later. */
  use(digest: string): Tree | undefined {
    const kept = this.#usable ? this.#kept.get(digest) : undefined;
    if (kept === undefined) {
      void this.make(digest);
      return undefined;
    }
    kept.users += 1;
    let used = true;
    const release = (): void => {
      if (!used) return;
      used = false;
      kept.users -= 1;
      if (kept.users === 0 && !kept.named) this.#remove(digest, kept);
    };
    return { path: kept.path, release };
  }

  /** Resolves when the tree of a blob is there, or could not be made, which the log tells. */
  make(digest: string): Promise<void> {
    const kept = this.#kept.get(digest);
    if (kept !== undefined) kept.named = true;
    if (kept !== undefined || !this.#usable || this.#closed) return Promise.resolve();
    const making = this.#making.get(digest);
    if (making !== undefined) return making;
    const made = this.#turn
      .then(() => (this.#closed ? undefined : this.#make(digest)))
      .catch((error: unknown) => this.#warn("is not made; its sandboxes are slower", digest, error))
      .finally(() => this.#making.delete(digest));
    this.#turn = made;
    this.#making.set(digest, made);
    return made;
  }

  /** The blob is gone: so is the tree when nobody uses it any more. */
  async forget(digest: string): Promise<void> {
    await this.#making.get(digest);
    const kept = this.#kept.get(digest);
    if (kept === undefined) return;
    kept.named = false;
    if (kept.users === 0) this.#remove(digest, kept);
  }

  /** Resolves when nothing is made or removed any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
    await Promise.all(this.#removing);
  }

  async #find(name: string): Promise<void> {
    const { directory, blobs } = this.#options;
    const path = join(directory, name);
    const [, digest = "", size = ""] = shape.exec(name) ?? [];
    const bytes = Number(size);
    const about = await stat(join(path, "work")).catch(() => undefined);
    if (blobs.sizeOf(digest) === undefined || about?.uid !== TREE_UID) return this.#shed(name);
    this.#kept.set(digest, { path, bytes, users: 0, named: true });
    blobs.reserve(bytes);
  }

  async #probe(): Promise<boolean> {
    const { directory, agentPath, log } = this.#options;
    try {
      await probeTrees(directory, agentPath);
      return true;
    } catch (error) {
      const why = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : error;
      log.info({ why }, "what templates bring is unpacked for each sandbox: no copy-on-write here");
      return false;
    }
  }

  async #make(digest: string): Promise<void> {
    const { directory, agentPath, blobs, unpack } = this.#options;
    const blobBytes = blobs.sizeOf(digest);
    const content = await blobs.read(digest);
    if (blobBytes === undefined || content === undefined) return;
    const name = `.${randomUUID()}`;
    const path = join(directory, name);
    let reserved = 0;
    const reserve = (bytes: number): void => {
      blobs.reserve(bytes);
      reserved += bytes;
    };
    try {
      reserve(blobBytes);
      await layOut(path);
      await unpack(path, content);
      const { stdout } = await run(agentPath, ["shed", "settle", path], { timeout: agentMsMax });
      const bytes = Number(stdout);
      reserve(bytes - blobBytes);
      const whole = join(directory, `${digest}.${bytes}`);
      await rename(path, whole);
      this.#kept.set(digest, { path: whole, bytes, users: 0, named: true });
    } catch (error) {
      await this.#shed(name).finally(() => blobs.reserve(-reserved));
      throw error;
    } finally {
      content.destroy(); // what was not read to its end holds a descriptor
    }
  }

  /** From here on its name is free. */
  #remove(digest: string, { path, bytes }: Kept): void {
    this.#kept.delete(digest);
    const name = `.${randomUUID()}`;
    const removed = rename(path, join(this.#options.directory, name))
      .then(() => this.#shed(name))
      .catch((error: unknown) => this.#warn("is not removed", digest, error))
      .finally(() => {
        this.#options.blobs.reserve(-bytes);
        this.#removing.delete(removed);
      });
    this.#removing.add(removed);
  }

  #shed(name: string): Promise<void> {
    return shed(this.#options, name);
  }

  #warn(what: string, tree: string, error: unknown): void {
    this.#options.log.warn({ error, tree }, `the tree of a template ${what}`);
  }
}

/** Finds out whether there can be trees in a folder, by stacking a disk on one; rejects with what the agent said. */
export async function probeTrees(directory: string, agentPath: string): Promise<void> {
  const name = `.${randomUUID()}`;
  await mkdir(join(directory, name), { mode: 0o700 });
  try {
    const argv = ["layers-probe", join(directory, name), String(TREE_UID), String(UID_BASE)];
    await run(agentPath, argv, { timeout: agentMsMax });
  } finally {
    await shed({ directory, agentPath }, name);
  }
}

async function shed(
  { directory, agentPath }: Pick<TreesOptions, "directory" | "agentPath">,
  name: string,
): Promise<void> {
  await run(agentPath, ["shed", "remove", directory, name], { timeout: agentMsMax });
}

/** What each jail has before anything is unpacked in it, and whose. */
async function layOut(path: string): Promise<void> {
  await mkdir(path, { mode: 0o755 });
  for (const [name, mode] of [
    ["work", 0o755],
    ["tmp", 0o1777],
  ] as const) {
    await mkdir(join(path, name));
    await chown(join(path, name), TREE_UID, TREE_UID);
    await chmod(join(path, name), mode); // last, as a change of owner takes bits away
  }
  await chmod(path, 0o755); // whatever the umask says
}
