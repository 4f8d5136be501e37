// Connect's own client, as a browser or a server would use it, over both protocols.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "@syla/contract/google/rpc/error_details";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import Fastify from "fastify";
import { registerConnect } from "./connect.ts";
import { createSurfaceFixture, handlersEnded, knownId, until } from "../surface-fixture.ts";

const { dispatcher, log } = createSurfaceFixture();
const fastify = Fastify();
registerConnect(fastify, dispatcher, {
  bodyBytesMax: 1024 * 1024,
  answers: { compressBytesMin: 1024, draining: false },
  log: { error: (facts) => assert.fail(JSON.stringify(facts)) },
});
const baseUrl = await fastify.listen({ port: 0, host: "127.0.0.1" });
after(() => {
  fastify.server.closeAllConnections();
  return fastify.close();
});

const common = { baseUrl, httpVersion: "1.1" } as const;
const program = (code: string) => ({ spec: { language: "python", code } });

for (const [name, transport] of [
  ["Connect with bytes", createConnectTransport({ ...common, useBinaryFormat: true })],
  ["Connect with JSON", createConnectTransport({ ...common, useBinaryFormat: false })],
  ["Connect with GET", createConnectTransport({ ...common, useHttpGet: true })],
  ["gRPC-Web", createGrpcWebTransport(common)],
] as const) {
  describe(name, () => {
    const client = createClient(ExecutionService, transport);

    test("answers a call", async () => {
      const answer = await client.getExecution({ id: knownId });
      assert.equal(answer.stdout, "42\n");
      assert.equal((await client.execute(program("one"))).stdout, "one");
    });

    test("sends an error with gRPC's details", async () => {
      const error = await caught(client.getExecution({ id: "no uuid" }));
      assert.equal(error.code, Code.InvalidArgument);
      assert.equal(error.findDetails(ErrorInfoSchema)[0]?.reason, "invalid_request");
      assert.equal(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field, "/id");
    });

    test("tells nothing of a crash", async () => {
      const error = await caught(client.execute(program("crash")));
      assert.equal(error.code, Code.Internal);
      assert.doesNotMatch(error.message, /secret/);
    });

    test("streams to the end, and to an error", async () => {
      const numbers: number[] = [];
      for await (const { number } of client.executeStream(program("quick"))) numbers.push(number);
      assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
      const read = async () => {
        for await (const { number } of client.executeStream(program("fail"))) numbers.push(number);
      };
      assert.equal((await caught(read())).code, Code.ResourceExhausted);
      assert.equal(numbers.length, 6);
    });

    test("ends at its deadline, and so does the handler", async () => {
      const error = await caught(client.execute(program("hang"), { timeoutMs: 50 }));
      assert.equal(error.code, Code.DeadlineExceeded);
      await handlersEnded(log);
    });

    test("whose caller leaves ends the handler", async () => {
      const leaving = new AbortController();
      const call = caught(client.execute(program("hang"), { signal: leaving.signal }));
      await until(() => log.started > log.ended, "the handler began");
      leaving.abort();
      assert.equal((await call).code, Code.Canceled);
      await handlersEnded(log);
    });

    test("whose caller leaves a stream ends the handler", async () => {
      const leaving = new AbortController();
      const read = async () => {
        const options = { signal: leaving.signal };
        for await (const { number } of client.executeStream(program("hang"), options)) {
          if (number === 5) leaving.abort();
        }
      };
      assert.equal((await caught(read())).code, Code.Canceled);
      await handlersEnded(log);
    });
  });
}

async function caught(promise: Promise<unknown>): Promise<ConnectError> {
  try {
    await promise;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
  return assert.fail("Nothing was thrown.");
}

const post = (path: string, body: string) =>
  fetch(baseUrl + path, { method: "POST", headers: { "content-type": "application/json" }, body });

test("A Connect call is plain JSON by curl, with zero values and without unknown fields", async () => {
  const path = "/syla.execution.v1.ExecutionService/GetExecution";
  const response = await post(path, JSON.stringify({ id: knownId }));
  assert.ok(response.headers.get("x-request-id"));
  const text = await response.text();
  assert.match(text, /"stderr":""/);
  assert.equal((await post(path, '{"nope":1}')).status, 400);
  assert.equal((await post(path, "{")).status, 400);
});

/** One message of a stream, in its envelope. */
function enveloped(message: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

test("JSON that is wrong is told with its pointer and without what may be a secret, on every protocol", async () => {
  const wrong = Buffer.from('{"spec":{"language":"p","secrets":{"TOKEN":["hidden"]},"colour":1}}');
  const broken = Buffer.from('{"spec":{"secrets":{"TOKEN":hidden}}}');
  for (const [method, type, headers, pack] of [
    ["Execute", "json", {}, (text: Buffer) => text],
    ["Execute", "json", { "content-encoding": "gzip" }, gzipSync],
    ["Execute", "json", { "content-encoding": "br" }, brotliCompressSync],
    ["ExecuteStream", "connect+json", {}, enveloped],
    [
      "ExecuteStream",
      "connect+json",
      { "connect-content-encoding": "gzip" },
      (text: Buffer) => enveloped(gzipSync(text), 1),
    ],
    ["ExecuteStream", "grpc-web+json", {}, enveloped],
  ] as const) {
    const send = async (text: Buffer) => {
      const response = await fetch(`${baseUrl}/syla.execution.v1.ExecutionService/${method}`, {
        method: "POST",
        headers: { "content-type": `application/${type}`, ...headers },
        body: pack(text),
      });
      const said = `${response.headers.get("grpc-message") ?? ""} ${await response.text()}`;
      assert.doesNotMatch(said, /hidden/, `${method} as ${type}`);
      return decodeURIComponent(said);
    };
    assert.match(
      await send(wrong),
      /Cannot accept \/spec\/secrets\/TOKEN: expected a string, got an/,
    );
    assert.match(await send(broken), /Cannot read the body as JSON: Unexpected token 'h'/);
  }
});

test("Connect has no internal service and takes no GET for what has side effects", async () => {
  assert.equal((await post("/syla.sandbox.v1.RunnerService/GetHost", "{}")).status, 404);
  const url = "/syla.execution.v1.ExecutionService/CreateExecution?encoding=json&message={}";
  assert.equal((await fetch(baseUrl + url)).status, 404);
});

test("Connect holds a flooding handler back while the client does not read, and ends it when it goes", async () => {
  const body = JSON.stringify(program("flood"));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(Buffer.byteLength(body), 1);
  const leaving = new AbortController();
  const before = log.sent;
  const response = await fetch(`${baseUrl}/syla.execution.v1.ExecutionService/ExecuteStream`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: Buffer.concat([head, Buffer.from(body)]),
    signal: leaving.signal,
  });
  await sleep(200);
  const soon = log.sent;
  await sleep(100);
  assert.equal(log.sent, soon, "the handler went on");
  assert.ok(soon - before < 400, `${soon - before} were made`);
  assert.equal(response.status, 200);
  leaving.abort();
  await handlersEnded(log);
});
