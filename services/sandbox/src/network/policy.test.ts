import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import {
  NetworkPolicy_Mode as Mode,
  NetworkPolicySchema,
  type NetworkRuleSchema,
} from "@syla/contract/syla/sandbox/v1/network";
import { parseTarget } from "./host.ts";
import { mergeSecrets, Policy, policyViolations, publicPolicy } from "./policy.ts";

type PolicyInit = MessageInitShape<typeof NetworkPolicySchema>;
type RuleInit = MessageInitShape<typeof NetworkRuleSchema>;

const make = (init: PolicyInit) => create(NetworkPolicySchema, init);
const domain = (value: string, ...ports: number[]): RuleInit => ({
  target: { case: "domain", value },
  ports,
});
const range = (value: string, ...ports: number[]): RuleInit => ({
  target: { case: "range", value },
  ports,
});

/** Which of these are allowed. */
function allowed(init: PolicyInit, targets: readonly string[]): string[] {
  const policy = new Policy(make(init));
  return targets.filter((text) => {
    const target = parseTarget(text);
    assert.ok(target !== undefined, text);
    return policy.judge(target).kind === "allowed";
  });
}

describe("Policy", () => {
  test("allows nothing unless it says so", () => {
    const targets = ["example.com:443", "1.1.1.1:443"];
    for (const mode of [Mode.MODE_UNSPECIFIED, Mode.NONE]) {
      assert.deepEqual(allowed({ mode, allow: [domain("example.com")] }, targets), []);
    }
    assert.deepEqual(allowed({ mode: Mode.ALLOW_LIST }, targets), []);
    assert.deepEqual(allowed({ mode: Mode.FULL }, targets), targets);
  });

  test("allows of a domain the web's ports or those that are named, of a range all", () => {
    const allow = [
      domain("a.test"),
      domain("*.b.test", 22),
      range("1.1.0.0/16"),
      range("2606::/16", 53),
    ];
    const targets = [
      ...["a.test:80", "a.test:443", "a.test:22", "x.a.test:443", "x.b.test:22", "b.test:22"],
      ...["x.b.test:443", "1.1.2.3:5", "1.2.0.0:5", "[2606::1]:53", "[2606::1]:54"],
    ];
    assert.deepEqual(allowed({ mode: Mode.ALLOW_LIST, allow }, targets), [
      ...["a.test:80", "a.test:443", "x.b.test:22", "1.1.2.3:5", "[2606::1]:53"],
    ]);
  });

  test("allows all but what is denied, and of that what is excepted", () => {
    const deny = [domain("*.a.test"), range("1.0.0.0/8")];
    const allow = [domain("ok.a.test"), range("1.1.1.1")];
    const targets = ["x.a.test:443", "ok.a.test:443", "1.2.3.4:80", "1.1.1.1:80", "b.test:80"];
    assert.deepEqual(allowed({ mode: Mode.FULL, deny, allow }, targets), [
      ...["ok.a.test:443", "1.1.1.1:80", "b.test:80"],
    ]);
    const policy = new Policy(make({ mode: Mode.FULL, deny, allow }));
    const named = { host: "b.test", port: 80, address: undefined };
    const [denied, excepted] = ["1.2.3.4:80", "1.1.1.1:80"].map((text) => {
      const address = parseTarget(text)?.address;
      assert.ok(address !== undefined);
      return policy.judgeResolved(policy.judge(named), address, 80).kind;
    });
    assert.deepEqual([denied, excepted], ["refused", "allowed"]);
  });

  test("puts one header of a name in, that of the rule that says most of the host", () => {
    const rule = (host: string, header: string) => ({ host, header, value: host });
    const policy = new Policy(
      make({
        inject: [
          ...[rule("x.a.test", "X-Key"), rule("*.test", "x-key"), rule("*.a.test", "X-Key")],
          ...[rule("*.test", "Other")],
        ],
      }),
    );
    const values = (host: string) =>
      policy.injected({ host, address: undefined }).map(({ value }) => value);
    assert.deepEqual(values("x.a.test"), ["x.a.test", "*.test"]);
    assert.deepEqual(values("y.a.test"), ["*.a.test", "*.test"]);
    assert.deepEqual(values("other.example"), []);
  });

  test("asks for names where a rule is about them", () => {
    const asks = (init: PolicyInit, text: string) => {
      const target = parseTarget(text);
      assert.ok(target !== undefined);
      return new Policy(make(init)).asksForNames(target);
    };
    const list = { mode: Mode.ALLOW_LIST, allow: [domain("a.test"), range("1.1.1.1")] };
    assert.deepEqual([asks(list, "a.test:443"), asks(list, "1.1.1.1:443")], [true, false]);
    assert.equal(asks({ mode: Mode.FULL, deny: [range("1.1.1.1")] }, "a.test:443"), false);
    assert.equal(asks({ mode: Mode.FULL, deny: [domain("b.test")] }, "1.1.1.1:443"), true);
  });

  test("fills the values of headers with secrets, by name and once", () => {
    const policy = new Policy(
      make({
        inject: [{ host: "*.a.test", header: "X", value: "Bearer ${KEY} ${OTHER}" }],
        secrets: { KEY: "${OTHER}", OTHER: "$&" },
      }),
    );
    const injected = policy.injected({ host: "x.a.test", address: undefined });
    assert.deepEqual(
      injected.map(({ value }) => value),
      ["Bearer ${OTHER} $&"],
    );
    assert.deepEqual(policy.injected({ host: "a.test", address: undefined }), []);
  });
});

test("policyViolations() says what cannot be used and where", () => {
  const wrong = make({
    mode: Mode.ALLOW_LIST,
    allow: [domain("ok.test"), domain("https://a.test"), range("10.0.0.0/33")],
    deny: [domain("a.test")],
    inject: [
      { host: "*", header: "Host", value: "x" },
      { host: "a.test", header: "X", value: "${GONE}" },
      { host: "a.test", header: "Y" },
    ],
  });
  assert.deepEqual(
    policyViolations(wrong, "/network").map(({ pointer }) => pointer),
    [
      ...["/network/allow/1/domain", "/network/allow/2/range", "/network/deny"],
      ...["/network/inject/0/host", "/network/inject/0/header"],
      ...["/network/inject/1/value", "/network/inject/2/value"],
    ],
  );
  assert.deepEqual(policyViolations(make({ mode: Mode.FULL, deny: [domain("a.test")] }), ""), []);
});

test("mergeSecrets() keeps what a change leaves out, and publicPolicy() tells none of it", () => {
  const before = make({
    inject: [
      { host: "a.test", header: "X-Key", value: "Bearer ${KEY}" },
      { host: "b.test", header: "X", value: "gone" },
    ],
    secrets: { KEY: "one", UNUSED: "two" },
  });
  const next = mergeSecrets(make({ inject: [{ host: "a.test", header: "x-key" }] }), before);
  assert.equal(next.inject[0]?.value, "Bearer ${KEY}");
  assert.deepEqual(next.secrets, { KEY: "one" });
  const other = mergeSecrets(make({ inject: [{ host: "c.test", header: "X-Key" }] }), before);
  assert.deepEqual([other.inject[0]?.value, other.secrets], ["", {}]);
  const told = toJsonString(NetworkPolicySchema, publicPolicy(before));
  assert.doesNotMatch(told, /one|two|gone|Bearer/);
  assert.equal(before.inject[0]?.value, "Bearer ${KEY}");
});

test("Policy takes an address behind a translator of IPv6 for what it leads to", () => {
  const targets = ["[64:ff9b::909:909]:443", "[64:ff9b::101:101]:443"];
  const full = { mode: Mode.FULL, deny: [range("9.9.9.0/24")] };
  assert.deepEqual(allowed(full, targets), ["[64:ff9b::101:101]:443"]);
});
