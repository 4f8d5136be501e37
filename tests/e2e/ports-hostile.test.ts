// Servers in sandboxes that mean harm: to the gateway's own pages, to other visitors, to other sandboxes and to the
// platform that they are reached through.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { once } from "node:events";
import {
  headersOf,
  keyOf,
  parseIncoming,
  parseTold,
  send,
  serveIn,
  type Served,
} from "../port-visits.ts";
import { makeSandbox, shell } from "../sandbox-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({
  environment: {
    SYLA_GATEWAY_HEAD_TIMEOUT: "1s",
    SYLA_GATEWAY_REQUEST_TIMEOUT: "1s",
    SYLA_GATEWAY_PORT_IDLE: "3s",
  },
});
let starting: Promise<Served> | undefined;
const shared = () => (starting ??= serveIn(platform()));
const known = () => ({ "X-API-Key": keyOf(platform()) });

test("an answer on the gateway's origin is shut in, and says nothing for more than itself", async () => {
  const { id, port } = await shared();
  const prefix = `/s/${id}/${port}`;
  const byHeader = { "Syla-Sandbox": id, "Syla-Port": String(port) };
  const ways = [
    { path: `${prefix}/hostile`, headers: known() },
    { path: "/hostile", headers: { ...known(), ...byHeader } },
  ];
  for (const { path, headers } of ways) {
    const { rawHeaders, text } = await send(platform(), path, { headers });
    assert.equal(text, "<script>");
    const policies = headersOf(rawHeaders, "content-security-policy");
    const ours = policies.find((policy) => !policy.includes("allow-same-origin"));
    assert.match(ours ?? "", /^sandbox allow-/);
    const gone = ["service-worker-allowed", "clear-site-data", "strict-transport-security"];
    for (const name of [...gone, "alt-svc", "report-to", "x-hop"]) {
      assert.deepEqual(headersOf(rawHeaders, name), [], name);
    }
    assert.deepEqual(headersOf(rawHeaders, "x-mine"), ["kept"]);
  }
  const byPath = await send(platform(), `${prefix}/hostile`, { headers: known() });
  assert.deepEqual(headersOf(byPath.rawHeaders, "www-authenticate"), []);
  assert.deepEqual(headersOf(byPath.rawHeaders, "set-cookie"), [
    `syla_s_plain=1; Path=${prefix}/`,
    `syla_s_wide=2; Secure; Path=${prefix}/`,
  ]);
  const browser = { ...known(), ...byHeader, Origin: "https://example.org" };
  const fetched = await send(platform(), "/hostile", { headers: browser });
  assert.deepEqual(headersOf(fetched.rawHeaders, "set-cookie"), []);
  assert.match(headersOf(fetched.rawHeaders, "vary").join(), /Syla-Sandbox/);
});

test("on an origin of its own it keeps what is of that origin, and no cookie leaves it", async () => {
  const { id, port } = await shared();
  const headers = { ...known(), host: `${port}-${id}.localhost` };
  const { rawHeaders } = await send(platform(), "/hostile", { headers });
  assert.deepEqual(headersOf(rawHeaders, "service-worker-allowed"), ["/"]);
  assert.deepEqual(headersOf(rawHeaders, "set-cookie"), [
    "plain=1; Path=/",
    "__Host-wide=2; Path=/; Secure",
  ]);
  assert.deepEqual(headersOf(rawHeaders, "strict-transport-security"), []);
});

test("nothing of the gateway is on a sandbox's origin: not its API, its pages or its sockets", async () => {
  const { id, port } = await shared();
  const host = `${port}-${id}.localhost`;
  for (const path of ["/api/v1/sandboxes", "/docs", "/health", "/metrics", "/graphql", "/"]) {
    const answer = await send(platform(), path, { headers: { ...known(), host } });
    assert.equal(answer.text, `nothing at ${path}`);
    assert.equal((await send(platform(), path, { headers: { host } })).status, 401, path);
  }
  const url = platform().url.replace("http", "ws");
  // The server in the sandbox echoes; the gateway's own socket would end what is no frame of its protocol.
  const socket = new WebSocket(`${url}/ws`, { headers: { ...known(), host } });
  await once(socket, "open");
  socket.send("no frame of ours");
  const [data] = await once(socket, "message");
  assert.equal(String(data), "no frame of ours");
  socket.terminate();
});

test("a name of somebody else's that points here leads to no port, by whichever way", async () => {
  const { id, port } = await shared();
  const ways = [
    { path: `/s/${id}/${port}/none`, headers: {} },
    { path: "/none", headers: { "Syla-Sandbox": id, "Syla-Port": String(port) } },
  ];
  for (const { path, headers } of ways) {
    const given = { ...known(), ...headers };
    const foreign = await send(platform(), path, { headers: { ...given, host: "evil.test" } });
    assert.equal(foreign.status, 403);
    assert.equal((await send(platform(), path, { headers: given })).status, 404);
  }
  const host = `${port}-${id}.evil.test`;
  assert.equal((await send(platform(), "/none", { headers: { ...known(), host } })).status, 403);
});

test("no script of a service worker is given out on the gateway's origin", async () => {
  const { id, port } = await shared();
  const path = `/s/${id}/${port}/none`;
  for (const header of [{ "Service-Worker": "script" }, { "Sec-Fetch-Dest": "serviceworker" }]) {
    const refused = await send(platform(), path, { headers: { ...known(), ...header } });
    assert.equal(refused.status, 403);
    const host = `${port}-${id}.localhost`;
    const own = await send(platform(), "/none", { headers: { ...known(), ...header, host } });
    assert.equal(own.status, 404);
  }
});

test("a server gets no key, no token, no ticket and no cookie of its host's other servers", async () => {
  const { id, port } = await shared();
  const key = keyOf(platform());
  const path = `/s/${id}/${port}/tell`;
  const headers = { "X-API-Key": key, Authorization: `Bearer ${key}`, Cookie: "session=another" };
  const told = parseTold((await send(platform(), path, { headers })).text);
  assert.doesNotMatch(told.rawHeaders.join(" "), new RegExp(`${key}|session=another`));
  const mine = {
    ...known(),
    Cookie: "session=another; syla_s_mine=1",
    Authorization: "Bearer own",
  };
  const passed = parseTold((await send(platform(), path, { headers: mine })).text);
  assert.deepEqual(headersOf(passed.rawHeaders, "cookie"), ["mine=1"]);
  assert.deepEqual(headersOf(passed.rawHeaders, "authorization"), ["Bearer own"]);
});

test("a port leads to its own sandbox's loopback alone: not to the platform, nor to another sandbox", async () => {
  const { id, port } = await shared();
  const { url } = platform();
  const platformPort = Number(new URL(url).port);
  const reach = async (to: number) =>
    (await send(platform(), `/s/${id}/${port}/reach?${to}`, { headers: known() })).text;
  // The server reaches itself, so it would reach what is there.
  assert.equal(await reach(port), "answered 404");
  assert.equal(await reach(platformPort), "ECONNREFUSED");
  const through = await send(platform(), `/s/${id}/${platformPort}/health`, { headers: known() });
  assert.equal(through.status, 502);
  assert.equal((await send(platform(), "/health")).status, 200);
  const other = await makeSandbox(platform());
  const there = await send(platform(), `/s/${other.id}/${port}/`, { headers: known() });
  assert.equal(there.status, 502);
  const tries = `curl -sm 2 http://127.0.0.1:${platformPort}/health; echo $?; curl -sm 2 http://127.0.0.1:${port}/none; echo $?`;
  const { stdout } = await shell(platform(), other.id, tries);
  assert.deepEqual(stdout.match(/\d+$/gm), ["7", "7"], stdout);
  const self = await shell(platform(), id, `curl -s http://127.0.0.1:${port}/none`);
  assert.equal(self.stdout, "nothing at /none");
});

test("a request may take as long as it carries something, and one that carries nothing is ended", async () => {
  const { id, port } = await shared();
  const { hostname, port: gatewayPort } = new URL(platform().url);
  const slow = request({
    ...{ hostname, port: gatewayPort, path: `/s/${id}/${port}/count`, method: "POST" },
    headers: known(),
  });
  const answered = once(slow, "response");
  // Beyond what any other request may take to arrive.
  for (let part = 0; part < 8; part += 1) {
    slow.write("some");
    await sleep(500);
  }
  slow.end();
  const answer = parseIncoming((await answered)[0]);
  const [told] = await once(answer, "data");
  assert.equal(JSON.parse(String(told)).bytes, 32);
  const silent = await send(platform(), `/s/${id}/${port}/silent`, { headers: known() });
  assert.deepEqual([silent.status, JSON.parse(silent.text).code], [504, "deadline_exceeded"]);
});

test("a request that is two to somebody is none: no answer is another's", async () => {
  const { id, port } = await shared();
  const path = `/s/${id}/${port}/tell`;
  const both = { ...known(), "Content-Length": "4", "Transfer-Encoding": "chunked" };
  const answer = await send(platform(), path, { method: "POST", headers: both }).catch(() => ({
    status: 400,
  }));
  assert.equal(answer.status, 400);
  const smuggled = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
  const body = Buffer.from(smuggled);
  const first = await send(platform(), path, { method: "POST", headers: known(), body });
  assert.equal(parseTold(first.text).url, "/tell");
  const named = { ...known(), Connection: "close, X-API-Key, Content-Length" };
  const kept = parseTold((await send(platform(), path, { headers: named })).text);
  assert.deepEqual(headersOf(kept.rawHeaders, "connection"), ["close"]);
});
