import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { startTestGateway } from "./gateway-fixture.ts";

const gateway = await startTestGateway({
  headersTimeoutMs: 300,
  requestTimeoutMs: 600,
  timeoutCheckMs: 50,
  corsOrigins: ["https://app.example"],
});
after(() => gateway.close());
const { url } = gateway;

function open(to = url): Promise<Socket> {
  const { hostname, port } = new URL(to);
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
  socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
  const text = await everything(socket);
  assert.match(text, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  assert.match(text, /"status":408,.*"code":"request_timeout"/);
  assert.match(text, /\r\nX-Request-Id: [\w-]+\r\n/);
});

test("a body that does not come to its end in time is 408", async () => {
  const socket = await open();
  const head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100";
  socket.write(`POST /api/v1/executions:execute HTTP/1.1\r\n${head}\r\n\r\n{`);
  assert.match(await everything(socket), /^HTTP\/1\.1 408 /);
});

test("a gateway that waits less for a whole request than for its head starts, and the less holds", async () => {
  const brisk = await startTestGateway({ requestTimeoutMs: 300, timeoutCheckMs: 50 });
  try {
    assert.equal((await fetch(`${brisk.url}/health`)).status, 200);
    const socket = await open(brisk.url);
    socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    assert.match(await everything(socket), /^HTTP\/1\.1 408 /);
  } finally {
    await brisk.close();
  }
});

test("a head over 16 KiB is 431, and what is no request 400", async () => {
  const large = await open();
  large.write(`GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"x".repeat(17_000)}\r\n\r\n`);
  assert.match(await everything(large), /^HTTP\/1\.1 431 [\s\S]*"code":"headers_too_large"/);
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

test("what a foreign page can send without asking first changes nothing", async () => {
  const post = async (origin: string) => {
    const answer = await fetch(`${url}/api/v1/sandboxes`, { method: "POST", headers: { origin } });
    return (await answer.text()).includes("origin_not_allowed");
  };
  assert.equal(await post("https://evil.example"), true);
  assert.equal(await post(`${url}.evil.example`), true);
  // Of a page without an origin, as those of servers in sandboxes are.
  assert.equal(await post("null"), true);
  assert.equal(await post("https://app.example"), false);
  assert.equal(await post(url), false);
});
