import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestGateway } from "../gateway-fixture.ts";
import { handlersEnded, until } from "../surface-fixture.ts";

const gateway = await startTestGateway({ heartbeatMs: 30, streamOpenMs: 40, bodyBytesMax: 65_536 });
after(() => gateway.close());
const url = `${gateway.url}/mcp`;
const both = "application/json, text/event-stream";

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** What a message of the protocol can have. */
interface Rpc {
  readonly id?: number | null;
  readonly method?: string;
  readonly params?: { readonly progressToken?: string; readonly message?: string };
  readonly result?: {
    readonly protocolVersion?: string;
    readonly isError?: boolean;
    readonly content?: readonly { readonly type: string; readonly text?: string }[];
    readonly tools?: readonly { readonly name: string }[];
  };
  readonly error?: { readonly code: number; readonly message: string };
}

function send(body: unknown, { headers = {}, signal }: Sent = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: both, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

function request(method: string, params: object = {}, id = 1): object {
  return { jsonrpc: "2.0", id, method, params };
}

function runs(code: string, more: object = {}, id = 1): object {
  return request(
    "tools/call",
    { name: "run_code", arguments: { language: "x", code }, ...more },
    id,
  );
}

function parseRpc(text: string): Rpc {
  return JSON.parse(text) as Rpc;
}

function parseBatch(text: string): readonly Rpc[] {
  return JSON.parse(text) as Rpc[];
}

async function answerTo(body: unknown, sent?: Sent): Promise<Rpc> {
  const response = await send(body, sent);
  return parseRpc(await response.text());
}

/** The messages of an event stream. */
async function eventsOf(response: Response): Promise<Rpc[]> {
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const text = await response.text();
  return [...text.matchAll(/^event: message\ndata: (.*)$/gm)].map(([, data = ""]) =>
    parseRpc(data),
  );
}

test("the handshake answers the version that was asked for, or the newest, and a session", async () => {
  const response = await send(request("initialize", { protocolVersion: "2025-03-26" }));
  assert.match(response.headers.get("mcp-session-id") ?? "", /^[\da-f-]{36}$/);
  assert.equal(parseRpc(await response.text()).result?.protocolVersion, "2025-03-26");
  const { result } = await answerTo(request("initialize", { protocolVersion: "1999-01-01" }));
  assert.equal(result?.protocolVersion, "2025-11-25");
  assert.equal((await send(request("ping"))).headers.get("mcp-session-id"), null);
});

test("notifications and answers are taken without a word", async () => {
  for (const message of [{ method: "notifications/initialized" }, { id: 1, result: {} }]) {
    const response = await send({ jsonrpc: "2.0", ...message });
    assert.deepEqual([response.status, await response.text()], [202, ""]);
  }
});

test("what is no message is told with the protocol's codes", async () => {
  const bodies: readonly (readonly [body: unknown, code: number])[] = [
    ["{", -32_700],
    ["[]", -32_600],
    ["7", -32_600],
    [{ id: 1, method: "ping" }, -32_600],
    [{ jsonrpc: "2.0", id: null, method: "ping" }, -32_600],
    [{ jsonrpc: "2.0", id: 1, method: "ping", params: [] }, -32_600],
    [Array.from({ length: 33 }, () => request("ping")), -32_600],
  ];
  for (const [body, code] of bodies) {
    const response = await send(body);
    const { id, error } = parseRpc(await response.text());
    assert.deepEqual([response.status, id, error?.code], [400, null, code], JSON.stringify(body));
  }
  assert.equal((await answerTo(request("resources/list"))).error?.code, -32_601);
  assert.equal((await answerTo(request("tools/call", { name: "nothing" }))).error?.code, -32_602);
  assert.equal((await answerTo(request("tools/list", { cursor: "2" }))).error?.code, -32_602);
});

test("a batch is answered as one, each request once", async () => {
  const notification = { jsonrpc: "2.0", method: "notifications/initialized" };
  const response = await send([request("ping"), notification, request("none", {}, 2)]);
  const answers = parseBatch(await response.text());
  assert.deepEqual(
    answers.map(({ id, error }) => [id, error?.code]),
    [
      [1, undefined],
      [2, -32_601],
    ],
  );
});

test("faults of HTTP are problems", async () => {
  const problems: readonly (readonly [sent: Sent & { readonly body?: unknown }, status: number])[] =
    [
      [{ headers: { accept: "text/html" } }, 406],
      [{ headers: { "content-type": "text/plain" } }, 415],
      [{ headers: { "mcp-protocol-version": "2099-01-01" } }, 400],
      [{ headers: { "mcp-session-id": "x".repeat(200) } }, 400],
      [{ headers: { origin: "https://evil.example" } }, 403],
      [{ body: { ...request("ping"), more: "x".repeat(70_000) } }, 413],
    ];
  for (const [{ body = request("ping"), ...sent }, status] of problems) {
    const response = await send(body, sent);
    assert.equal(response.status, status, JSON.stringify(sent));
    assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
  }
  const well = { "mcp-protocol-version": "2025-06-18", "mcp-session-id": "a", origin: gateway.url };
  assert.equal((await send(request("ping"), { headers: well })).status, 200);
});

test("there is no stream outside of calls, and a session ends when its client says so", async () => {
  const get = await fetch(url, { headers: { accept: "text/event-stream" } });
  assert.deepEqual([get.status, get.headers.get("allow")], [405, "POST, DELETE, OPTIONS"]);
  const headers = { "mcp-session-id": "to-be-ended" };
  assert.equal((await send(request("ping"), { headers })).status, 200);
  assert.equal((await fetch(url, { method: "DELETE", headers })).status, 204);
  assert.equal((await send(request("ping"), { headers })).status, 404);
  assert.equal((await fetch(url, { method: "DELETE" })).status, 400);
  assert.equal((await send(request("ping"))).status, 200);
});

test("a call that is quick is JSON, whatever else is accepted", async () => {
  const response = await send(runs("finish"));
  assert.equal(response.headers.get("content-type"), "application/json");
  const { result } = parseRpc(await response.text());
  assert.match(result?.content?.[0]?.text ?? "", /^line 1\n.*line 5\n$/s);
  const events = await eventsOf(
    await send(runs("finish"), { headers: { accept: "text/event-stream" } }),
  );
  assert.deepEqual(events[0]?.result, result);
});

test("progress is told to who asks for it, before the answer", async () => {
  const events = await eventsOf(await send(runs("finish", { _meta: { progressToken: "t" } })));
  const told = events.slice(0, -1).map(({ params }) => [params?.progressToken, params?.message]);
  assert.deepEqual(
    told,
    [1, 2, 3, 4, 5].map((line) => ["t", `line ${line}\n`]),
  );
  assert.equal(events.at(-1)?.id, 1);
});

test("what fails is the tool's error, and what broke is not told", async () => {
  const failed = await answerTo(runs("fail"));
  assert.deepEqual(
    [failed.result?.isError, failed.result?.content?.[0]?.text],
    [true, "Too many wait. Trying again later may help. (queue_full)"],
  );
  const without = await answerTo(runs("just lines"));
  assert.match(without.result?.content?.[0]?.text ?? "", /\(internal\)$/);
});

test("a call is cancelled by its own session, and is then not answered", async () => {
  const { log } = gateway;
  const headers = { "mcp-session-id": "one" };
  const started = log.started;
  const pending = send(runs("hang", {}, 7), { headers });
  await until(() => log.started > started, "the call began");
  const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
  await send(cancel, { headers: { "mcp-session-id": "two" } });
  await send(cancel);
  // A stream that is open and says that it lives is one whose call was not cancelled.
  const reader = (await pending).body?.getReader();
  assert.ok(reader !== undefined);
  assert.match(Buffer.from((await reader.read()).value ?? []).toString(), /still here/);
  assert.ok(log.ended < log.started);
  await send(cancel, { headers });
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    rest += Buffer.from(part.value).toString();
  }
  assert.doesNotMatch(rest, /data:/);
  await handlersEnded(log);
});

test("one id at a time, in one session", async () => {
  const { log } = gateway;
  const headers = { "mcp-session-id": "twice" };
  const stop = new AbortController();
  const started = log.started;
  const pending = send(runs("hang"), { headers, signal: stop.signal });
  pending.catch(() => undefined);
  await until(() => log.started > started, "the call began");
  assert.equal((await answerTo(request("ping"), { headers })).error?.code, -32_600);
  assert.deepEqual((await answerTo(request("ping", {}, 2), { headers })).result, {});
  stop.abort();
  await handlersEnded(log);
});

test("a client that leaves ends its call", async () => {
  const stop = new AbortController();
  const { log } = gateway;
  const started = log.started;
  const pending = send(runs("hang"), { signal: stop.signal });
  pending.catch(() => undefined);
  await until(() => log.started > started, "the call began");
  stop.abort();
  await handlersEnded(log);
});

test("a gateway that stops tells the calls that run why they end", async () => {
  const other = await startTestGateway({ streamOpenMs: 10 });
  const pending = await fetch(`${other.url}/mcp`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: both },
    body: JSON.stringify(runs("hang")),
  });
  const [events] = await Promise.all([eventsOf(pending), other.close()]);
  assert.match(events[0]?.result?.content?.[0]?.text ?? "", /^The platform is stopping\./);
  await handlersEnded(other.log);
});
