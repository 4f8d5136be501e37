import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { McpBridge } from "./bridge.ts";

interface Answer {
  readonly id?: number | null;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: number; readonly message: string };
}

type Serve = (body: string, request: IncomingMessage, response: ServerResponse) => void;

let serve: Serve = () => undefined;
const server = createServer((request, response) => {
  void text(request).then((body) => serve(body, request, response));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.close().closeAllConnections());
const url = `http://127.0.0.1:${parseAddress(server.address()).port}`;

function parseAddress(address: unknown): AddressInfo {
  return address as AddressInfo;
}

function parseAnswer(line: string): Answer {
  return JSON.parse(line) as Answer;
}

/** A bridge, and its lines as they come. */
function bridgeTo(place: string, token?: string) {
  const waiting: ((line: string) => void)[] = [];
  const written: string[] = [];
  const write = async (line: string) => {
    const next = waiting.shift();
    if (next === undefined) written.push(line);
    else next(line);
  };
  const bridge = new McpBridge({ url: place, token, write });
  after(() => bridge.close());
  const next = async (): Promise<Answer> => {
    const line = written.shift() ?? (await new Promise<string>((see) => waiting.push(see)));
    assert.ok(!line.includes("\n"));
    return parseAnswer(line);
  };
  return { bridge, next };
}

const json = { "content-type": "application/json" };
const request = (id: number, method = "ping") => JSON.stringify({ jsonrpc: "2.0", id, method });
const result = (id: number, of: object = {}) => JSON.stringify({ jsonrpc: "2.0", id, result: of });

test("session, version and token go with every message after the handshake", async () => {
  const { bridge, next } = bridgeTo(url, "key");
  const seen: (readonly unknown[])[] = [];
  serve = (_body, { headers }, response) => {
    seen.push([headers["mcp-session-id"], headers["mcp-protocol-version"], headers.authorization]);
    response.writeHead(200, { ...json, "mcp-session-id": "s" });
    response.end(result(1, { protocolVersion: "2025-06-18" }));
  };
  bridge.take(request(1, "initialize"));
  await next();
  bridge.take(request(1));
  await next();
  assert.deepEqual(seen, [
    [undefined, undefined, "Bearer key"],
    ["s", "2025-06-18", "Bearer key"],
  ]);
});

test("each event of a stream is a line", async () => {
  const { bridge, next } = bridgeTo(url);
  serve = (_body, _request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`: still here\n\nevent: message\ndata: ${result(1, { part: 1 })}\n`);
    response.end(`\nevent: message\r\ndata: ${result(2)}\r\n\r\n`);
  };
  bridge.take(request(2));
  assert.deepEqual([(await next()).result, (await next()).id], [{ part: 1 }, 2]);
});

test("a stream that ends without the answer is an error", async () => {
  const { bridge, next } = bridgeTo(url);
  serve = (_body, _request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(": still here\n\n");
  };
  bridge.take(request(1));
  assert.equal((await next()).error?.message, "The call ended without an answer.");
});

test("what HTTP refuses is the answer to the request", async () => {
  const { bridge, next } = bridgeTo(url);
  const refusals: readonly (readonly [status: number, body: string, message: string])[] = [
    [401, JSON.stringify({ detail: "Give a key." }), "Give a key."],
    [400, JSON.stringify({ error: { code: 1, message: "No message." } }), "No message."],
    [502, "<html>", "The platform answered 502."],
  ];
  for (const [status, body, message] of refusals) {
    serve = (_body, _request, response) => void response.writeHead(status).end(body);
    bridge.take(request(3));
    assert.deepEqual(await next(), {
      ...{ jsonrpc: "2.0", id: 3, error: { code: -32_603, message } },
    });
  }
  bridge.take("{");
  assert.equal((await next()).error?.code, -32_700);
  const away = bridgeTo("http://127.0.0.1:1");
  away.bridge.take(request(4));
  assert.match((await away.next()).error?.message ?? "", /^Cannot reach http:\/\/127\.0\.0\.1:1/);
});

test("a call that is cancelled loses its request, and is not answered", async () => {
  const { bridge, next } = bridgeTo(url);
  const held = Promise.withResolvers<ServerResponse>();
  serve = (body, _request, response) => {
    if (body.includes("slow")) held.resolve(response);
    else response.writeHead(200, json).end(result(6));
  };
  bridge.take(request(5, "slow"));
  const gone = once(await held.promise, "close");
  const params = { requestId: 5 };
  bridge.take(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params }));
  await gone;
  bridge.take(request(6));
  assert.equal((await next()).id, 6);
});

test("more calls than a client has use for are refused, each", async () => {
  const { bridge, next } = bridgeTo(url);
  serve = () => undefined;
  for (let id = 1; id <= 65; id += 1) bridge.take(request(id));
  const { id, error } = await next();
  assert.deepEqual([id, error?.message], [65, "Over 64 calls are open."]);
});
