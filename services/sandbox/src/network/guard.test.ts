import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { SylaError } from "@syla/kit/error";
import { parseAddress } from "./address.ts";
import { type GuardOptions, NetworkGuard } from "./guard.ts";

function refused(options: Partial<GuardOptions>, texts: readonly string[]): string[] {
  const guard = new NetworkGuard({ deny: [], allowPrivate: [], ...options });
  return texts.filter((text) => {
    const address = parseAddress(text);
    assert.ok(address !== undefined, text);
    return guard.refusal(address) !== undefined;
  });
}

test("NetworkGuard refuses what is not public, what is the platform's, and what it is told to", () => {
  const texts = ["1.1.1.1", "9.9.9.9", "10.0.0.1", "127.0.0.1", "169.254.169.254"];
  assert.deepEqual(refused({}, texts), ["10.0.0.1", "127.0.0.1", "169.254.169.254"]);
  assert.deepEqual(refused({ deny: ["9.9.9.0/24"] }, ["1.1.1.1", "9.9.9.9"]), ["9.9.9.9"]);
  assert.deepEqual(refused({ own: () => ["::ffff:1.1.1.1"] }, ["1.1.1.1"]), ["1.1.1.1"]);
});

test("NetworkGuard refuses the same behind a translator of IPv6", () => {
  const translated = ["64:ff9b::101:101", "64:ff9b::909:909"];
  assert.deepEqual(refused({}, translated), []);
  assert.deepEqual(refused({ deny: ["9.9.9.0/24"] }, translated), ["64:ff9b::909:909"]);
  assert.deepEqual(refused({ own: () => ["1.1.1.1"] }, translated), ["64:ff9b::101:101"]);
});

test("NetworkGuard opens private ranges alone, and of them none of the host's own addresses", () => {
  const everything = { allowPrivate: ["0.0.0.0/0", "::/0"] };
  const texts = ["10.0.0.1", "fd12::1", "127.0.0.1", "::1", "169.254.169.254", "100.100.100.200"];
  assert.deepEqual(refused(everything, texts), [
    ...["127.0.0.1", "::1", "169.254.169.254", "100.100.100.200"],
  ]);
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const addresses = own.map(({ address }) => address.replace(/%.*$/, ""));
  assert.ok(addresses.length > 0);
  assert.deepEqual(refused(everything, addresses), addresses);
});

test("NetworkGuard refuses to be made of ranges that are none", () => {
  assert.throws(
    () => new NetworkGuard({ deny: ["example.com"], allowPrivate: [] }),
    (error) => error instanceof SylaError && error.code === "invalid_configuration",
  );
});
