import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { localKey } from "@syla/kit/local-key";
import { isSandboxId, isSigned, sandboxToken, trafficToken } from "./access.ts";

const key = localKey("", `syla_${"1f".repeat(32)}`);
const other = localKey("", `syla_${"2f".repeat(32)}`);
const [a, b] = ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"];

test("sandboxToken() is a sandbox's own, and the key's", () => {
  assert.equal(sandboxToken(key, a), sandboxToken(key, a));
  assert.notEqual(sandboxToken(key, a), sandboxToken(key, b));
  assert.notEqual(sandboxToken(key, a), sandboxToken(other, a));
  assert.notEqual(sandboxToken(key, a), trafficToken(key, a));
  assert.notEqual(trafficToken(key, a), trafficToken(key, b));
});

test("isSandboxId() takes ids alone", () => {
  assert.ok(isSandboxId(a));
  for (const text of ["", "x", `${a}0`, ` ${a}`, a.toUpperCase()]) assert.ok(!isSandboxId(text));
});

// As E2B's SDK writes them.
function signed(parts: readonly string[]): string {
  const hash = createHash("sha256").update(parts.join(":")).digest("base64");
  return `v1_${hash.replace(/=+$/, "")}`;
}

test("isSigned() holds for one sandbox, file, operation, user and time", () => {
  const token = sandboxToken(key, a);
  const query = (more: Record<string, string>) => {
    return new URLSearchParams({ path: "a b.txt", ...more });
  };
  const plain = query({ signature: signed(["a b.txt", "read", "", token]) });
  assert.ok(isSigned(key, a, { operation: "read", query: plain }));
  assert.ok(!isSigned(key, b, { operation: "read", query: plain }));
  assert.ok(!isSigned(key, a, { operation: "write", query: plain }));
  plain.set("username", "root");
  assert.ok(!isSigned(key, a, { operation: "read", query: plain }));
  const later = String(Math.floor(Date.now() / 1000) + 60);
  const timed = query({
    signature: signed(["a b.txt", "read", "", token, later]),
    signature_expiration: later,
  });
  assert.ok(isSigned(key, a, { operation: "read", query: timed }));
  timed.set("signature_expiration", `${later}0`);
  assert.ok(!isSigned(key, a, { operation: "read", query: timed }));
  const past = query({
    signature: signed(["a b.txt", "read", "", token, "1000"]),
    signature_expiration: "1000",
  });
  assert.ok(!isSigned(key, a, { operation: "read", query: past }));
  for (const expiration of ["", "x", "NaN"]) {
    past.set("signature_expiration", expiration);
    assert.ok(!isSigned(key, a, { operation: "read", query: past }));
  }
  assert.ok(!isSigned(key, a, { operation: "read", query: query({}) }));
});

test("isSigned() takes nothing that was signed for another path and operation", () => {
  const token = sandboxToken(key, a);
  const signature = signed(["a:write:b", "read", "", token]);
  const query = new URLSearchParams({ path: "a", username: "b:read:", signature });
  assert.ok(!isSigned(key, a, { operation: "write", query }));
  const honest = new URLSearchParams({ path: "a:write:b", signature });
  assert.ok(isSigned(key, a, { operation: "read", query: honest }));
});
