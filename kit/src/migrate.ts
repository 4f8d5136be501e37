// Brings a schema up to date by plain SQL files, `0001_<what>.sql` and on, each in a transaction that also records it.
// Processes that start together take turns by an advisory lock. What was applied is never changed: a file whose
// checksum differs from the recorded one, or a record without a file, means another version made this schema.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { SylaError } from "./error.ts";
import type { Log } from "./log.ts";
import type { Queries, Sql } from "./sql.ts";

export interface MigrateOptions {
  readonly sql: Sql;
  /** Made if it is missing; its own name, checked by the caller. */
  readonly schema: string;
  /** The folder of the files; without it the schema is only made. */
  readonly migrations: URL | undefined;
  readonly log: Log;
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly text: string;
  /** SHA-256 of the text, hexadecimal. */
  readonly checksum: string;
}

const fileShape = /^(\d{4})_[a-z0-9_]+\.sql$/;

/** Applies what is missing. Throws `database_mismatch` when what was applied is not what the files say. */
export async function migrate(options: MigrateOptions): Promise<void> {
  const { sql, schema, log } = options;
  const migrations =
    options.migrations === undefined ? [] : await readMigrations(options.migrations);
  await sql.transaction((queries) => prepareSchema(queries, schema));
  for (;;) {
    const applied = await sql.transaction((queries) => applyNext(queries, schema, migrations));
    if (applied === undefined) return;
    log.info({ schema, migration: applied.name }, "migrated the database");
  }
}

// Held to the end of the transaction.
async function takeTurn(queries: Queries, schema: string): Promise<void> {
  // Waiting for one's turn and making an index may take long; they are bounded by the platform's own start.
  await queries.query("set local statement_timeout = 0");
  await queries.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [
    `migrate ${schema}`,
  ]);
}

async function prepareSchema(queries: Queries, schema: string): Promise<void> {
  await takeTurn(queries, schema);
  const rows = await queries.query("select to_regclass($1) as found", [`"${schema}".migrations`]);
  if (rows[0]?.["found"] !== null) return;
  await queries.query(`create schema if not exists "${schema}"`);
  await queries.query(
    `create table "${schema}".migrations (
       number integer primary key,
       name text not null,
       checksum text not null,
       applied_at timestamptz not null default now())`,
  );
}

async function applyNext(
  queries: Queries,
  schema: string,
  migrations: readonly Migration[],
): Promise<Migration | undefined> {
  await takeTurn(queries, schema);
  await queries.query(`set local search_path = "${schema}"`);
  const applied = await queries.query(
    "select number, name, checksum from migrations order by number",
  );
  for (const [index, row] of applied.entries()) {
    const migration = migrations[index];
    if (migrations.length === 0) return undefined;
    if (migration === undefined)
      throw mismatch(schema, `${String(row["name"])} is of a newer version`);
    if (row["checksum"] !== migration.checksum) {
      throw mismatch(
        schema,
        `${migration.name} is not the ${String(row["name"])} that was applied`,
      );
    }
  }
  const next = migrations[applied.length];
  if (next === undefined) return undefined;
  try {
    await queries.query(next.text);
  } catch (error) {
    if (error instanceof SylaError) throw error;
    throw new Error(`Cannot apply the migration ${next.name} to ${schema}.`, { cause: error });
  }
  await queries.query(
    `insert into "${schema}".migrations (number, name, checksum) values ($1, $2, $3)`,
    [next.number, next.name, next.checksum],
  );
  return next;
}

async function readMigrations(folder: URL): Promise<Migration[]> {
  const directory = new URL(folder.href.endsWith("/") ? folder.href : `${folder.href}/`);
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  return Promise.all(
    names.map(async (name, index) => {
      const number = Number(fileShape.exec(name)?.[1]);
      if (number !== index + 1) {
        throw new Error(`Cannot migrate by ${name}: expected ${index + 1} as its number.`);
      }
      const text = await readFile(new URL(name, directory), "utf8");
      return { number, name, text, checksum: createHash("sha256").update(text).digest("hex") };
    }),
  );
}

function mismatch(schema: string, why: string): SylaError {
  return new SylaError(
    "database_mismatch",
    `Cannot use the schema ${schema}: ${why}. Run the version that made it, or a newer one.`,
  );
}
