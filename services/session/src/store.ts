// Every SQL statement of the session service, one function each; nothing else here knows the database.
import { enumToJson, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Session,
  SessionSchema,
  Session_StatusSchema as StatusSchema,
} from "@syla/contract/syla/session/v1/session";
import { invariant } from "@syla/kit/assert";
import { deadInstance } from "@syla/kit/instances";
import type { Row, Sql } from "@syla/kit/sql";

/** Writes a session as it is. */
export async function writeSession(sql: Sql, instanceId: string, session: Session): Promise<void> {
  await sql.query(
    `insert into sessions (id, status, language, sandbox, end_reason, metadata, instance_id, record)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (id) do update
       set status = excluded.status, end_reason = excluded.end_reason,
           metadata = excluded.metadata, record = excluded.record
       where sessions.status not in ('ENDED', 'LOST')`,
    [
      session.id,
      enumToJson(StatusSchema, session.status),
      session.language,
      session.sandbox,
      session.endReason ?? null,
      JSON.stringify(session.metadata),
      instanceId,
      toBinary(SessionSchema, session),
    ],
    { name: "write_session" },
  );
}

/** Reads one session. */
export async function readSession(sql: Sql, id: string): Promise<Session | undefined> {
  const rows = await sql.query("select record from sessions where id = $1", [id], {
    name: "read_session",
  });
  return rows.map(parseSession)[0];
}

/** Columns by the name that a filter has for them. */
export const filterColumns: Readonly<Record<string, string>> = {
  status: "status",
  language: "language",
  sandbox: "sandbox",
  endReason: "end_reason",
};

/** Takes over the sessions of dead processes. */
export async function takeSessions(
  sql: Sql,
  instanceId: string,
  deadMs: number,
): Promise<Session[]> {
  const rows = await sql.query(
    `update sessions set instance_id = $1
     where status not in ('ENDED', 'LOST') and ${deadInstance("sessions")}
     returning record`,
    [instanceId, deadMs],
  );
  return rows.map(parseSession);
}

/** The session of a row. */
export function parseSession(row: Row): Session {
  const { record } = row;
  invariant(Buffer.isBuffer(record), "the column record holds bytes");
  return fromBinary(SessionSchema, record);
}
