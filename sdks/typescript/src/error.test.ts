import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@syla/contract/google/rpc/error_details";
import { toSylaError } from "./error.ts";

const url = "http://127.0.0.1:8080";

test("toSylaError() reads the code, the wrong fields and the delay from the details", () => {
  const wrong = { field: "/spec/code", description: "give code", reason: "execution.source" };
  const thrown = new ConnectError("One field is wrong.", Code.InvalidArgument, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "invalid_request", domain: "syla" } },
    { desc: BadRequestSchema, value: { fieldViolations: [wrong] } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n } } },
  ]);
  const error = toSylaError(thrown, { url });
  assert.equal(error.code, "invalid_request");
  assert.equal(error.status, "invalid_argument");
  assert.equal(error.message, "One field is wrong.");
  assert.equal(error.retryAfterMs, 2000);
  assert.deepEqual(error.violations, [
    { pointer: "/spec/code", detail: "give code", rule: "execution.source" },
  ]);
});

test("toSylaError() says where nothing could be reached, and why", () => {
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  const error = toSylaError(new TypeError("fetch failed", { cause: refused }), { url });
  assert.equal(error.code, "unreachable");
  assert.equal(error.status, "unavailable");
  assert.equal(error.message, `Cannot reach Syla at ${url}: the connection was refused.`);
});

test("toSylaError() tells a caller who left from one who ran out of time", () => {
  const left = toSylaError(new Error("x"), { url, signal: AbortSignal.abort() });
  assert.equal(left.code, "cancelled");
  const timeout = AbortSignal.abort(new DOMException("late", "TimeoutError"));
  assert.equal(toSylaError(new Error("x"), { url, signal: timeout }).code, "deadline_exceeded");
});
