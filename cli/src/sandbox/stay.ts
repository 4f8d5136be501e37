// While a command is attached to a sandbox, the sandbox stays: what its lifetime is for is that nobody is there.
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Syla } from "@syla/sdk";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a sandbox that was there before stays, at least, after whoever was attached has gone. */
export const attachedLifetimeMs = 300_000;

// A sandbox is looked at again at least this often when a look failed.
const patienceMs = 1_000;

/**
 * Extends a sandbox to so long from now whenever half of that or less is left, until the signal. One that would stay
 * longer is left as it is. That the sandbox has ended is for the caller to find out.
 */
export async function keepSandbox(
  syla: Syla,
  id: string,
  lifetimeMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const leftMs = await extended(syla, id, lifetimeMs, signal).catch(() => 0);
    const waitMs = Math.max(leftMs - lifetimeMs / 2, Math.min(patienceMs, lifetimeMs / 4));
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

async function extended(
  syla: Syla,
  id: string,
  lifetimeMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { expiresAt } = await syla.sandbox.getSandbox({ id }, { signal });
  const leftMs = expiresAt === undefined ? 0 : timestampMs(expiresAt) - Date.now();
  if (leftMs > lifetimeMs / 2) return leftMs;
  await syla.sandbox.extendSandbox({ id, lifetime: durationFromMs(lifetimeMs) }, { signal });
  return lifetimeMs;
}
