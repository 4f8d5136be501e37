import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { isUniqueViolation } from "./database-error.ts";
import { openDatabase } from "./database.ts";
import type { Sql } from "./sql.ts";
import { SylaError } from "./error.ts";
import { createLog } from "./log.ts";
import { postmasterPid } from "./postgres-orphans.ts";
import { openTestDatabase, type TestDatabase } from "./test-database.ts";

const log = createLog({ name: "test", level: "silent" });
let database: TestDatabase;

before(async () => {
  database = await openTestDatabase();
});
after(() => database.close());

test("query() answers rows, with big integers, bytes and times as such", async () => {
  const sql = await database.schema("types");
  const rows = await sql.query(
    `select 9007199254740993::bigint as big, $1::bytea as bytes, $2::timestamptz as at,
            '{"a":[1]}'::jsonb as json, $3::text[] as list`,
    [Buffer.from([0, 255]), new Date(1e12), ["a", null]],
  );
  assert.deepEqual(rows, [
    {
      big: 9007199254740993n,
      bytes: Buffer.from([0, 255]),
      at: new Date(1e12),
      json: { a: [1] },
      list: ["a", null],
    },
  ]);
});

test("query() reads each row by `parse` and prepares a named statement", async () => {
  const sql = await database.schema("full", { connectionsMax: 1 });
  const parse = (row: Readonly<Record<string, unknown>>) => Number(row["n"]);
  for (const n of [1, 2]) {
    assert.deepEqual(await sql.query("select $1::integer as n", [n], { name: "one", parse }), [n]);
  }
  const prepared = await sql.query("select name from pg_prepared_statements");
  assert.deepEqual(prepared, [{ name: "one" }]);
});

test("a schema, whatever word its name is, sees its own tables only", async () => {
  const [left, right] = [await database.schema("left"), await database.schema("right")];
  await left.query("create table thing as select 1 as n");
  await assert.rejects(right.query("select * from thing"), /does not exist/);
});

test("transaction() commits what resolves and rolls back what throws", async () => {
  const sql = await database.schema("transactions");
  await sql.query("create table thing (n integer primary key)");
  await sql.transaction((queries) => queries.query("insert into thing values (1)"));
  const failing = sql.transaction(async (queries) => {
    await queries.query("insert into thing values (2)");
    await queries.query("insert into thing values (1)");
  });
  await assert.rejects(failing, (error) => isUniqueViolation(error, "thing_pkey"));
  assert.deepEqual(await sql.query("select n from thing"), [{ n: 1 }]);
});

test("a statement that runs too long ends with deadline_exceeded", async () => {
  const sql = await database.schema("slow", { statementTimeoutMs: 50 });
  await assert.rejects(sql.query("select pg_sleep(10)"), { code: "deadline_exceeded" });
});

test("callers beyond the bound of waiting are refused", async () => {
  const sql = await database.schema("bounded", { connectionsMax: 1, waitingMax: 1 });
  const results = await Promise.allSettled(
    Array.from({ length: 4 }, () => sql.query("select pg_sleep(0.05)")),
  );
  const refused = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason] : [],
  );
  assert.ok(refused.length >= 1);
  for (const error of refused) assert.equal(error.code, "database_unavailable");
});

test("a deadlock ends one of its transactions with transaction_conflict", async () => {
  const sql = await database.schema("deadlock");
  await sql.query("create table thing as select 1 as n union select 2");
  const lockBoth = (first: number, second: number) =>
    sql.transaction(async (queries) => {
      await queries.query("select n from thing where n = $1 for update", [first]);
      await sleep(100);
      await queries.query("select n from thing where n = $1 for update", [second]);
    });
  const results = await Promise.allSettled([lockBoth(1, 2), lockBoth(2, 1)]);
  const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  assert.deepEqual(
    errors.map((error: SylaError) => error.code),
    ["transaction_conflict"],
  );
});

test("while a killed database is down callers get database_unavailable, then it serves again", async () => {
  const sql = await database.schema("killed");
  await sql.query("create table kept as select 42 as answer");
  const open = sql.transaction(async (queries) => {
    await queries.query("insert into kept values (43)");
    process.kill((await postmasterPid(join(database.directory, "postgres"))) ?? 0, "SIGKILL");
    await sleep(50);
    await queries.query("select 1");
  });
  await assert.rejects(open, { code: "database_unavailable" });
  const codes = new Set<string>();
  for (let tries = 0; tries < 500; tries += 1) {
    const rows = await sql.query("select answer from kept").catch((error: unknown) => {
      assert.ok(error instanceof SylaError, String(error));
      codes.add(error.code);
    });
    if (rows !== undefined) {
      assert.deepEqual(rows, [{ answer: 42 }]);
      assert.deepEqual([...codes], ["database_unavailable"]);
      return;
    }
    await sleep(20);
  }
  assert.fail("the database did not come back within 10 s");
});

test("openDatabase() with a URL uses that database and leaves it running", async () => {
  const dataDirectory = { path: "/nowhere", announce: async () => {}, close: async () => {} };
  const other = await openDatabase({ url: database.url, dataDirectory, log });
  assert.equal(other.embedded, false);
  assert.deepEqual(await (await other.schema("other")).query("select 1 as n"), [{ n: 1 }]);
  await other.close();
  await database.check();
});

test("openDatabase() says so when nothing answers at the URL", async () => {
  const dataDirectory = { path: "/nowhere", announce: async () => {}, close: async () => {} };
  await assert.rejects(
    openDatabase({ url: "postgresql://a:secret@127.0.0.1:1/b", dataDirectory, log }),
    (error) => error instanceof SylaError && !error.message.includes("secret"),
  );
});

async function folder(t: TestContext, files: Readonly<Record<string, string>>): Promise<URL> {
  const path = await mkdtemp(join(tmpdir(), "syla-migrations-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return pathToFileURL(path);
}

const first = {
  "0001_thing.sql": "create table thing (n integer);\ninsert into thing values (1);",
};
const both = { ...first, "0002_more.sql": "alter table thing add column m integer default 2" };

test("migrations are applied in order, once, also by processes that start together", async (t) => {
  await database.schema("migrated", { migrations: await folder(t, first) });
  const migrations = await folder(t, both);
  const opened = await Promise.all(
    [1, 2, 3].map(() => database.schema("migrated", { migrations })),
  );
  for (const sql of opened) {
    assert.deepEqual(await sql.query("select * from thing"), [{ n: 1, m: 2 }]);
  }
});

test("a migration that fails changes nothing, and names itself", async (t) => {
  const migrations = await folder(t, { ...first, "0002_bad.sql": "drop table thing; bad" });
  await assert.rejects(database.schema("failing", { migrations }), /0002_bad.sql/);
  const sql: Sql = await database.schema("failing", { migrations: await folder(t, first) });
  assert.deepEqual(await sql.query("select n from thing"), [{ n: 1 }]);
});

test("a changed or unknown applied migration is refused", async (t) => {
  await database.schema("changed", { migrations: await folder(t, both) });
  const changed = { ...both, "0001_thing.sql": "create table thing (n bigint)" };
  await assert.rejects(database.schema("changed", { migrations: await folder(t, changed) }), {
    code: "database_mismatch",
    message: /0001_thing.sql/,
  });
  await assert.rejects(database.schema("changed", { migrations: await folder(t, first) }), {
    code: "database_mismatch",
    message: /0002_more.sql is of a newer version/,
  });
});

test("migrations with a gap in their numbers are refused", async (t) => {
  const migrations = await folder(t, { ...first, "0003_later.sql": "select 1" });
  await assert.rejects(database.schema("gap", { migrations }), /expected 2 as its number/);
});
