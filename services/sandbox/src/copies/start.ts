// How a sandbox's jail comes to have the files that it begins with: it is made on a tree, which all sandboxes of a
// template share until they write; or the files are unpacked in it before anything else runs there.
import { constants } from "node:os";
import { SylaError } from "@syla/kit/error";
import type { Log } from "@syla/kit/log";
import { boxStarter } from "../files/box-start.ts";
import type { Channels } from "../jail/channels.ts";
import type { JailRequest, Jails, WarmJail } from "../jail/jails.ts";
import type { Lease } from "../jail/pool.ts";
import type { Origin } from "./origin.ts";
import { CopyError, unpackTree } from "./tree-copy.ts";
import type { Tree } from "./trees.ts";

export interface StartOptions {
  readonly jails: Jails;
  /** How many files, folders and links a disk may have. */
  readonly entriesMax: number;
  readonly log: Log;
}

/** A jail that waits for work, with all that it begins with. */
export interface Started {
  readonly lease: Lease<WarmJail>;
  readonly channels: Channels;
}

const full: ReadonlySet<number> = new Set([constants.errno.ENOSPC, constants.errno.EDQUOT]);
/** A tree is made by one process; it needs no shared memory. */
const makerPids = 16;
const makerDiskBytes = 65_536;

/** Throws `sandbox_disk_full` or `snapshot_failed` when the files cannot be there. */
export async function startJail(
  options: StartOptions,
  request: JailRequest,
  origin: Origin | undefined,
): Promise<Started> {
  const { jails, entriesMax } = options;
  await jails.usable();
  const tree = origin?.takeTree();
  const onTree = tree && (await leaseOnTree(options, request, tree));
  if (onTree !== undefined) return { lease: onTree, channels: onTree.slot.jail.keep() };
  const lease = await readyLease(jails, request);
  const channels = lease.slot.jail.keep();
  try {
    if (origin !== undefined) await unpackOrigin({ lease, channels }, origin, entriesMax);
  } catch (error) {
    await lease.release(false);
    throw error;
  }
  return { lease, channels };
}

/** Makes a tree of what a blob says: a jail writes it, in which nothing else runs. */
export async function makeTree(
  { jails, entriesMax }: StartOptions,
  { language, limits }: Pick<JailRequest, "language" | "limits">,
  path: string,
  content: AsyncIterable<Buffer>,
): Promise<void> {
  await jails.usable();
  const lease = await jails.takeOn(
    { path, use: "make" },
    { language, limits: { ...limits, pids: makerPids }, diskBytes: makerDiskBytes, stays: true },
  );
  if (lease === undefined) throw new Error("Cannot make a tree: there is no zygote.");
  try {
    await lease.slot.jail.ready;
    await unpackTree(boxStarter(lease.slot.jail.keep(), lease.slot.slot), content, entriesMax);
  } finally {
    await lease.release(false);
  }
}

/** The tree goes with the lease; undefined when there is no such jail, which is then to be made in the other way. */
async function leaseOnTree(
  { jails, log }: StartOptions,
  request: JailRequest,
  tree: Tree,
): Promise<Lease<WarmJail> | undefined> {
  let lease: Lease<WarmJail> | undefined;
  try {
    lease = await jails.takeOn({ path: tree.path, use: "begin" }, request);
    await lease?.slot.jail.ready;
  } catch (error) {
    log.warn({ error }, "a sandbox could not be made on a template's tree, and is unpacked");
    await lease?.release(false);
    lease = undefined;
  }
  if (lease === undefined) {
    tree.release();
    return undefined;
  }
  const { slot, warm } = lease;
  const onTree = lease;
  return { slot, warm, release: (clean) => onTree.release(clean).finally(() => tree.release()) };
}

async function unpackOrigin(
  { lease, channels }: Started,
  origin: Origin,
  entriesMax: number,
): Promise<void> {
  try {
    const start = boxStarter(channels, lease.slot.slot);
    await unpackTree(start, await origin.content(), entriesMax);
  } catch (error) {
    if (!(error instanceof CopyError)) throw error;
    if (full.has(error.errno)) {
      throw new SylaError(
        "sandbox_disk_full",
        "Cannot make the sandbox: what it begins with does not fit on its disk.",
      );
    }
    const why = `error ${error.errno}`;
    throw new SylaError("snapshot_failed", `Cannot unpack what the sandbox begins with: ${why}.`);
  }
}

/** A jail that waits for work; one that died before is replaced once by one that depends on nothing. */
async function readyLease(jails: Jails, request: JailRequest): Promise<Lease<WarmJail>> {
  const first = jails.take(request);
  try {
    await first.slot.jail.ready;
    return first;
  } catch {
    await first.release(false);
  }
  const second = jails.takeFresh(request);
  try {
    await second.slot.jail.ready;
    return second;
  } catch (cause) {
    await second.release(false);
    throw new SylaError("internal", "The sandbox's jail could not be made.", { cause });
  }
}
