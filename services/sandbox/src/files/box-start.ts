// Starts the agent's `box` in a jail that stays: a process like the tenant's own, with the tenant's rights.
import type { StartBox } from "./box.ts";
import type { CgroupSlot } from "../cgroup/cgroup.ts";
import type { Channels } from "../jail/channels.ts";
import { DEFAULT_ENVIRONMENT, processLimitsOf } from "../jail/step.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";

/** How `box` is started in the jail of these channels. */
export function boxStarter(
  channels: Channels,
  slot: Pick<CgroupSlot, "rlimits" | "limits">,
): StartBox {
  const limits = processLimitsOf(slot, {});
  const none = { terminal: undefined, words: false, fork: false };
  return (argv, options, listener) => {
    const place = { argv, env: DEFAULT_ENVIRONMENT, directory: WORK_DIRECTORY };
    return channels.start({ ...place, ...limits, ...none, ...options }, listener);
  };
}
