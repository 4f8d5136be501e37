// Every SQL statement about snapshots, one function each.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Snapshot, SnapshotSchema } from "@syla/contract/syla/sandbox/v1/snapshot";
import { invariant } from "@syla/kit/assert";
import type { Row, Sql } from "@syla/kit/sql";

/** Writes a new snapshot. */
export async function writeSnapshot(sql: Sql, snapshot: Snapshot): Promise<void> {
  const { id, sandbox, digest, metadata } = snapshot;
  await sql.query(
    "insert into snapshots (id, sandbox, digest, metadata, record) values ($1, $2, $3, $4, $5)",
    [id, sandbox, digest, JSON.stringify(metadata), toBinary(SnapshotSchema, snapshot)],
  );
}

/** Reads one snapshot. */
export async function readSnapshot(sql: Sql, id: string): Promise<Snapshot | undefined> {
  const rows = await sql.query("select record from snapshots where id = $1", [id]);
  return rows.map(parseSnapshot)[0];
}

/** Removes one, and answers it as it was. */
export async function removeSnapshot(sql: Sql, id: string): Promise<Snapshot | undefined> {
  const rows = await sql.query("delete from snapshots where id = $1 returning record", [id]);
  return rows.map(parseSnapshot)[0];
}

/** What snapshots and templates name, once for each of them. */
export async function readDigests(sql: Sql): Promise<string[]> {
  const rows = await sql.query(
    `select digest from snapshots
     union all select digest from templates where digest is not null`,
  );
  return rows.map(({ digest }) => {
    invariant(typeof digest === "string", "the column digest holds text");
    return digest;
  });
}

/** Columns by the name that a filter has for them. */
export const snapshotColumns: Readonly<Record<string, string>> = { sandbox: "sandbox::text" };

/** The snapshot of a row. */
export function parseSnapshot({ record }: Row): Snapshot {
  invariant(Buffer.isBuffer(record), "the column record holds bytes");
  return fromBinary(SnapshotSchema, record);
}
