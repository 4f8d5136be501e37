import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import { isReachable } from "./address.ts";

const internet = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"];

const privates = [
  ...["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
  ...["::1", "fc00::1", "fd12::1"],
];

const never = [
  ...["0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200"],
  ...["192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "255.255.255.255"],
  ...["::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "2001:db8::1", "2002:7f00:1::"],
  ...["168.63.129.16", "fd20:ce::254"],
  ...["2001::1", "64:ff9b::7f00:1", "100::1", "fec0::1", "localhost", "", "0x7f.1", "127.1"],
];

test("isReachable() lets through the internet, and private networks where they are allowed", () => {
  for (const address of internet) assert.equal(isReachable(address, "public"), true, address);
  for (const address of privates) {
    assert.equal(isReachable(address, "public"), false, address);
    assert.equal(isReachable(address, "private"), true, address);
  }
});

test("isReachable() never lets through what is special, a metadata service among it", () => {
  for (const address of never) {
    assert.equal(isReachable(address, "public"), false, address);
    assert.equal(isReachable(address, "private"), false, address);
  }
});

test("an IPv4 address in an IPv6 one is held to the same", () => {
  assert.equal(isReachable("::ffff:127.0.0.1", "public"), false);
  assert.equal(isReachable("::ffff:169.254.169.254", "private"), false);
  assert.equal(isReachable("::ffff:10.0.0.1", "public"), false);
});

test("an address of this host is held to be private, whichever it is", () => {
  const own = new BlockList();
  own.addAddress("1.1.1.1", "ipv4");
  assert.equal(isReachable("1.1.1.1", "public", own), false);
  assert.equal(isReachable("1.1.1.1", "private", own), true);
  assert.equal(isReachable("8.8.8.8", "public", own), true);
});
