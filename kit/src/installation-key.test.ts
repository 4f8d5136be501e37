import assert from "node:assert/strict";
import { test } from "node:test";
import { installationKey } from "./installation-key.ts";
import { openTestDatabase } from "./test-database.ts";

test("a key is made once, also by processes that start together, and differs by name", async (t) => {
  const database = await openTestDatabase();
  t.after(() => database.close());
  const sql = await database.schema("installation");
  const keys = await Promise.all(
    ["page-tokens", "page-tokens", "other"].map((name) => installationKey(sql, name)),
  );
  assert.deepEqual(keys[0], keys[1]);
  assert.notDeepEqual(keys[0], keys[2]);
  assert.equal(keys[0]?.length, 32);
});
