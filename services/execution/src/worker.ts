// What the service does unasked: it says that this process lives, and takes up what dead processes left.
import type { Clock } from "@syla/kit/clock";
import type { Sql } from "@syla/kit/sql";
import type { Log } from "@syla/kit/log";
import type { ExecutionConfig } from "./config.ts";
import type { Executions } from "./execution.ts";
import { removeInstance, renewInstance } from "./store.ts";

export interface RecoveryOptions {
  readonly sql: Sql;
  readonly executions: Executions;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Pick<ExecutionConfig, "instanceRenewMs">;
}

/** Does it once before it resolves, and then at every interval until it is stopped. */
export async function startRecovery(options: RecoveryOptions): Promise<{ stop(): Promise<void> }> {
  const { sql, executions, instanceId, clock, log, config } = options;
  const stopped = new AbortController();
  const round = async () => {
    await renewInstance(sql, instanceId);
    await executions.recover();
  };
  await round();
  const rounds = (async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(config.instanceRenewMs, stopped.signal).catch(() => undefined);
      if (stopped.signal.aborted) return;
      await round().catch((error: unknown) =>
        log.warn({ error }, "recovery waits for the database"),
      );
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await rounds;
      await removeInstance(sql, instanceId).catch((error: unknown) => {
        log.warn({ error }, "this process could not be taken off the list");
      });
    },
  };
}
