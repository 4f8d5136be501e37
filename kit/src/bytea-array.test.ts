import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { encodeByteaArray } from "./bytea-array.ts";
import { openTestDatabase, type TestDatabase } from "./test-database.ts";

let database: TestDatabase;
before(async () => {
  database = await openTestDatabase();
});
after(() => database.close());

test("encodeByteaArray() is an array of bytea to the database, whatever is in it", async () => {
  const sql = await database.schema("bytea_array");
  const arrays: (Uint8Array | null)[][] = [
    [],
    [null],
    [Buffer.from("one"), null, new Uint8Array(), Buffer.from([0, 255, 92, 34])],
    [new Uint8Array(200_000).fill(7)],
  ];
  for (const values of arrays) {
    const rows = await sql.query("select value from unnest($1::bytea[]) as value", [
      encodeByteaArray(values),
    ]);
    const expected = values.map((value) => (value === null ? null : Buffer.from(value)));
    assert.deepEqual(
      rows.map((row) => row["value"]),
      expected,
    );
  }
});
