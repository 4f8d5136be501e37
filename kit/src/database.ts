// The database, the same whether it is embedded or given by a URL. Each service has a schema of its own and reaches it
// through a bounded pool of connections that see only that schema.
//
// Columns arrive as: bigint as a bigint, bytea as a Buffer, timestamptz as a Date, json as its value, numeric as text.
// Errors that a caller can act on are of the catalogue; any other is pg's DatabaseError, which leaves as `internal`.
import { Pool, type PoolClient, TypeOverrides } from "pg";
import type { DataDirectory } from "./data-directory.ts";
import { busy, toDatabaseError } from "./database-error.ts";
import type { Log } from "./log.ts";
import { migrate } from "./migrate.ts";
import { type Postgres, startPostgres } from "./postgres.ts";
import type { Queries, QueryOptions, Row, Sql } from "./sql.ts";

export interface SchemaOptions {
  /** A folder of numbered SQL files to bring the schema up to date with: see migrate.ts. */
  readonly migrations?: URL;
  /** Connections at most; default 8. */
  readonly connectionsMax?: number;
  /** How many callers may wait for a connection; default 1000. */
  readonly waitingMax?: number;
  /** How long a statement may run, in milliseconds; default 30 s. */
  readonly statementTimeoutMs?: number;
}

export interface DatabaseOptions {
  /** A PostgreSQL of one's own; without it the embedded one is started. */
  readonly url?: string | undefined;
  /** Where the embedded one keeps its data. */
  readonly dataDirectory: DataDirectory;
  readonly log: Log;
}

/** A database that is open. */
export interface Database {
  /** Where to connect; may hold a password. */
  readonly url: string;
  /** Whether it is this platform's own. */
  readonly embedded: boolean;
  /** Makes a schema if it is missing, migrates it, and opens connections to it. `name` is lower case. */
  schema(name: string, options?: SchemaOptions): Promise<Sql>;
  /** Throws `database_unavailable` or `deadline_exceeded` unless the database answers soon. */
  check(): Promise<void>;
  /** Closes every connection, then stops the embedded database. */
  close(): Promise<void>;
}

const connectTimeoutMs = 5000;
const checkTimeoutMs = 2000;
const idleMs = 60_000;

/** Opens the database. Throws `database_unavailable` when it cannot be reached or started. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { dataDirectory, log } = options;
  let postgres: Postgres | undefined;
  if (options.url === undefined) postgres = await startPostgres({ dataDirectory, log });
  const url = options.url ?? postgres?.url ?? "";
  const pools: Pool[] = [];
  const openSql = (search: string, limits: SchemaOptions): Sql => {
    const pool = openPool(url, search, limits, log);
    pools.push(pool);
    return createSql(pool, limits.waitingMax ?? 1000);
  };
  const own = openSql("public", { connectionsMax: 1, statementTimeoutMs: checkTimeoutMs });
  const check = async () => void (await own.query("select 1"));
  const close = async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await postgres?.stop();
  };
  try {
    await check();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    url,
    embedded: postgres !== undefined,
    check,
    close,
    schema: async (name, limits = {}) => {
      if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) throw new Error(`Cannot name a schema ${name}.`);
      const { migrations } = limits;
      await migrate({ sql: own, schema: name, migrations, log });
      return openSql(name, limits);
    },
  };
}

const types = new TypeOverrides();
const bigintOid = 20;
types.setTypeParser(bigintOid, (text) => BigInt(text));

function openPool(url: string, search: string, limits: SchemaOptions, log: Log): Pool {
  const { connectionsMax = 8, statementTimeoutMs = 30_000 } = limits;
  const pool = new Pool({
    connectionString: url,
    // Sent with the connection's first message, so that no connection is ever without them.
    options: `-c search_path="${search}" -c statement_timeout=${statementTimeoutMs}`,
    application_name: `syla-${search}`,
    max: connectionsMax,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: idleMs,
    keepAlive: true,
    types,
  });
  // An idle connection that is lost must not end the process; the pool replaces it when it is next needed.
  pool.on("error", (error) => {
    if (!pool.ending) log.warn({ error, schema: search }, "lost a database connection");
  });
  return pool;
}

function createSql(pool: Pool, waitingMax: number): Sql {
  const connect = async (): Promise<PoolClient> => {
    if (pool.waitingCount >= waitingMax) throw busy(waitingMax);
    return pool.connect();
  };
  return {
    query: queryOn(async (query) => {
      if (pool.waitingCount >= waitingMax) throw busy(waitingMax);
      return pool.query(query);
    }),
    transaction: async (work) => {
      let client: PoolClient;
      try {
        client = await connect();
      } catch (thrown) {
        throw toDatabaseError(thrown);
      }
      return transact(client, work);
    },
  };
}

async function transact<T>(client: PoolClient, work: (queries: Queries) => Promise<T>): Promise<T> {
  let lost: Error | undefined;
  // Whoever uses the connection hears of its loss from its statement; unheard, this event would end the process.
  const onError = (error: Error) => (lost = error);
  client.on("error", onError);
  const queries: Queries = { query: queryOn((query) => client.query(query)) };
  try {
    await queries.query("begin");
    const result = await work(queries);
    await queries.query("commit");
    return result;
  } catch (thrown) {
    await queries.query("rollback").catch((error: Error) => (lost ??= error));
    throw toDatabaseError(thrown);
  } finally {
    client.off("error", onError);
    client.release(lost);
  }
}

interface Statement {
  readonly text: string;
  readonly values: unknown[];
  readonly name?: string;
}

function queryOn(run: (query: Statement) => Promise<{ rows: Row[] }>): Queries["query"] {
  async function query<T>(
    text: string,
    values: readonly unknown[] = [],
    options: QueryOptions & { readonly parse?: (row: Row) => T } = {},
  ): Promise<Row[] | T[]> {
    const { name, parse } = options;
    try {
      const statement = { text, values: [...values] };
      const { rows } = await run(name === undefined ? statement : { ...statement, name });
      return parse === undefined ? rows : rows.map((row) => parse(row));
    } catch (thrown) {
      throw toDatabaseError(thrown);
    }
  }
  return parseQuery(query);
}

// An overloaded function cannot be written as one expression; `parse` decides what the rows are.
function parseQuery(query: unknown): Queries["query"] {
  return query as Queries["query"];
}
