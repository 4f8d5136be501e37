import assert from "node:assert/strict";
import { BlockList, isIPv6 } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isIn, kindOf, parseAddress, parseRange } from "./address.ts";

function kind(text: string): string {
  const address = parseAddress(text);
  assert.ok(address !== undefined, text);
  return kindOf(address);
}

const bytes4 = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 255 })));
const dotted = bytes4.map((bytes) => bytes.join("."));
const groups6 = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
const hex = (dots: string) => {
  const [a = 0, b = 0, c = 0, d = 0] = dots.split(".").map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
};

// Said a second time, by Node's own lists, so that a slip in either shows.
const notPublic = new BlockList();
for (const [base, bits] of [
  ...([
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
  ] as const),
  ...([
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
  ] as const),
  ...([
    ["192.31.196.0", 24],
    ["192.52.193.0", 24],
    ["192.88.99.0", 24],
  ] as const),
  ...([
    ["192.168.0.0", 16],
    ["192.175.48.0", 24],
    ["198.18.0.0", 15],
  ] as const),
  ...([
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["224.0.0.0", 3],
    ["168.63.129.16", 32],
  ] as const),
] as const) {
  notPublic.addSubnet(base, bits, "ipv4");
}

describe("kindOf()", () => {
  test("knows each special range at its first and last address, and what is beside it", () => {
    const rows = [
      ["0.0.0.0", "0.255.255.255", "1.0.0.0", "reserved"],
      ["10.0.0.0", "10.255.255.255", "11.0.0.0", "private"],
      ["100.64.0.0", "100.127.255.255", "100.128.0.0", "private"],
      ["127.0.0.0", "127.255.255.255", "128.0.0.0", "loopback"],
      ["169.254.0.0", "169.254.255.255", "169.255.0.0", "link-local"],
      ["172.16.0.0", "172.31.255.255", "172.32.0.0", "private"],
      ["192.0.0.0", "192.0.0.255", "192.0.1.0", "reserved"],
      ["192.168.0.0", "192.168.255.255", "192.169.0.0", "private"],
      ["198.18.0.0", "198.19.255.255", "198.20.0.0", "reserved"],
      ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2a00::1", "private"],
      ["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2a00::1", "link-local"],
      ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::", "reserved"],
      ["2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "reserved"],
      ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "reserved"],
    ] as const;
    for (const [first, last, beside, expected] of rows) {
      assert.deepEqual(
        [kind(first), kind(last), kind(beside)],
        [expected, expected, "public"],
        first,
      );
    }
    assert.deepEqual([kind("224.0.0.1"), kind("255.255.255.255")], ["multicast", "reserved"]);
    assert.deepEqual(
      [kind("::"), kind("::1"), kind("ff02::1")],
      ["reserved", "loopback", "multicast"],
    );
    assert.deepEqual(
      [kind("::7f00:1"), kind("64:ff9b:1::1"), kind("100::1")],
      [...["reserved", "reserved", "reserved"]],
    );
    for (const text of ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"]) {
      assert.equal(kind(text), "metadata");
    }
    for (const text of ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "93.184.216.34"]) {
      assert.equal(kind(text), "public");
    }
  });

  test("agrees with another list on every IPv4 address, and on it in every IPv6 form", () => {
    fc.assert(
      fc.property(dotted, (text) => {
        const isPublic = !notPublic.check(text, "ipv4");
        assert.equal(kind(text) === "public", isPublic);
        assert.equal(kind(`::ffff:${text}`), kind(text));
        assert.equal(kind(`::ffff:${hex(text)}`), kind(text));
        assert.equal(kind(`64:ff9b::${hex(text)}`), kind(text));
        assert.notEqual(kind(`::${hex(text)}`), "public");
        assert.notEqual(kind(`2002:${hex(text)}::1`), "public");
        assert.notEqual(kind(`2001:0:${hex(text)}:0:0:${hex(text)}`), "public");
      }),
      { numRuns: 3000 },
    );
  });

  test("takes for public no IPv6 address that is not global unicast or translated", () => {
    fc.assert(
      fc.property(groups6, (groups) => {
        const text = groups.map((group) => group.toString(16)).join(":");
        const [first = 0] = groups;
        if (first >> 13 !== 1 && first !== 0x64) assert.notEqual(kind(text), "public");
      }),
    );
  });
});

describe("parseAddress()", () => {
  test("reads an address in any spelling to the same one", () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        if (!isIPv6(text)) return;
        const address = parseAddress(text);
        assert.ok(address !== undefined);
        assert.deepEqual(parseAddress(address.text), address);
        assert.deepEqual(parseAddress(text.toUpperCase()), address);
        const canonical = new URL(`http://[${text}]`).hostname;
        assert.deepEqual(parseAddress(canonical.slice(1, -1)), address);
      }),
    );
  });

  test("reads nothing else", () => {
    for (const text of [
      ...["", "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "1.2.3", "1.2.3.256"],
      ...[" 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "fe80::1%eth0", "::1::", "[::1]", "example.com"],
    ]) {
      assert.equal(parseAddress(text), undefined, text);
    }
    fc.assert(fc.property(fc.string(), (text) => void parseAddress(text)));
  });
});

test("parseRange() has in it what Node's own list has", () => {
  fc.assert(
    fc.property(dotted, dotted, fc.integer({ min: 0, max: 32 }), (base, other, bits) => {
      const list = new BlockList();
      list.addSubnet(base, bits, "ipv4");
      const range = parseRange(`${base}/${bits}`);
      const address = parseAddress(other);
      assert.ok(range !== undefined && address !== undefined);
      assert.equal(isIn(address, range), list.check(other, "ipv4"));
    }),
  );
  for (const text of [
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "::ffff:10.0.0.0/8",
    "x/8",
  ]) {
    assert.equal(parseRange(text), undefined, text);
  }
  const six = parseRange("2001:db8::/32");
  const inside = parseAddress("2001:db8:1::1");
  assert.ok(six !== undefined && inside !== undefined && isIn(inside, six));
});
