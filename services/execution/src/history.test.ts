// What the database is given, and what it will not have.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ExecutionSchema,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";
import { systemClock } from "@syla/kit/clock";
import { uuidv7 } from "@syla/kit/id";
import { createPageTokens } from "@syla/kit/page-token";
import { openTestDatabase, type TestDatabase } from "@syla/kit/test-database";
import { History } from "./history.ts";

let database: TestDatabase;
let history: History;
before(async () => {
  database = await openTestDatabase();
  const migrations = new URL("../migrations/", import.meta.url);
  history = new History({
    sql: await database.schema("execution", { migrations }),
    clock: systemClock,
    pageTokens: createPageTokens({ key: Buffer.alloc(32) }),
    instanceId: uuidv7(),
    unsavedMax: 10,
    instanceDeadMs: 1000,
  });
});
after(async () => {
  await history.close();
  await database.close();
});

test("History records every execution but the one that the database refuses", async () => {
  const execution = (label: string) =>
    create(ExecutionSchema, {
      id: uuidv7(),
      status: Status.SUCCEEDED,
      language: "bash",
      metadata: { label },
    });
  const all = [execution("one"), execution("n\0t"), execution("three")];
  const saved = await Promise.allSettled(
    all.map((one) => history.save({ execution: one, spec: undefined, events: [] })),
  );
  assert.deepEqual(
    saved.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  const { executions } = await history.list({ pageSize: 0, pageToken: "", filter: "" });
  const labels = new Set(executions.map(({ metadata }) => metadata["label"]));
  assert.deepEqual(labels, new Set(["one", "three"]));
});

test("History answers a filter with NUL as the caller's error", async () => {
  const asked = history.list({ pageSize: 0, pageToken: "", filter: 'language = "a\0b"' });
  await assert.rejects(asked, { code: "invalid_filter" });
});

test("History lists an execution whose end is on its way to the database", async () => {
  const execution = create(ExecutionSchema, { id: uuidv7(), status: Status.FAILED });
  const saved = history.save({ execution, spec: undefined, events: [] });
  const { executions } = await history.list({
    pageSize: 0,
    pageToken: "",
    filter: "status = FAILED",
  });
  assert.deepEqual(
    executions.map(({ id }) => id),
    [execution.id],
  );
  await saved;
});
