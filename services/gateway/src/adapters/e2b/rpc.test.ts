// The Connect protocol as E2B's SDKs speak it, on a gateway's HTTP side, byte by byte.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultsOf } from "@syla/kit/config";
import { SylaError } from "@syla/kit/error";
import { localKey } from "@syla/kit/local-key";
import { registerAdapters } from "../../adapters.ts";
import { gatewaySettings } from "../../config.ts";
import { createHttp } from "../../http.ts";
import { registerStatus } from "../../status.ts";
import { until } from "../../surface-fixture.ts";
import { sandboxHeader, sandboxToken } from "./access.ts";
import { explainCall, Refusal } from "./errors.ts";
import { type Call, rpcRoutes } from "./rpc.ts";

const sandbox = "01890a5d-ac96-774b-bcce-b302099a8057";
const key = localKey("", `syla_${"1f".repeat(32)}`);
const ended: string[] = [];

async function* words({ fields, timeoutMs, context }: Call): AsyncGenerator<object> {
  const kind = fields.text("kind");
  try {
    if (kind === "gone") throw new SylaError("sandbox_ended", "It has ended.");
    yield { word: "first", timeoutMs: timeoutMs ?? null };
    if (kind === "fail") throw new Refusal("not_found", "no second");
    if (kind === "slow") await sleep(1500);
    if (kind === "forever") await new Promise<void>((resolve) => context.onAbort(() => resolve()));
    yield { word: "second" };
  } finally {
    ended.push(kind);
  }
}

const methods = {
  unary: {
    Say: async ({ fields }: Call) => {
      if (fields.has("refuse")) throw new SylaError("file_not_found", "Nothing is there.");
      return { said: fields.text("word") };
    },
  },
  streams: { Words: { keepalive: { keepalive: {} }, handle: words } },
};
const config = defaultsOf(gatewaySettings);
const answers = { compressBytesMin: 1024, draining: false };
const log = { debug() {}, info() {}, warn() {}, error() {} };
const side = createHttp(config, answers, log);
const metrics = { text: async () => ({ contentType: "text/plain", body: "" }) };
const health = { live: () => true, ready: async () => ({ ready: true, checks: {} }) };
registerStatus(side.fastify, { health, metrics, mayReadMetrics: () => true }, answers);
const routes = [
  ...rpcRoutes("test.Test", methods, key),
  {
    httpVerb: "GET",
    path: "/health",
    handle: async () => ({ kind: "whole", status: 204, contentType: "", text: "" }) as const,
  } as const,
];
const adapter = { name: "toy", prefixes: [""], header: sandboxHeader, routes };
registerAdapters(side, [{ ...adapter, explain: explainCall }], {
  ...{ bodyBytesMax: 2048, streamStallMs: 200, answers, log },
  sockets: { origins: [], frameBytesMax: 1024, heartbeatMs: 1000 },
});
await side.fastify.listen({ port: 0, host: "127.0.0.1" });
after(async () => {
  side.server.closeAllConnections();
  await side.fastify.close();
});
const address = side.fastify.server.address();
const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
const own = { [sandboxHeader]: sandbox, "x-access-token": sandboxToken(key, sandbox) };

function post(path: string, body: string | Uint8Array<ArrayBuffer>, more: object = {}) {
  const type = typeof body === "string" ? "application/json" : "application/connect+json";
  return fetch(url + path, {
    method: "POST",
    body,
    headers: { ...own, "content-type": type },
    ...more,
  });
}

function framed(message: object, flag = 0): Uint8Array<ArrayBuffer> {
  const body = Buffer.from(JSON.stringify(message));
  const bytes = new Uint8Array(5 + body.length);
  new DataView(bytes.buffer).setUint32(1, body.length);
  bytes[0] = flag;
  bytes.set(body, 5);
  return bytes;
}

async function messages(response: Response): Promise<unknown[]> {
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/connect+json");
  const bytes = Buffer.from(await response.arrayBuffer());
  const found: unknown[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 1);
    found.push([bytes[at], JSON.parse(bytes.subarray(at + 5, at + 5 + length).toString())]);
    at += 5 + length;
  }
  return found;
}

test("a unary call is JSON each way, and its error has a code in words", async () => {
  const said = await post("/test.Test/Say", '{"word":"ä"}');
  assert.deepEqual([said.status, await said.json()], [200, { said: "ä" }]);
  const refused = await post("/test.Test/Say", '{"refuse":true}');
  const nothing = { code: "not_found", message: "Nothing is there." };
  assert.deepEqual([refused.status, await refused.json()], [404, nothing]);
  const wrong = await post("/test.Test/Say", '{"word":1}');
  assert.equal(wrong.status, 400);
  assert.match(await wrong.text(), /"code":"invalid_argument".*word is not a text/);
});

test("a stream is framed, with its end or its error as the last", async () => {
  const headers = { ...own, "connect-timeout-ms": "2500" };
  const body = framed({ kind: "" });
  assert.deepEqual(await messages(await post("/test.Test/Words", body, { headers })), [
    [0, { word: "first", timeoutMs: 2500 }],
    [0, { word: "second" }],
    [2, {}],
  ]);
  assert.deepEqual(await messages(await post("/test.Test/Words", framed({ kind: "fail" }))), [
    [0, { word: "first", timeoutMs: null }],
    [2, { error: { code: "not_found", message: "no second" } }],
  ]);
});

test("a stream that has nothing to tell says that it lives", async () => {
  const headers = { ...own, "keepalive-ping-interval": "0.01" };
  const told = await messages(
    await post("/test.Test/Words", framed({ kind: "slow" }), { headers }),
  );
  assert.deepEqual(told.slice(1), [
    [0, { keepalive: {} }],
    [0, { word: "second" }],
    [2, {}],
  ]);
});

test("a stream ends with its reader", async () => {
  const leaving = new AbortController();
  const { signal } = leaving;
  const response = await post("/test.Test/Words", framed({ kind: "forever" }), { signal });
  assert.equal(response.status, 200);
  assert.ok(!ended.includes("forever"));
  leaving.abort();
  await until(() => ended.includes("forever"), "the handler ended");
});

test("a sandbox that is not there is 502, and a request that is no message is refused", async () => {
  const gone = await post("/test.Test/Words", framed({ kind: "gone" }));
  const message = "The sandbox was not found";
  assert.deepEqual(
    [gone.status, await gone.json()],
    [502, { sandboxId: sandbox, message, code: 502 }],
  );
  await until(() => ended.includes("gone"), "the handler ended");
  const packed = await post("/test.Test/Words", framed({ kind: "" }, 1));
  assert.match(await packed.text(), /"code":"invalid_argument"/);
  const cut = await post("/test.Test/Words", framed({ kind: "" }).slice(0, 8));
  assert.match(await cut.text(), /"code":"invalid_argument"/);
});

test("only requests with the header are for the adapter, at paths that are others' too", async () => {
  assert.equal((await fetch(`${url}/health`)).status, 200);
  const inside = await fetch(`${url}/health`, { headers: own });
  assert.equal(inside.status, 204);
  assert.deepEqual(
    [inside.headers.get("content-length"), inside.headers.get("content-type")],
    [null, null],
  );
  const without = await fetch(`${url}/test.Test/Say`, { method: "POST", body: "{}" });
  assert.equal(without.status, 404);
});
