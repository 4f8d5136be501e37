import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { describeTarget, domainMatcher, parseHost, parseTarget } from "./host.ts";

test("parseHost() gives a name its one spelling, and reads an address as one", () => {
  assert.equal(parseHost("EXAMPLE.com.")?.host, "example.com");
  assert.equal(parseHost("xn--bcher-kva.example")?.host, "xn--bcher-kva.example");
  assert.equal(parseHost("a_b.example")?.host, "a_b.example");
  assert.equal(parseHost("[::ffff:7f00:1]")?.address?.text, "127.0.0.1");
  assert.equal(parseHost("10.0.0.1")?.address?.text, "10.0.0.1");
});

test("parseHost() refuses what programs read differently", () => {
  for (const text of [
    ...["", ".", "a..b", "-a.test", "a-.test", "a b", "a\u0000.test", "a\n.test", "bücher.test"],
    ...[
      "user@host",
      "host/path",
      "a%2e.test",
      "127.1",
      "1",
      "0x7f000001",
      "a.0x1",
      "a.1",
      "example.com..",
    ],
    ...["a".repeat(64), `${"a.".repeat(127)}aa`, "[example.com]", "::1%lo", "ｅxample.com"],
  ]) {
    assert.equal(parseHost(text), undefined, JSON.stringify(text));
  }
});

test("parseHost() takes for a name nothing that URLs take for an address", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."0123456789abcfx.-".split("")) }), (text) => {
      const parsed = parseHost(text);
      if (parsed === undefined || parsed.address !== undefined) return;
      assert.ok(URL.canParse(`http://${text}`));
      assert.doesNotMatch(new URL(`http://${text}`).hostname, /^[\d.]+$/);
    }),
    { numRuns: 2000 },
  );
});

test("parseTarget() reads a host and a port, and nothing around them", () => {
  assert.deepEqual(parseTarget("Example.com:443"), {
    ...{ host: "example.com", address: undefined, port: 443 },
  });
  const six = parseTarget("[2001:db8::1]:80");
  assert.ok(six !== undefined);
  assert.equal(describeTarget(six), "[2001:db8:0:0:0:0:0:1]:80");
  assert.equal(parseTarget("example.com", 80)?.port, 80);
  for (const text of [
    "example.com",
    "a:0",
    "a:65536",
    "a:-1",
    "a:80 ",
    "a:80:80",
    "::1:80",
    "a:٨٠",
    "u@a:80",
  ]) {
    assert.equal(parseTarget(text), undefined, text);
  }
});

test("domainMatcher() takes a name alone, or all below one and not itself", () => {
  const exact = domainMatcher("Example.com");
  const below = domainMatcher("*.example.com");
  assert.ok(exact !== undefined && below !== undefined);
  const named = [
    "example.com",
    "a.example.com",
    "a.b.example.com",
    "badexample.com",
    "example.com.evil.test",
  ];
  assert.deepEqual(named.map(exact), [true, false, false, false, false]);
  assert.deepEqual(named.map(below), [false, true, true, false, false]);
  for (const text of ["*", "*.", "a.*.com", "*a.com", "**.com", "10.0.0.1"]) {
    assert.equal(domainMatcher(text), undefined, text);
  }
});
