// A sandbox's first files: what it begins with is unpacked in its jail, before anything else runs there.
import { constants } from "node:os";
import { SylaError } from "@syla/kit/error";
import { boxStarter } from "../files/box-start.ts";
import type { CgroupSlot } from "../cgroup/cgroup.ts";
import type { Channels } from "../jail/channels.ts";
import type { Origin } from "./origin.ts";
import { CopyError, unpackTree } from "./tree-copy.ts";

const full: ReadonlySet<number> = new Set([constants.errno.ENOSPC, constants.errno.EDQUOT]);

/** Resolves when all files are there; throws `sandbox_disk_full` or `snapshot_failed` when they cannot be. */
export async function unpackOrigin(
  channels: Channels,
  slot: Pick<CgroupSlot, "rlimits" | "limits">,
  { content }: Origin,
): Promise<void> {
  try {
    await unpackTree(boxStarter(channels, slot), content);
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
