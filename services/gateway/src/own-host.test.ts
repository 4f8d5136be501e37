import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { startTestGateway } from "./gateway-fixture.ts";
import { hostCheck, isLoopback, requiresKey } from "./own-host.ts";

test("requiresKey() is so beyond loopback, whatever is set, and on it when that is asked for", () => {
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "syla.example", ""]) {
    assert.equal(requiresKey({ host, requireKey: false }), true, host);
  }
  for (const host of ["127.0.0.1", "::1", "localhost"]) {
    assert.equal(requiresKey({ host, requireKey: false }), false, host);
    assert.equal(requiresKey({ host, requireKey: true }), true, host);
  }
});

test("hostCheck() takes addresses, localhost and names it was told, with any port", () => {
  const isOwn = hostCheck(["syla.example"]);
  for (const header of [
    "127.0.0.1:8080",
    "[::1]:8080",
    "localhost",
    "LOCALHOST:1",
    "a.localhost",
  ]) {
    assert.ok(isOwn(header), header);
  }
  assert.ok(isOwn("syla.example:443"));
  assert.ok(isOwn(undefined));
});

test("hostCheck() refuses the names of others", () => {
  const isOwn = hostCheck([]);
  for (const header of [
    "evil.example",
    "127.0.0.1.evil.example:8080",
    "localhost.evil.example",
    "x",
  ]) {
    assert.ok(!isOwn(header), header);
  }
});

test("isLoopback() tells this machine's addresses from all others", () => {
  assert.ok(["127.0.0.1", "127.8.8.8", "::1", "localhost"].every(isLoopback));
  assert.ok(!["0.0.0.0", "::", "192.168.0.1", "127.example"].some(isLoopback));
});

test("a gateway on loopback does not answer to a name of the web", async () => {
  const gateway = await startTestGateway({ hostNames: ["proxy.example"] });
  const statusFor = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const call = request(`${gateway.url}/health`, { headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      call.once("error", reject);
      call.end();
    });
  assert.equal(await statusFor("evil.example"), 403);
  assert.equal(await statusFor("proxy.example"), 200);
  assert.equal(await statusFor("localhost:1"), 200);
  await gateway.close();
});
