// Platform processes that share a database, in a table `instances (id uuid, renewed_at timestamptz)` of each schema
// that needs to know whether who has a row still lives. One that stops renewing is dead, by the database's clock.
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Sql } from "./sql.ts";

export interface InstanceOptions {
  readonly sql: Sql;
  readonly instanceId: string;
  /** How often it says that it lives, in milliseconds. */
  readonly renewMs: number;
  /** Takes up what dead processes left. */
  readonly recover: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Says that this process lives and recovers, once before it resolves, and then at every interval until stopped. */
export async function keepInstance(options: InstanceOptions): Promise<{ stop(): Promise<void> }> {
  const { sql, instanceId, renewMs, recover, clock, log } = options;
  const stopped = new AbortController();
  const round = async () => {
    await renewInstance(sql, instanceId);
    await recover();
  };
  await round();
  const rounds = (async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(renewMs, stopped.signal).catch(() => undefined);
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

/** A condition on rows of a table with an `instance_id`; $1 is this process, $2 how long silence means death, in ms. */
export function deadInstance(table: string): string {
  return `instance_id <> $1 and not exists (
    select 1 from instances
    where instances.id = ${table}.instance_id
      and instances.renewed_at > now() - $2 * interval '1 millisecond')`;
}

/** Says that this process lives, and forgets processes that have not said so for a day. */
async function renewInstance(sql: Sql, instanceId: string): Promise<void> {
  await sql.query(
    `with forgotten as (delete from instances where renewed_at < now() - interval '1 day')
     insert into instances (id) values ($1) on conflict (id) do update set renewed_at = now()`,
    [instanceId],
    { name: "renew_instance" },
  );
}

/** Says that this process is gone. */
async function removeInstance(sql: Sql, instanceId: string): Promise<void> {
  await sql.query("delete from instances where id = $1", [instanceId]);
}
