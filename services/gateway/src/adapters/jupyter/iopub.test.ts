import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CellSchema, Cell_Status as Status } from "@syla/contract/syla/session/v1/cell";
import { SessionEventSchema } from "@syla/contract/syla/session/v1/session";
import { executeReply, formsOf, publishedOf } from "./iopub.ts";

type Init = NonNullable<MessageInitShape<typeof SessionEventSchema>["event"]>;

function told(event: Init, count = 3) {
  return publishedOf(create(SessionEventSchema, { number: 1, cell: 2, event }), {
    count,
    code: "1",
  });
}

test("publishedOf() tells output as text, also bytes that are none", () => {
  assert.deepEqual(told({ case: "stderr", value: { data: { case: "text", value: "é" } } }), [
    { type: "stream", content: { name: "stderr", text: "é" } },
  ]);
  const value = { data: { case: "base64" as const, value: Buffer.from([0x61, 0xff]) } };
  assert.deepEqual(told({ case: "stdout", value }), [
    { type: "stream", content: { name: "stdout", text: "a\ufffd" } },
  ]);
});

test("publishedOf() publishes the code of all but what is silent", () => {
  const busy = { type: "status", content: { execution_state: "busy" } };
  assert.deepEqual(told({ case: "started", value: { silent: true } }), [busy]);
  assert.deepEqual(told({ case: "started", value: {} }), [
    busy,
    { type: "execute_input", content: { code: "1", execution_count: 3 } },
  ]);
  assert.deepEqual(told({ case: "started", value: { executionCount: 7 } }), [
    busy,
    { type: "execute_input", content: { code: "1", execution_count: 7 } },
  ]);
});

test("publishedOf() tells a value from what was shown", () => {
  const parts = [{ mimeType: "text/plain", data: { case: "text" as const, value: "4" } }];
  const content = { data: { "text/plain": "4" }, metadata: {}, transient: {} };
  assert.deepEqual(told({ case: "result", value: { main: true, parts } }), [
    { type: "execute_result", content: { ...content, execution_count: 3 } },
  ]);
  const metadataJson = '{"image/png":{"width":1}}';
  const value = { parts, displayId: "d", metadataJson };
  assert.deepEqual(told({ case: "update", value }), [
    {
      type: "update_display_data",
      content: {
        ...content,
        metadata: { "image/png": { width: 1 } },
        transient: { display_id: "d" },
      },
    },
  ]);
  const [lost] = told({ case: "lostBytes", value: 12 });
  assert.match(JSON.stringify(lost?.content["text"]), /^"\[12 bytes .* are lost\]\\n"$/);
});

test("formsOf() has JSON as JSON, unless it is none or too deep to be written again", () => {
  const form = (mimeType: string, value: string) =>
    formsOf([
      create(CellSchema, {
        results: [{ parts: [{ mimeType, data: { case: "text", value } }] }],
      }).results[0]?.parts[0] ?? assert.fail("a part"),
    ])[mimeType];
  assert.deepEqual(form("application/json", '{"a":[1]}'), { a: [1] });
  assert.deepEqual(form("application/vnd.plotly.v1+json", "[1]"), [1]);
  assert.equal(form("application/json", "{"), "{");
  assert.equal(form("text/html", "[1]"), "[1]");
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assert.equal(form("application/json", deep), deep);
});

test("executeReply() is ok, aborted, or the error", () => {
  const reply = (status: Status, more: object = {}) =>
    executeReply(create(CellSchema, { status, executionCount: 2, ...more }), {
      ...{ lastCount: 7, expressions: [] },
    });
  assert.deepEqual(reply(Status.OK), {
    ...{ status: "ok", execution_count: 2, payload: [], user_expressions: {} },
  });
  assert.deepEqual(reply(Status.SKIPPED), { status: "aborted", execution_count: 0 });
  const error = { name: "E", message: "m", traceback: ["a", "b"] };
  assert.deepEqual(reply(Status.ERROR, { error }), {
    ...{ status: "error", execution_count: 2, ename: "E", evalue: "m", traceback: ["a", "b"] },
  });
  assert.equal(reply(Status.INTERRUPTED)["ename"], "KeyboardInterrupt");
  assert.equal(reply(Status.OK, { executionCount: undefined })["execution_count"], 7);
});
