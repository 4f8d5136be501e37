// Keeps a kernel while somebody is connected to it: its session is not idle, and the sandbox that it is in does not
// end, whoever made that.
import { durationFromMs, durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Session, SessionService } from "@syla/contract/syla/session/v1/session";
import type { Client } from "@syla/kit/client";

/** What it takes to keep a kernel. */
export interface KeepOptions {
  readonly sessions: Client<typeof SessionService>;
  readonly sandboxes: Client<typeof SandboxService>;
}

const everyMsMax = 60_000;
const everyMsMin = 500;
/** How long a sandbox is to stay at least. */
const leastMs = 300_000;

/** Begins to keep a kernel; answers how to stop. */
export function keepKernel(options: KeepOptions, session: Session): () => void {
  const { id, sandbox, idleTimeout } = session;
  const keep = () => {
    // One that is gone tells so by its events.
    void prolong(options, id, sandbox).catch(() => undefined);
  };
  keep();
  const idleMs = idleTimeout === undefined ? everyMsMax : durationMs(idleTimeout);
  const everyMs = Math.max(everyMsMin, Math.min(everyMsMax, idleMs / 3));
  const timer = setInterval(keep, everyMs).unref();
  return () => clearInterval(timer);
}

async function prolong(
  { sessions, sandboxes }: KeepOptions,
  id: string,
  sandbox: string,
): Promise<void> {
  await sessions.updateSession({ id });
  const { expiresAt } = await sandboxes.getSandbox({ id: sandbox });
  // It is never made shorter.
  if (expiresAt !== undefined && timestampMs(expiresAt) - Date.now() > leastMs) return;
  await sandboxes.extendSandbox({ id: sandbox, lifetime: durationFromMs(leastMs) });
}
