// How a gateway stops: what runs may end, what idles is let go, what can be had elsewhere is sent there.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { startTestGateway } from "./gateway-fixture.ts";
import type { GatewayConfig } from "./main.ts";
import { handlersEnded, knownId, until } from "./surface-fixture.ts";

const json = { "content-type": "application/json" };
const program = (code: string) => JSON.stringify({ language: "python", code });

function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
  });
}

// All that the server says until it closes the connection.
async function everything(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.setEncoding("latin1")) text += String(chunk);
  return text;
}

async function start(t: TestContext, config: Partial<GatewayConfig>) {
  const gateway = await startTestGateway(config);
  t.after(() => gateway.close());
  return gateway;
}

interface Peer {
  readonly socket: WebSocket;
  readonly texts: string[];
  closed?: number;
}

async function openPeer(url: string, protocols: string[] = []): Promise<Peer> {
  const socket = new WebSocket(url.replace("http", "ws"), protocols);
  const peer: Peer = { socket, texts: [] };
  socket.on("message", (data: Buffer) => peer.texts.push(data.toString()));
  socket.on("close", (code) => (peer.closed = code));
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return peer;
}

test("drain() lets running calls end, turns the platform unready, closes connections and takes no new ones", async (t) => {
  const draining = await start(t, { drainMs: 1000 });
  const call = fetch(`${draining.url}/api/v1/executions:execute`, {
    method: "POST",
    headers: { ...json, "x-request-timeout": "0.3" },
    body: program("hang"),
  });
  await until(() => draining.log.started === 1, "the call runs");
  const drained = draining.drain();
  await sleep(50);
  await assert.rejects(fetch(`${draining.url}/health`));
  const response = await call;
  assert.equal(response.status, 504);
  assert.equal(response.headers.get("connection"), "close");
  await drained;
});

test("drain() sends watchers away to come back, and ends a stream that cannot be resumed with its reason", async (t) => {
  const draining = await start(t, { drainMs: 300, streamOpenMs: 10 });
  const watch = await fetch(`${draining.url}/api/v1/executions/${knownId}/events?after=100`);
  const run = await fetch(`${draining.url}/api/v1/executions:stream`, {
    method: "POST",
    headers: json,
    body: program("hang"),
  });
  const drained = draining.drain();
  assert.match(await watch.text(), /retry: 1000\n\n$/);
  assert.match(await run.text(), /event: error\ndata: .*"code":"shutting_down"/);
  await drained;
  await handlersEnded(draining.log);
});

test("close() ends at once what still runs", async (t) => {
  const closing = await start(t, { drainMs: 60_000 });
  const call = fetch(`${closing.url}/api/v1/executions:execute`, {
    method: "POST",
    headers: json,
    body: program("hang"),
  }).catch((thrown: unknown) => thrown);
  await until(() => closing.log.started === 1, "the call runs");
  const started = Date.now();
  await closing.close();
  assert.ok(Date.now() - started < 5000);
  assert.ok((await call) instanceof Error);
  await handlersEnded(closing.log);
});

test("drain() lets go of WebSockets without a call, and of streams that can be resumed", async (t) => {
  const draining = await start(t, { drainMs: 60_000 });
  const { url, log } = draining;
  const idle = await openPeer(`${url}/ws`);
  const graphql = await openPeer(`${url}/graphql`, ["graphql-transport-ws"]);
  graphql.socket.send(JSON.stringify({ type: "connection_init" }));
  const unasked = await openPeer(`${url}/api/v1/executions:stream`);
  const watch = await openPeer(`${url}/api/v1/executions/${knownId}/events?after=100`);
  await until(() => graphql.texts.length === 1 && log.started === 1, "both answered");
  await draining.drain();
  const peers = [idle, graphql, unasked, watch];
  await until(() => peers.every(({ closed }) => closed !== undefined), "all are let go");
  assert.deepEqual(
    peers.map(({ closed }) => closed),
    [1001, 1001, 1001, 1001],
  );
  await handlersEnded(log);
});

test("drain() waits for calls on WebSockets, and ends those that take too long with their reason", async (t) => {
  const draining = await start(t, { drainMs: 300 });
  const { url, log } = draining;
  const method = "syla.execution.v1.ExecutionService/Execute";
  const call = (id: string, timeoutMs: number) => {
    const request = { spec: { language: "python", code: "hang" } };
    return JSON.stringify({ id, method, request, timeoutMs });
  };
  const short = await openPeer(`${url}/ws`);
  short.socket.send(call("a", 100));
  const long = await openPeer(`${url}/ws`);
  long.socket.send(call("b", 60_000));
  const stream = await openPeer(`${url}/api/v1/executions:stream`);
  stream.socket.send(program("hang"));
  const graphql = await openPeer(`${url}/graphql`, ["graphql-transport-ws"]);
  graphql.socket.send(JSON.stringify({ type: "connection_init" }));
  await until(() => graphql.texts.length === 1, "the connection is acknowledged");
  const spec = `{ language: "python", code: "hang" }`;
  const query = `subscription { execution_executeStream(spec: ${spec}) { number } }`;
  graphql.socket.send(JSON.stringify({ id: "c", type: "subscribe", payload: { query } }));
  await until(() => log.started === 4, "every call runs");
  const drained = draining.drain();
  await until(() => short.closed !== undefined, "the short one is let go");
  assert.match(short.texts.at(-1) ?? "", /"code":"deadline_exceeded"/);
  assert.deepEqual([long.closed, stream.closed, graphql.closed], [undefined, undefined, undefined]);
  await drained;
  const late = [long, stream, graphql];
  await until(() => late.every(({ closed }) => closed !== undefined), "the others are let go");
  for (const { texts } of late) {
    assert.match(texts.findLast((text) => text.includes("error")) ?? "", /shutting_down/);
  }
  assert.deepEqual(
    [short.closed, long.closed, stream.closed, graphql.closed],
    [1001, 1001, 4503, 1001],
  );
  await handlersEnded(log);
});

test("what is asked on an open connection of a gateway that stops is answered, and the connection closed", async (t) => {
  const draining = await start(t, { drainMs: 2000 });
  const method = "/syla.execution.v1.ExecutionService/ListLanguages";
  const requests = [
    "GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    `POST ${method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
    "OPTIONS /api/v1/executions HTTP/1.1\r\nHost: localhost\r\n\r\n",
  ];
  const sockets = await Promise.all(requests.map(() => open(draining.url)));
  const late = await open(draining.url);
  // A connection counts as open when the gateway has taken it, which its other end is not told.
  await sleep(100);
  const drained = draining.drain();
  for (const [index, request] of requests.entries()) {
    const socket = sockets[index];
    socket?.write(request);
    const answer = socket === undefined ? "" : await everything(socket);
    assert.match(answer, /^HTTP\/1\.1 20[04] [\s\S]*?\r\nConnection: close\r\n/, request);
  }
  const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
  late.write(
    `GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n\r\n`,
  );
  assert.match(await everything(late), /^HTTP\/1\.1 503 [\s\S]*"code":"shutting_down"/);
  await drained;
});

test("an answer that was under way when the gateway began to stop closes its connection", async (t) => {
  const draining = await start(t, { drainMs: 1000 });
  const call = fetch(`${draining.url}/syla.execution.v1.ExecutionService/Execute`, {
    method: "POST",
    headers: { ...json, "connect-timeout-ms": "200" },
    body: JSON.stringify({ spec: { language: "python", code: "hang" } }),
  });
  await until(() => draining.log.started === 1, "the call runs");
  const drained = draining.drain();
  const response = await call;
  assert.equal(response.status, 504);
  assert.equal(response.headers.get("connection"), "close");
  await drained;
});
