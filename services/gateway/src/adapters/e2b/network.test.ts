import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import {
  NetworkPolicy_Mode as Mode,
  NetworkPolicySchema,
} from "@syla/contract/syla/sandbox/v1/network";
import { Refusal } from "./errors.ts";
import { Fields } from "./fields.ts";
import { changedNetwork, networkOf, networkView } from "./network.ts";

const domain = (value: string) => ({ target: { case: "domain", value } });
const range = (value: string) => ({ target: { case: "range", value } });
const asked = (body: JsonValue) => networkOf(new Fields(body));
const all = "0.0.0.0/0";

test("networkOf() is no network unless it is asked for, and what E2B's rules say when it is", () => {
  assert.equal(asked({}), undefined);
  assert.equal(asked({ network: {} }), undefined);
  assert.deepEqual(asked({ allow_internet_access: true }), { mode: Mode.FULL, inject: [] });
  assert.deepEqual(asked({ allow_internet_access: false }), { mode: Mode.NONE });
  assert.deepEqual(asked({ network: { denyOut: [all] } }), { mode: Mode.NONE });
  const allow = [domain("*.a.test"), range("8.8.8.0/24"), range("2001:db8::1")];
  const allowOut = ["*.a.test", "8.8.8.0/24", "2001:db8::1"];
  const list = { mode: Mode.ALLOW_LIST, allow, inject: [] };
  assert.deepEqual(asked({ network: { allowOut, denyOut: [all] } }), list);
  assert.deepEqual(asked({ network: { allowOut }, allow_internet_access: false }), list);
  assert.deepEqual(asked({ network: { allowOut } }), list);
  assert.deepEqual(asked({ network: { allowOut: ["8.8.8.8"], denyOut: ["8.0.0.0/8"] } }), {
    ...{ mode: Mode.FULL, allow: [range("8.8.8.8")], deny: [range("8.0.0.0/8")], inject: [] },
  });
  assert.deepEqual(changedNetwork(new Fields({})), { mode: Mode.FULL, inject: [] });
});

test("networkOf() takes headers as they stand, and refuses what it cannot do", () => {
  const rules = { "a.test": [{ transform: { headers: { "X-Key": "secret" } } }] };
  const made = asked({ network: { rules, allowOut: ["a.test"] } });
  assert.deepEqual(made?.inject, [{ host: "a.test", header: "X-Key", value: "secret" }]);
  for (const network of [
    { egressProxy: { address: "a.test:1080" } },
    { maskRequestHost: "x" },
    { rules: { "a.test": [{ transform: { headers: { X: "${NAME}" } } }] } },
    { allowOut: "a.test" },
  ]) {
    assert.throws(() => asked({ network }), Refusal);
  }
});

test("networkView() tells of a policy without its headers", () => {
  assert.deepEqual(networkView(undefined), { allowInternetAccess: false });
  const policy = create(NetworkPolicySchema, {
    mode: Mode.ALLOW_LIST,
    allow: [{ target: { case: "domain", value: "a.test" } }],
    inject: [{ host: "a.test", header: "X", value: "secret" }],
  });
  assert.deepEqual(networkView(policy), {
    allowInternetAccess: true,
    network: { allowOut: ["a.test"], denyOut: [all] },
  });
});
