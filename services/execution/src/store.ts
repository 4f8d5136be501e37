// Every SQL statement of the execution service, one function each; nothing else here knows the database.
import { enumToJson, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Execution,
  type ExecutionEvent,
  ExecutionEventSchema,
  ExecutionSchema,
  Execution_StatusSchema as StatusSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { type ExecutionSpec, ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { invariant } from "@syla/kit/assert";
import { encodeByteaArray } from "@syla/kit/bytea-array";
import { deadInstance } from "@syla/kit/instances";
import type { Row, Sql } from "@syla/kit/sql";

/** An execution as it is to be written, with events that are not written yet. */
export interface HistoryItem {
  readonly execution: Execution;
  /** What to run, while it is PENDING. */
  readonly spec: ExecutionSpec | undefined;
  readonly events: readonly ExecutionEvent[];
}

/**
 * Writes executions and events, all or nothing, in one statement. An execution that has ended is not changed, and an
 * event that is there stays, so the same items may be written again.
 */
export async function insertHistory(
  sql: Sql,
  instanceId: string,
  items: readonly HistoryItem[],
): Promise<void> {
  // One statement may touch a row once: of several states of one execution in a batch, the last counts.
  const latest = [...new Map(items.map((item) => [item.execution.id, item])).values()];
  const events = items.flatMap(({ execution, events: own }) =>
    own.map((event) => ({ id: execution.id, event })),
  );
  await sql.query(
    `with written as (
       insert into executions (id, status, language, error_type, metadata, spec, record, instance_id)
       select id, status, language, error_type, metadata, spec, record, $8
       from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], $7::bytea[])
         as item (id, status, language, error_type, metadata, spec, record)
       on conflict (id) do update
         set status = excluded.status, error_type = excluded.error_type, spec = excluded.spec,
             record = excluded.record
         where executions.status in ('PENDING', 'RUNNING')
     )
     insert into execution_events (execution_id, number, event)
     select * from unnest($9::uuid[], $10::integer[], $11::bytea[])
     on conflict do nothing`,
    [
      latest.map(({ execution }) => execution.id),
      latest.map(({ execution }) => enumToJson(StatusSchema, execution.status)),
      latest.map(({ execution }) => execution.language),
      latest.map(({ execution }) => execution.errorType ?? null),
      latest.map(({ execution }) => JSON.stringify(execution.metadata)),
      encodeByteaArray(
        latest.map(({ spec }) => (spec === undefined ? null : toBinary(ExecutionSpecSchema, spec))),
      ),
      encodeByteaArray(latest.map(({ execution }) => toBinary(ExecutionSchema, execution))),
      instanceId,
      events.map(({ id }) => id),
      events.map(({ event }) => event.number),
      encodeByteaArray(events.map(({ event }) => toBinary(ExecutionEventSchema, event))),
    ],
    { name: "insert_history" },
  );
}

/** About how many bytes of output and files the events of an item hold. */
export function itemBytes({ events }: HistoryItem): number {
  return events.reduce((sum, { event }) => {
    if (event.case === "stdout" || event.case === "stderr") {
      return sum + (event.value.data.value?.length ?? 0);
    }
    return event.case === "artifact" ? sum + event.value.contentBase64.length : sum;
  }, 0);
}

/** Reads one execution, without output. */
export async function readExecution(sql: Sql, id: string): Promise<Execution | undefined> {
  const rows = await sql.query("select record from executions where id = $1", [id], {
    name: "read_execution",
  });
  return rows.map(parseExecution)[0];
}

/** Reads events of an execution after a number, in order; all of them without a limit. */
export async function readEvents(
  sql: Sql,
  id: string,
  after: number,
  limit: number | undefined,
): Promise<ExecutionEvent[]> {
  const rows = await sql.query(
    `select event from execution_events where execution_id = $1 and number > $2
     order by number limit $3`,
    [id, after, limit ?? null],
    { name: "read_events" },
  );
  return rows.map((row) => fromBinary(ExecutionEventSchema, blob(row, "event")));
}

/** Columns by the name that a filter has for them. */
export const filterColumns: Readonly<Record<string, string>> = {
  status: "status",
  language: "language",
  errorType: "error_type",
};

/** Takes over the RUNNING executions of dead processes, with the number of their last event. */
export async function takeRunning(
  sql: Sql,
  instanceId: string,
  deadMs: number,
): Promise<{ execution: Execution; eventCount: number }[]> {
  const rows = await sql.query(
    `update executions set instance_id = $1 where status = 'RUNNING' and ${deadInstance("executions")}
     returning record, (select coalesce(max(number), 0) from execution_events
                        where execution_id = executions.id) as event_count`,
    [instanceId, deadMs],
  );
  return rows.map((row) => ({
    execution: parseExecution(row),
    eventCount: Number(row["event_count"]),
  }));
}

/** Takes over the PENDING executions of dead processes, oldest first. */
export async function adoptPending(
  sql: Sql,
  instanceId: string,
  deadMs: number,
): Promise<{ execution: Execution; spec: ExecutionSpec }[]> {
  const rows = await sql.query(
    `with adopted as (
       update executions set instance_id = $1 where status = 'PENDING' and ${deadInstance("executions")}
       returning id, record, spec)
     select record, spec from adopted order by id`,
    [instanceId, deadMs],
  );
  return rows.map((row) => ({
    execution: parseExecution(row),
    spec: fromBinary(ExecutionSpecSchema, blob(row, "spec")),
  }));
}

/** The execution of a row, without output. */
export function parseExecution(row: Row): Execution {
  return fromBinary(ExecutionSchema, blob(row, "record"));
}

function blob(row: Row, column: string): Buffer {
  const value = row[column];
  invariant(Buffer.isBuffer(value), `the column ${column} holds bytes`);
  return value;
}
