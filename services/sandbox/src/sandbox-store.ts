// Every SQL statement of the sandbox service, one function each; nothing else here knows the database.
import { enumToJson, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Sandbox,
  SandboxSchema,
  Sandbox_StatusSchema as StatusSchema,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { invariant } from "@syla/kit/assert";
import { deadInstance } from "@syla/kit/instances";
import type { Row, Sql } from "@syla/kit/sql";

/** Writes a sandbox as it is. */
export async function writeSandbox(sql: Sql, instanceId: string, sandbox: Sandbox): Promise<void> {
  await sql.query(
    `insert into sandboxes (id, status, language, end_reason, metadata, instance_id, record)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (id) do update
       set status = excluded.status, end_reason = excluded.end_reason, record = excluded.record
       where sandboxes.status in ('RUNNING', 'PAUSED')`,
    [
      sandbox.id,
      enumToJson(StatusSchema, sandbox.status),
      sandbox.language,
      sandbox.endReason ?? null,
      JSON.stringify(sandbox.metadata),
      instanceId,
      toBinary(SandboxSchema, sandbox),
    ],
    { name: "write_sandbox" },
  );
}

/** Reads one sandbox. */
export async function readSandbox(sql: Sql, id: string): Promise<Sandbox | undefined> {
  const rows = await sql.query("select record from sandboxes where id = $1", [id], {
    name: "read_sandbox",
  });
  return rows.map(parseSandbox)[0];
}

/** Columns by the name that a filter has for them. */
export const filterColumns: Readonly<Record<string, string>> = {
  status: "status",
  language: "language",
  endReason: "end_reason",
};

/** Takes over the sandboxes of dead processes. */
export async function takeSandboxes(
  sql: Sql,
  instanceId: string,
  deadMs: number,
): Promise<Sandbox[]> {
  const rows = await sql.query(
    `update sandboxes set instance_id = $1
     where status in ('RUNNING', 'PAUSED') and ${deadInstance("sandboxes")}
     returning record`,
    [instanceId, deadMs],
  );
  return rows.map(parseSandbox);
}

/** The sandbox of a row. */
export function parseSandbox(row: Row): Sandbox {
  const { record } = row;
  invariant(Buffer.isBuffer(record), "the column record holds bytes");
  return fromBinary(SandboxSchema, record);
}
