// Stops everything in a control group where it is, and lets it go on. Version 2 has it in each group; version 1 as a
// controller of its own, with another word for the same.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const waitMsMax = 5000;
const waitMs = 1;

/** Resolves when nothing in the group runs any more, or when it may again. */
export async function freezeGroup(directory: string, frozen: boolean): Promise<void> {
  const isV1 = existsSync(join(directory, "freezer.state"));
  if (isV1) writeFileSync(join(directory, "freezer.state"), frozen ? "FROZEN" : "THAWED");
  else writeFileSync(join(directory, "cgroup.freeze"), frozen ? "1" : "0");
  const until = performance.now() + waitMsMax;
  while (isFrozen(directory, isV1) !== frozen) {
    if (performance.now() > until) throw new Error("A control group does not come to a stand");
    await sleep(waitMs);
  }
}

/** Lets what a platform left frozen go on, so that it can be ended: on version 1 not even SIGKILL ends it before. */
export function thawGroup(directory: string): void {
  const file = join(directory, "freezer.state");
  if (existsSync(file)) writeFileSync(file, "THAWED");
}

function isFrozen(directory: string, isV1: boolean): boolean {
  if (isV1) return readFileSync(join(directory, "freezer.state"), "utf8").trim() === "FROZEN";
  return /^frozen 1$/m.test(readFileSync(join(directory, "cgroup.events"), "utf8"));
}
