// The seam of adapters, with a small one of its own on a gateway's HTTP side.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultsOf } from "@syla/kit/config";
import { SylaError } from "@syla/kit/error";
import { WebSocket, WebSocketServer } from "ws";
import { type Adapter, type AdapterRequest, jsonReply, registerAdapters } from "./adapters.ts";
import { gatewaySettings } from "./config.ts";
import { createHttp } from "./http.ts";
import { openPeer } from "./peer.ts";
import { until } from "./surface-fixture.ts";

const seen = { left: 0, pieces: 0, errors: 0 };
const sockets = new WebSocketServer({ noServer: true });

async function wait({ context }: AdapterRequest): Promise<never> {
  await new Promise<void>((resolve) => context.onAbort(() => resolve()));
  seen.left += 1;
  throw context.aborted ?? new Error("It was not aborted.");
}

async function* pieces(): AsyncGenerator<string> {
  try {
    for (;;) {
      seen.pieces += 1;
      yield "x".repeat(64 * 1024);
    }
  } finally {
    seen.left += 1;
  }
}

const adapter: Adapter = {
  name: "toy",
  prefixes: ["/toy", "/also/toy"],
  routes: [
    {
      httpVerb: "POST",
      path: "/echo/:id",
      handle: async ({ params, query, context, json }) =>
        jsonReply(201, { ...params, q: query.get("q"), body: await json(), on: context.surface }),
    },
    { httpVerb: "GET", path: "/wait", handle: wait },
    {
      httpVerb: "GET",
      path: "/full",
      handle: () => Promise.reject(new SylaError("queue_full", "Full.", { retryAfterMs: 2000 })),
    },
    { httpVerb: "GET", path: "/crash", handle: () => Promise.reject(new Error("secret")) },
    {
      httpVerb: "GET",
      path: "/lines",
      handle: async () => ({
        ...{ kind: "stream", status: 200, contentType: "text/plain" },
        chunks: (async function* () {
          yield "one\n";
          await sleep(5);
          yield Buffer.from("two\n");
        })(),
      }),
    },
    {
      httpVerb: "GET",
      path: "/flood",
      handle: async () => ({
        ...{ kind: "stream", status: 200, contentType: "text/plain", chunks: pieces() },
      }),
    },
  ],
  explain: ({ httpStatus, code }) => jsonReply(httpStatus, { oops: code }),
  findUpgrade: (path) =>
    path === "/toy/socket"
      ? (handshake) =>
          openPeer(sockets, handshake, 1000, (peer) => peer.onText((text) => void peer.send(text)))
      : undefined,
};

const config = { ...defaultsOf(gatewaySettings), bodyBytesMax: 2048 };
const answers = { compressBytesMin: 1024, draining: false };
const log = { debug() {}, info() {}, warn() {}, error: () => void (seen.errors += 1) };
const side = createHttp(config, answers, log);
const rules = { origins: [], frameBytesMax: 1024, heartbeatMs: 1000 };
registerAdapters(side, [adapter], {
  ...{ bodyBytesMax: 2048, streamStallMs: 200, answers, log, sockets: rules },
});
await side.fastify.listen({ port: 0, host: "127.0.0.1" });
after(async () => {
  side.server.closeAllConnections();
  await side.fastify.close();
});
const address = side.fastify.server.address();
const port = typeof address === "object" ? address?.port : 0;
const url = `http://127.0.0.1:${port}`;
const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });

test("a route is served at every prefix, with and without a slash at its end, and carries the request's id", async () => {
  for (const path of ["/toy/echo/7?q=a%20b", "/also/toy/echo/7/?q=a%20b"]) {
    const response = await post(path, '{"a":1}', { "x-request-id": "mine" });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("x-request-id"), "mine");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.deepEqual(await response.json(), { id: "7", q: "a b", body: { a: 1 }, on: "toy" });
  }
});

test("errors are told in the product's shape: a bad body, one too large, a full queue, a fault of ours", async () => {
  const told = async (response: Response) => [response.status, await response.json()];
  assert.deepEqual(await told(await post("/toy/echo/1", "{")), [400, { oops: "invalid_json" }]);
  const large = await post("/toy/echo/1", JSON.stringify("x".repeat(3000)));
  assert.deepEqual(await told(large), [413, { oops: "payload_too_large" }]);
  const full = await fetch(`${url}/toy/full`);
  assert.equal(full.headers.get("retry-after"), "2");
  assert.deepEqual(await told(full), [429, { oops: "queue_full" }]);
  assert.equal(seen.errors, 0);
  assert.deepEqual(await told(await fetch(`${url}/toy/crash`)), [500, { oops: "internal" }]);
  assert.equal(seen.errors, 1);
});

test("a client that leaves ends its call, and is no error", async () => {
  const leaving = new AbortController();
  const call = fetch(`${url}/toy/wait`, { signal: leaving.signal });
  await sleep(50);
  leaving.abort();
  await assert.rejects(call);
  await until(() => seen.left === 1, "the handler ended");
  assert.equal(seen.errors, 1);
});

test("a stream comes piece by piece, waits for its reader, and ends with it", async () => {
  const lines = await fetch(`${url}/toy/lines`);
  assert.equal(lines.headers.get("content-type"), "text/plain");
  assert.equal(await lines.text(), "one\ntwo\n");
  const before = seen.left;
  const leaving = new AbortController();
  const flood = await fetch(`${url}/toy/flood`, { signal: leaving.signal });
  assert.equal(flood.status, 200);
  await until(() => seen.left === before + 1, "a client that does not read is let go");
  assert.ok(seen.pieces < 1000, `${seen.pieces} pieces were made for nobody`);
  leaving.abort();
});

test("an adapter takes handshakes", async () => {
  const socket = new WebSocket(`${url.replace("http", "ws")}/toy/socket`);
  await new Promise((resolve) => socket.once("open", resolve));
  socket.send("hello");
  const [data] = await new Promise<Buffer[]>((resolve) => {
    socket.once("message", (message: Buffer) => resolve([message]));
  });
  assert.equal(data?.toString(), "hello");
  socket.close();
  const refused = new WebSocket(`${url.replace("http", "ws")}/toy/other`);
  await new Promise((resolve) => refused.once("error", resolve));
});
