// Secrets of the installation that every process of it must share, such as the key that signs page tokens. They are
// made by chance when first asked for and kept in the database, which is what all processes share.
import { randomBytes } from "node:crypto";
import { invariant } from "./assert.ts";
import type { Sql } from "./sql.ts";

const keyBytes = 32;

/**
 * The installation's key (32 random bytes) of a name, made the first time. `sql` is that of a schema of its own, to
 * which the table `keys` is added.
 */
export async function installationKey(sql: Sql, name: string): Promise<Uint8Array> {
  return sql.transaction(async (queries) => {
    await queries.query("select pg_advisory_xact_lock(hashtextextended('installation key', 0))");
    await queries.query(
      "create table if not exists keys (name text primary key, key bytea not null)",
    );
    await queries.query("insert into keys (name, key) values ($1, $2) on conflict do nothing", [
      name,
      randomBytes(keyBytes),
    ]);
    const rows = await queries.query("select key from keys where name = $1", [name]);
    const key = rows[0]?.["key"];
    invariant(key instanceof Uint8Array && key.length === keyBytes, `the key ${name} is stored`);
    return key;
  });
}
