import assert from "node:assert/strict";
import { after, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ExecuteResponseSchema,
  ExecuteStreamResponseSchema,
  ListLanguagesResponseSchema,
  ReplService,
} from "@syla/contract/syla/repl/v1/repl";
import { defaultsOf } from "@syla/kit/config";
import { createDispatcher, implement, mergeDispatchers } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { validation } from "@syla/kit/validate";
import { gatewaySettings, startGateway } from "./main.ts";
import { startTestGateway } from "./gateway-fixture.ts";
import { createSurfaceFixture, handlersEnded, knownId, until } from "./surface-fixture.ts";

const gateway = await startTestGateway({ heartbeatMs: 30, streamOpenMs: 20, streamLifeMs: 200 });
after(() => gateway.close());
const { url } = gateway;
const watchUrl = `${url}/api/v1/executions/${knownId}/events`;

function stream(body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) {
  return fetch(`${url}/api/v1/executions:stream`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

function idsOf(text: string): number[] {
  return [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
}

test("a stream by POST is events with ids, data and a last event", async () => {
  const response = await stream({ language: "python", code: "x" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const text = await response.text();
  assert.deepEqual(idsOf(text), [1, 2, 3, 4, 5]);
  assert.ok(text.startsWith('id: 1\ndata: {"number":1,"stdout":{"text":"line 1\\n"}}\n\n'));
  assert.ok(text.endsWith("event: end\ndata: {}\n\n"));
});

test("Last-Event-ID takes a stream up where it was left, and wins over the address", async () => {
  const response = await fetch(`${watchUrl}?after=1`, { headers: { "last-event-id": "3" } });
  assert.deepEqual(idsOf(await response.text()), [4, 5]);
  assert.deepEqual(idsOf(await (await fetch(`${watchUrl}?after=1`)).text()), [2, 3, 4, 5]);
  const bad = await fetch(watchUrl, { headers: { "last-event-id": "third" } });
  assert.equal(bad.status, 400);
});

test("the same stream comes as lines of JSON when they are asked for", async () => {
  const response = await fetch(watchUrl, { headers: { accept: "application/x-ndjson" } });
  assert.equal(response.headers.get("content-type"), "application/x-ndjson");
  const lines = (await response.text()).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => /"number":(\d)/.exec(line)?.[1]),
    ["1", "2", "3", "4", "5"],
  );
});

test("a media type that no stream has is 406", async () => {
  const response = await fetch(watchUrl, { headers: { accept: "image/png" } });
  assert.equal(response.status, 406);
});

test("an error before the first byte is a plain problem", async () => {
  const response = await stream({ code: "x" });
  assert.equal(response.status, 400);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.match(await response.text(), /"pointer":"\/language"/);
});

test("an error later on is the stream's last event, with the problem as its data", async () => {
  const text = await (await stream({ language: "python", code: "fail" })).text();
  assert.deepEqual(idsOf(text), [1]);
  const data = /event: error\ndata: (.*)\n\n$/.exec(text)?.[1] ?? "";
  assert.match(data, /"code":"queue_full"/);
  const accept = { accept: "application/x-ndjson" };
  const lines = await (await stream({ language: "python", code: "fail" }, accept)).text();
  assert.match(lines, /\n\{"error":\{.*"code":"queue_full".*\}\}\n$/);
});

test("a silent stream sends its head early and comments after that, and its reader's leaving ends the handler", async () => {
  const controller = new AbortController();
  const response = await stream({ language: "python", code: "hang" }, {}, controller.signal);
  assert.ok(response.body !== null);
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    text += decoder.decode(chunk);
    if (text.split(": still here").length > 3) break;
  }
  controller.abort();
  await handlersEnded(gateway.log);
});

test("a stream that can be resumed ends after its life without a last event", async () => {
  const response = await fetch(`${watchUrl}?after=100`);
  const text = await response.text();
  assert.match(text, /retry: 1000\n\n$/);
  assert.ok(!text.includes("event: end"));
  await handlersEnded(gateway.log);
});

test("a reader that takes nothing holds the handler back", async () => {
  const controller = new AbortController();
  const before = gateway.log.sent;
  const response = await stream({ language: "python", code: "flood" }, {}, controller.signal);
  await until(() => gateway.log.sent > before + 3, "the flood began");
  let sent = -1;
  await until(() => {
    const still = sent === gateway.log.sent;
    sent = gateway.log.sent;
    return still;
  }, "the handler waits");
  assert.ok(sent - before < 1000, `${sent - before} chunks of 64 KiB were taken from the handler`);
  controller.abort();
  await assert.rejects(response.text());
  await handlersEnded(gateway.log);
});

test("HEAD of a stream answers its head alone", async () => {
  const started = gateway.log.started;
  const response = await fetch(watchUrl, { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(gateway.log.started, started);
});

test("a method with a foreign event format writes bare text, ERROR: and its own last event", async () => {
  const repl = implement(ReplService, {
    listLanguages: async () => create(ListLanguagesResponseSchema, { languages: ["python"] }),
    execute: async () => create(ExecuteResponseSchema, { result: "42\n", success: true }),
    executeStream: async function* ({ code }) {
      yield create(ExecuteStreamResponseSchema, { output: "one\ntwo\r\nthree" });
      if (code === "fail") throw new SylaError("queue_full", "Too many wait.");
    },
  });
  const own = createDispatcher([repl], [validation()]);
  const nothing = () => undefined;
  const server = await startGateway({
    dispatcher: mergeDispatchers([createSurfaceFixture().dispatcher, own]),
    config: { ...defaultsOf(gatewaySettings), restPort: 0, grpcPort: 0 },
    version: "1.2.3",
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    health: { live: () => true, ready: async () => ({ ready: true, checks: {} }) },
    metrics: { text: async () => ({ contentType: "text/plain", body: "" }) },
  });
  const run = async (code: string) => {
    const response = await fetch(`${server.restUrl}/api/repl/execute/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ language: "python", code }),
    });
    return response.text();
  };
  const text = "data: one\ndata: two\ndata: three\n\n";
  assert.equal(await run("x"), `${text}event: done\ndata:\n\n`);
  assert.equal(await run("fail"), `${text}data: ERROR: Too many wait.\n\nevent: done\ndata:\n\n`);
  await server.close();
});
