import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { NetworkPolicySchema } from "@syla/contract/syla/sandbox/v1/network";
import { Failure } from "./failure.ts";
import { describeNetwork, parseNetwork } from "./network.ts";

test("parseNetwork() reads a policy, and describeNetwork() tells it", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["none", "none"],
    ["full", "full"],
    ["allow:example.com", "allows example.com"],
    ["allow:*.example.com:443,a.test", "allows *.example.com:443, a.test"],
    ["allow:10.0.0.0/8:5432,1.1.1.1", "allows 10.0.0.0/8:5432, 1.1.1.1"],
    ["allow:2001:db8::/32,[2001:db8::1]:53", "allows 2001:db8::/32, [2001:db8::1]:53"],
  ];
  for (const [text, told] of rows) {
    assert.equal(describeNetwork(create(NetworkPolicySchema, parseNetwork(text))), told);
  }
  assert.equal(describeNetwork(undefined), "none");
  const kinds = parseNetwork("allow:a.test,10.0.0.0/8,::1").allow?.map(
    ({ target }) => target?.case,
  );
  assert.deepEqual(kinds, ["domain", "range", "range"]);
  for (const text of ["", "all", "allow:", "allow:,", "allow:a.test:x", "deny:a.test"]) {
    assert.throws(() => parseNetwork(text), Failure, text);
  }
});
