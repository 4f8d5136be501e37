import assert from "node:assert/strict";
import { test } from "node:test";
import { CallContext } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { contextHeaders } from "./answer.ts";
import { problemHeaders, toProblem } from "./problem.ts";

const place = { instance: "/x", requestId: "1" };

test("contextHeaders() has the handler's headers, but none that could break out of its line", () => {
  const context = new CallContext();
  context.responseHeaders.set("x-good", "1").set("x-bad", "a\r\nSet-Cookie: b");
  const headers = contextHeaders(context);
  assert.ok(headers.includes("x-good"));
  assert.ok(!headers.includes("x-bad"));
});

test("toProblem() tells nothing but the catalogue's facts and the message", () => {
  const error = new SylaError("internal", "Oops.", { cause: new Error("secret") });
  const problem = toProblem(error, place);
  assert.deepEqual(problem, {
    type: "urn:syla:error:internal",
    title: "Something went wrong on our side",
    status: 500,
    detail: "Oops.",
    code: "internal",
    instance: "/x",
    requestId: "1",
  });
});

test("toProblem() makes pointers relative to the body's field, and only those inside it", () => {
  const violations = ["/spec", "/spec/code", "/specs", "/id"].map((pointer) => ({
    pointer,
    detail: "is wrong",
    rule: "r",
  }));
  const error = new SylaError("invalid_request", "No.", { violations });
  const { errors = [] } = toProblem(error, { ...place, bodyField: "spec" });
  assert.deepEqual(
    errors.map(({ pointer }) => pointer),
    ["", "/code", "/specs", "/id"],
  );
});

test("problemHeaders() tells whole seconds, one at least", () => {
  assert.deepEqual(problemHeaders(new SylaError("queue_full", "No.", { retryAfterMs: 20 })), [
    "Retry-After",
    "1",
  ]);
  assert.deepEqual(problemHeaders(new SylaError("queue_full", "No.", { retryAfterMs: 1500 })), [
    "Retry-After",
    "2",
  ]);
  assert.deepEqual(problemHeaders(new SylaError("queue_full", "No.")), []);
});
