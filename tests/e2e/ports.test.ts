// Servers in sandboxes, reached through the gateway of a whole platform: by path, by a name of their own and by header;
// requests, WebSockets and event streams; who is let in.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox as E2bSandbox } from "e2b";
import { WebSocket } from "ws";
import { pointAt } from "../e2b-sdk.ts";
import {
  headersOf,
  parseIncoming,
  keyOf,
  open,
  parseTold,
  send,
  serveIn,
  type Served,
  unsentRequest,
} from "../port-visits.ts";
import { getOk, killSandbox, makeSandbox, pathOf, postOk, startProcess } from "../sandbox-api.ts";
import { startPlatform } from "../platform.ts";
import { eventually, sharedPlatform } from "./shared.ts";

interface Port {
  readonly port: number;
  readonly access: string;
  readonly path: string;
  readonly token: string;
  readonly listening: boolean;
}

const platform = sharedPlatform();
let starting: Promise<Served> | undefined;
/** The server that the tests share. */
const shared = () => (starting ??= serveIn(platform()));
const known = () => ({ "X-API-Key": keyOf(platform()) });

/** Visits the server by path, as its owner. */
async function visit(path: string, more: Parameters<typeof send>[2] = {}) {
  const { id, port } = await shared();
  const headers = { ...known(), ...more.headers };
  return send(platform(), `/s/${id}/${port}${path}`, { ...more, headers });
}

const expose = ({ id, port }: Served, access: string) =>
  postOk<Port>(platform(), pathOf(id, `/ports/${port}:expose`), { access });
const unexpose = ({ id, port }: Served) =>
  fetch(platform().url + pathOf(id, `/ports/${port}`), { method: "DELETE" });
const link = ({ id, port }: Served, lifetime = "60s") =>
  postOk<{ path: string }>(platform(), pathOf(id, `/ports/${port}:link`), { lifetime });

test("a request reaches the server by path, by its own name and by header, with its body", async () => {
  const { id, port } = await shared();
  const ways = [
    { path: `/s/${id}/${port}/count`, headers: {} },
    { path: "/count", headers: { host: `${port}-${id}.localhost` } },
    { path: "/count", headers: { "Syla-Sandbox": id, "Syla-Port": String(port) } },
    { path: "/count", headers: { "E2b-Sandbox-Id": id, "E2b-Sandbox-Port": String(port) } },
  ];
  const body = Buffer.alloc(20_000_000, "abc");
  const hash = createHash("sha256").update(body).digest("hex");
  for (const { path, headers } of ways) {
    for (const chunked of [{}, { "Transfer-Encoding": "chunked" }]) {
      const given = { ...known(), ...headers, ...chunked };
      const answer = await send(platform(), path, { method: "POST", headers: given, body });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(JSON.parse(answer.text), { bytes: body.length, hash });
    }
  }
});

test("every method, path, query, repeated header and status passes as it is", async () => {
  for (const method of ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"]) {
    const answer = await visit("/tell?a=%2f&b=+ü".replace("ü", "%c3"), { method });
    const told = parseTold(answer.text);
    assert.deepEqual([told.method, told.url], [method, "/tell?a=%2f&b=+%c3"]);
  }
  const head = await visit("/large?1000", { method: "HEAD" });
  assert.deepEqual([head.status, head.text], [200, ""]);
  const missing = await visit("/none");
  assert.deepEqual([missing.status, missing.text], [404, "nothing at /none"]);
  const told = parseTold((await visit("/tell", { headers: { "X-Mine": "ä" } })).text);
  assert.equal(headersOf(told.rawHeaders, "x-mine").length, 1);
  assert.deepEqual(headersOf(told.rawHeaders, "host"), [`localhost:${(await shared()).port}`]);
});

test("a port without its slash is led to it, and redirects of the server stay below the prefix", async () => {
  const { id, port } = await shared();
  const prefix = `/s/${id}/${port}`;
  const bare = await visit("?a=b");
  assert.deepEqual([bare.status, bare.headers.location], [308, `${prefix}/?a=b`]);
  const to = async (where: string) => (await visit(`/to?${where}`)).headers.location;
  assert.equal(await to("/next?x"), `${prefix}/next?x`);
  assert.equal(await to(`http://localhost:${port}/next`), `${prefix}/next`);
  assert.equal(await to("https://example.org/next"), "https://example.org/next");
  const followed = await fetch(`${platform().url}${prefix}/to?/none`, { headers: known() });
  assert.equal(await followed.text(), "nothing at /none");
});

test("a large answer comes whole, and one that nobody reads holds up its server alone", async () => {
  const large = await visit("/large?50000000");
  assert.equal(large.text.length, 50_000_000);
  const { id, port } = await shared();
  const stuck = await open(platform(), `/s/${id}/${port}/flood`, { headers: known() });
  stuck.pause();
  let before = -1;
  await eventually("the server waits", async () => {
    const sent = Number((await visit("/sent")).text);
    const waits = sent === before && sent > 0;
    before = sent;
    await sleep(100);
    return waits;
  });
  // What is on the way is in buffers: of Node, of the kernel, and our windows.
  assert.ok(before < 32 * 1024 ** 2, `${before} bytes were taken for who does not read`);
  stuck.destroy();
  await eventually("the server is told", async () => (await visit("/closed")).text !== "0");
});

test("an upload that the server does not want is answered, and one that it does not read waits", async () => {
  const early = await unsentRequest(platform(), await pathTo("/early"), known());
  assert.equal(early.status, 413);
  const body = Buffer.alloc(30_000_000, "x");
  const answer = await visit("/early", { method: "POST", body }).catch((error: Error) => error);
  // Who still sends when the connection is closed may miss the answer, as without a gateway.
  if (!(answer instanceof Error)) assert.equal(answer.status, 413);
  assert.equal((await visit("/none")).status, 404);
});

async function pathTo(path: string): Promise<string> {
  const { id, port } = await shared();
  return `/s/${id}/${port}${path}`;
}

test("events come as they are sent, and the server learns that the reader has gone", async () => {
  const closed = Number((await visit("/closed")).text);
  const events = await open(platform(), await pathTo("/events"), { headers: known() });
  assert.equal(events.headers["content-type"], "text/event-stream");
  const [first] = await once(events, "data");
  assert.equal(String(first), "data: one\n\n");
  await visit("/next");
  const [second] = await once(events, "data");
  assert.equal(String(second), "data: two\n\n");
  events.destroy();
  await eventually("it is told", async () => Number((await visit("/closed")).text) > closed);
});

test("a WebSocket opens by path, by name and by header, carries both ways and ends with its end", async () => {
  const { id, port } = await shared();
  const closed = Number((await visit("/closed")).text);
  const url = platform().url.replace("http", "ws");
  const ways = [
    { path: `/s/${id}/${port}/chat`, headers: known() },
    { path: "/chat", headers: { ...known(), host: `${port}-${id}.localhost` } },
    { path: "/chat", headers: { ...known(), "Syla-Sandbox": id, "Syla-Port": String(port) } },
  ];
  for (const { path, headers } of ways) {
    // A page of whatever origin: whom to let in is the server's matter.
    const socket = new WebSocket(url + path, { headers, origin: "https://example.org" });
    const opened = once(socket, "open");
    const answer = parseIncoming((await once(socket, "upgrade"))[0]);
    // On an origin of its own it may clear that.
    const cleared = "host" in headers ? '"storage"' : undefined;
    assert.equal(answer.headers["clear-site-data"], cleared);
    await opened;
    const messages = ["hello", "x".repeat(10_000), ""];
    for (const message of messages) {
      socket.send(message);
      const [data] = await once(socket, "message");
      assert.equal(String(data), message);
    }
    socket.terminate();
  }
  await eventually(
    "they are told",
    async () => Number((await visit("/closed")).text) >= closed + 3,
  );
  const refused = new WebSocket(`${url}/s/${id}/${port}/refused`, { headers: known() });
  const [error] = await once(refused, "error");
  assert.match(String(error), /403/);
  const stranger = new WebSocket(`${url}/s/${id}/${port}/chat`);
  assert.match(String((await once(stranger, "error"))[0]), /401/);
});

test("what is wrong is told in words: nothing listens, no HTTP, broken off, paused, ended, unknown", async () => {
  const served = await serveIn(platform());
  const { id, port } = served;
  const at = (path: string, headers = {}) =>
    send(platform(), path, { headers: { ...known(), ...headers } });
  const problem = async (path: string, status: number, words: RegExp) => {
    const answer = await at(path);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.text, words);
  };
  await problem(`/s/${id}/9/`, 502, /"detail":"Cannot reach port 9 of .*nothing listens there/);
  await problem(`/s/${id}/${port}/nonsense`, 502, /port_broken/);
  await problem(`/s/${id}/${port}/head`, 502, /port_broken/);
  await assert.rejects(at(`/s/${id}/${port}/short`), /aborted/);
  await problem(`/s/${id}/70000/`, 404, /no port 70000/);
  await problem("/s/x/1/", 404, /route_not_found/);
  await problem(`/s/${id.replace(/^.{8}/, "00000000")}/1/`, 404, /sandbox_not_found/);
  const page = await at(`/s/${id}/9/`, { accept: "text/html,*/*" });
  assert.match(page.headers["content-type"] ?? "", /^text\/html/);
  assert.match(page.text, /<h1>Nothing listens at the port<\/h1>/);
  const e2b = await at("/", { "E2b-Sandbox-Id": id, "E2b-Sandbox-Port": "9" });
  assert.deepEqual(
    [e2b.status, JSON.parse(e2b.text).message],
    [502, "The sandbox is running but port is not open"],
  );
  await postOk(platform(), pathOf(id, ":pause"), {});
  await problem(`/s/${id}/${port}/`, 409, /is paused. Resume it first/);
  await postOk(platform(), pathOf(id, ":resume"), {});
  assert.equal((await at(`/s/${id}/${port}/none`)).text, "nothing at /none");
  await killSandbox(platform(), id);
  await problem(`/s/${id}/${port}/`, 410, /it has ended \(killed\)/);
});

test("a port is private until it is exposed, by token or to everybody, and again when that is taken back", async () => {
  const served = await serveIn(platform());
  const at = (headers = {}, rest = "/none") =>
    send(platform(), `/s/${served.id}/${served.port}${rest}`, { headers });
  const status = async (headers = {}, rest = "/none") => (await at(headers, rest)).status;
  assert.equal((await at()).headers["www-authenticate"], "Bearer");
  assert.deepEqual([await status(), await status(known())], [401, 404]);
  const key = keyOf(platform());
  assert.equal(await status({ Authorization: `Bearer ${key}` }), 404);
  for (const wrong of [key.slice(0, -1), `${key}0`, "", "syla_"]) {
    assert.equal(await status({ "X-API-Key": wrong }), 401);
  }
  const { token } = await expose(served, "TOKEN");
  assert.deepEqual([await status(), await status({ "Syla-Port-Token": token })], [401, 404]);
  assert.equal(await status({ "Syla-Port-Token": `${token}0` }), 401);
  assert.equal(await status({ "E2b-Traffic-Access-Token": token }), 401);
  await expose(served, "PUBLIC");
  assert.equal(await status(), 404);
  assert.equal((await unexpose(served)).status, 200);
  assert.deepEqual([await status(), await status({ "Syla-Port-Token": token })], [401, 401]);
  const other = { ...served, port: 8001 };
  await serveIn(platform(), other);
  await expose(other, "PUBLIC");
  assert.equal(await status(), 401);
});

test("a browser trades what is in its address for a cookie of that port alone", async () => {
  const served = await serveIn(platform());
  const prefix = `/s/${served.id}/${served.port}`;
  const { path } = await link(served);
  const visited = await send(platform(), `${path}&a=b`);
  assert.deepEqual([visited.status, visited.headers.location], [303, `${prefix}/?a=b`]);
  assert.equal(visited.headers["referrer-policy"], "no-referrer");
  const [cookie = ""] = visited.headers["set-cookie"] ?? [];
  assert.match(
    cookie,
    /^syla_port=[\w.-]+; Path=\/s\/\S+\/8000\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/,
  );
  const pair = cookie.split(";")[0] ?? "";
  const told = await send(platform(), `${prefix}/tell`, { headers: { cookie: pair } });
  assert.equal(told.status, 200);
  assert.doesNotMatch(told.text, /syla_|ticket/);
  const elsewhere = await serveIn(platform(), { id: served.id, port: 8001 });
  const there = `/s/${elsewhere.id}/${elsewhere.port}/tell`;
  assert.equal((await send(platform(), there, { headers: { cookie: pair } })).status, 401);
  assert.equal((await send(platform(), path.replace(/.$/, "!"))).status, 401);
  const { token } = await expose(served, "TOKEN");
  const byToken = await send(platform(), `${prefix}/x?syla_token=${token}`);
  assert.equal(byToken.headers.location, `${prefix}/x`);
  // What is no visit of a page goes on at once, without what let it in.
  const posted = await send(platform(), `${prefix}/tell?syla_token=${token}`, { method: "POST" });
  assert.equal(parseTold(posted.text).url, "/tell");
  const host = { host: `${served.port}-${served.id}.localhost` };
  const named = await send(platform(), `//evil.test/x?syla_token=${token}`, { headers: host });
  assert.equal(named.headers.location, "/evil.test/x");
  assert.match(String(named.headers["set-cookie"]), /; Path=\/; /);
  await unexpose(served);
  const after = (named.headers["set-cookie"]?.[0] ?? "").split(";")[0] ?? "";
  assert.equal(
    (await send(platform(), "/tell", { headers: { ...host, cookie: after } })).status,
    401,
  );
});

test("ports are listed: those that are exposed and those at which something listens", async () => {
  const served = await serveIn(platform());
  const python = { command: "python3", args: ["-m", "http.server", "8002"] };
  await startProcess(platform(), served.id, python);
  await expose({ ...served, port: 7000 }, "PUBLIC");
  const list = () => getOk<{ ports: Port[] }>(platform(), pathOf(served.id, "/ports"));
  await eventually("python listens", async () => {
    return (await list()).ports.some(({ port }) => port === 8002);
  });
  const { ports } = await list();
  assert.deepEqual(
    ports.map(({ port, access, listening }) => [port, access, listening]),
    [
      [7000, "PUBLIC", false],
      [8000, "PRIVATE", true],
      [8002, "PRIVATE", true],
    ],
  );
  assert.equal(ports[0]?.path, `/s/${served.id}/7000/`);
  const files = await send(platform(), `/s/${served.id}/8002/`, { headers: known() });
  assert.match(files.text, /server\.cjs/);
});

test("a server is reached on whichever loopback it listens, as Node and Python choose one", async () => {
  const { id } = await makeSandbox(platform());
  const servers = {
    8001: "exec python3 -m http.server --bind ::1 8001",
    8002: `exec node -e 'require("http").createServer((_, r) => r.end("node")).listen(8002, "localhost")'`,
    8003: "exec python3 -m http.server --bind 127.0.0.1 8003",
  };
  for (const command of Object.values(servers)) {
    await startProcess(platform(), id, { command: "/bin/sh", args: ["-c", command] });
  }
  for (const port of Object.keys(servers)) {
    await eventually(`port ${port} answers`, async () => {
      const answer = await send(platform(), `/s/${id}/${port}/`, { headers: known() });
      return answer.status === 200;
    });
  }
  const { ports } = await getOk<{ ports: readonly Port[] }>(platform(), pathOf(id, "/ports"));
  assert.deepEqual(
    ports.map(({ port }) => port),
    [8001, 8002, 8003],
  );
  await killSandbox(platform(), id);
});

test("E2B's SDK finds its ports below the domain that it is told, and its traffic token opens them", async () => {
  pointAt(platform());
  const all = await E2bSandbox.create({ network: { allowPublicTraffic: true } });
  const shut = await E2bSandbox.create();
  try {
    for (const sandbox of [all, shut]) await serveIn(platform(), { id: sandbox.sandboxId });
    const visitHost = (sandbox: E2bSandbox, headers = {}) => {
      const host = sandbox.getHost(8000);
      assert.match(host, /^8000-[0-9a-f-]+\.localhost:\d+$/);
      return send(platform(), "/none", { headers: { host, ...headers } });
    };
    assert.equal((await visitHost(all)).text, "nothing at /none");
    assert.equal((await visitHost(shut)).status, 401);
    const token = shut.trafficAccessToken ?? "";
    assert.match(token, /^[0-9a-f]{64}$/);
    const given = { "e2b-traffic-access-token": token };
    assert.equal((await visitHost(shut, given)).text, "nothing at /none");
    assert.notEqual(token, all.trafficAccessToken);
    const header = { "E2b-Sandbox-Id": shut.sandboxId, "E2b-Sandbox-Port": "8000" };
    const byHeader = await send(platform(), "/none", { headers: { ...header, ...given } });
    assert.equal(byHeader.text, "nothing at /none");
    const again = await E2bSandbox.connect(shut.sandboxId);
    assert.equal(again.getHost(8000), shut.getHost(8000));
  } finally {
    await all.kill();
    await shut.kill();
  }
});

test("a platform that stops does not wait for what has no end of its own", async () => {
  // Nothing else than their being ended lets it stop in the time that a test has.
  const stopping = await startPlatform({ environment: { SYLA_SERVER_DRAIN: "10m" } });
  const { id, port } = await serveIn(stopping);
  const headers = { "X-API-Key": keyOf(stopping) };
  const endless = await open(stopping, `/s/${id}/${port}/events`, { headers });
  endless.on("error", () => undefined).resume();
  const url = `${stopping.url.replace("http", "ws")}/s/${id}/${port}/chat`;
  const socket = new WebSocket(url, { headers });
  await once(socket, "open");
  const ends = [endless, socket].map((each) => new Promise((resolve) => each.on("close", resolve)));
  assert.equal(await stopping.stop(), 0, stopping.log());
  await Promise.all(ends);
});

test("connections to a sandbox are bounded, and the next goes through when one ends", async () => {
  const served = await serveIn(platform());
  const path = `/s/${served.id}/${served.port}/events`;
  const all = await Promise.all(
    Array.from({ length: 128 }, () => open(platform(), path, { headers: known() })),
  );
  assert.ok(all.every(({ statusCode }) => statusCode === 200));
  const more = await send(platform(), path, { headers: known() });
  assert.deepEqual([more.status, JSON.parse(more.text).code], [429, "connections_full"]);
  // Its processes and files have their own.
  const spec = { command: "echo", args: ["still there"] };
  const ran = await postOk<{ stdout: string }>(
    platform(),
    pathOf(served.id, "/processes:run"),
    spec,
  );
  assert.equal(ran.stdout, "still there\n");
  for (const one of all) one.destroy();
  const free = `/s/${served.id}/${served.port}/none`;
  await eventually("there is room", async () => {
    return (await send(platform(), free, { headers: known() })).status === 404;
  });
});
