import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startTestGateway } from "./gateway-fixture.ts";
import { handlersEnded, knownId, until } from "./surface-fixture.ts";

const gateway = await startTestGateway({
  headersTimeoutMs: 300,
  requestTimeoutMs: 600,
  timeoutCheckMs: 50,
  corsOrigins: ["https://app.example"],
});
after(() => gateway.close());
const { url } = gateway;

function open(): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
  });
}

// All that the server says until it closes the connection.
async function everything(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.setEncoding("utf8")) text += String(chunk);
  return text;
}

test("a request's head that does not come to its end in time is 408 and its connection closed", async () => {
  const socket = await open();
  socket.write("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ");
  const text = await everything(socket);
  assert.match(text, /^HTTP\/1\.1 408 /);
  assert.match(text, /"status":408/);
});

test("a body that does not come to its end in time is 408", async () => {
  const socket = await open();
  const head = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 100";
  socket.write(`POST /api/v1/executions:execute HTTP/1.1\r\n${head}\r\n\r\n{`);
  assert.match(await everything(socket), /^HTTP\/1\.1 408 /);
});

test("a head over 16 KiB is 431, and what is no request 400", async () => {
  const large = await open();
  large.write(`GET /health HTTP/1.1\r\nHost: x\r\nX-Large: ${"x".repeat(17_000)}\r\n\r\n`);
  assert.match(await everything(large), /^HTTP\/1\.1 431 /);
  const odd = await open();
  odd.write("HELO example\r\n\r\n");
  assert.match(await everything(odd), /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json/);
});

test("/health, /ready and /metrics tell how the platform is", async () => {
  assert.deepEqual(await (await fetch(`${url}/health`)).json(), { status: "ok" });
  assert.deepEqual(await (await fetch(`${url}/ready`)).json(), {
    status: "ready",
    checks: { database: "ok" },
  });
  gateway.state.ready = false;
  const response = await fetch(`${url}/ready`);
  gateway.state.ready = true;
  assert.equal(response.status, 503);
  const metrics = await fetch(`${url}/metrics`);
  assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
  assert.equal(await metrics.text(), "up 1\n");
});

test("/ leads to /docs, which loads nothing from elsewhere and is not to be framed", async () => {
  const root = await fetch(`${url}/`, { redirect: "manual" });
  assert.equal(root.headers.get("location"), "/docs");
  const response = await fetch(`${url}/docs`);
  assert.equal(response.headers.get("content-type"), "text/html; charset=utf-8");
  const policy = response.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'; script-src 'self';.*frame-ancestors 'none'/);
  const html = await response.text();
  assert.ok(!/https?:\/\//.test(html));
  for (const [, source = ""] of html.matchAll(/<script[^>]* src="([^"]+)"/g)) {
    const script = await fetch(url + source);
    assert.equal(script.status, 200);
    assert.match(script.headers.get("content-type") ?? "", /^text\/javascript/);
    assert.ok((await script.text()).length > 100_000);
  }
});

test("what a client has already is answered with 304", async () => {
  for (const path of ["/openapi.json", "/docs"]) {
    const etag = (await fetch(url + path)).headers.get("etag") ?? "";
    assert.match(etag, /^"[\w-]{22}"$/);
    const again = await fetch(url + path, { headers: { "if-none-match": `"other", W/${etag}` } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
    const other = await fetch(url + path, { headers: { "if-none-match": '"other"' } });
    assert.equal(other.status, 200);
  }
});

test("a page of a listed origin may call, one of another may not", async () => {
  const listed = { origin: "https://app.example" };
  const good = await fetch(`${url}/api/v1/languages`, { headers: listed });
  assert.equal(good.headers.get("access-control-allow-origin"), "https://app.example");
  assert.match(good.headers.get("access-control-expose-headers") ?? "", /X-Request-Id/);
  const bad = await fetch(`${url}/api/v1/languages`, {
    headers: { origin: "https://evil.example" },
  });
  assert.equal(bad.headers.get("access-control-allow-origin"), null);
  assert.equal(bad.headers.get("vary"), "Origin");
  const preflight = await fetch(`${url}/api/v1/executions`, {
    method: "OPTIONS",
    headers: { ...listed, "access-control-request-method": "POST" },
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get("access-control-allow-methods") ?? "", /POST/);
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /Content-Type/);
});

test("drain() lets running calls end, turns the platform unready, closes connections and takes no new ones", async () => {
  const draining = await startTestGateway({ drainMs: 1000 });
  const call = fetch(`${draining.url}/api/v1/executions:execute`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-timeout": "0.3" },
    body: JSON.stringify({ language: "python", code: "hang" }),
  });
  await until(() => draining.log.started === 1, "the call runs");
  const kept = await open();
  kept.destroy();
  const drained = draining.drain();
  await sleep(50);
  await assert.rejects(fetch(`${draining.url}/health`));
  const response = await call;
  assert.equal(response.status, 504);
  assert.equal(response.headers.get("connection"), "close");
  await drained;
  await draining.close();
});

test("drain() sends watchers away to come back, and ends a stream that cannot be resumed with its reason", async () => {
  const draining = await startTestGateway({ drainMs: 300, streamOpenMs: 10 });
  const watch = await fetch(`${draining.url}/api/v1/executions/${knownId}/events?after=100`);
  const run = await fetch(`${draining.url}/api/v1/executions:stream`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ language: "python", code: "hang" }),
  });
  const drained = draining.drain();
  assert.match(await watch.text(), /retry: 1000\n\n$/);
  assert.match(await run.text(), /event: error\ndata: .*"code":"shutting_down"/);
  await drained;
  await handlersEnded(draining.log);
  await draining.close();
});

test("close() ends at once what still runs", async () => {
  const closing = await startTestGateway({ drainMs: 60_000 });
  const call = fetch(`${closing.url}/api/v1/executions:execute`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ language: "python", code: "hang" }),
  }).catch((thrown: unknown) => thrown);
  await until(() => closing.log.started === 1, "the call runs");
  const started = Date.now();
  await closing.close();
  assert.ok(Date.now() - started < 5000);
  assert.ok((await call) instanceof Error);
  await handlersEnded(closing.log);
});
