// The protocol of docs/reference/websocket.md, spoken by `ws` as a browser would.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { createSurfaceFixture, handlersEnded, knownId, until } from "../surface-fixture.ts";
import { leavePeers } from "../upgrade.ts";
import { registerWebsocket } from "./websocket.ts";

interface Frame {
  readonly id?: string;
  readonly message?: { readonly number?: number; readonly stdout?: string; readonly text?: string };
  readonly end?: boolean;
  readonly credit?: number;
  readonly error?: {
    readonly code: string;
    readonly requestId: string;
    readonly errors?: readonly { readonly pointer: string }[];
  };
}

const service = "syla.execution.v1.ExecutionService";
const run = (code: string) => ({ spec: { language: "python", code } });

class Client {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  closed: number | undefined;

  constructor(url: string, options: { origin?: string } = {}) {
    this.socket = new WebSocket(url, options);
    this.socket.on("message", (data: Buffer) => this.frames.push(parseFrame(data)));
    this.socket.on("close", (code) => (this.closed = code));
    this.socket.on("error", () => undefined);
  }

  async send(frame: object): Promise<void> {
    if (this.socket.readyState === WebSocket.CONNECTING) {
      await new Promise((resolve) => this.socket.once("open", resolve));
    }
    this.socket.send(JSON.stringify(frame));
  }

  of(id: string): readonly Frame[] {
    return this.frames.filter((frame) => frame.id === id);
  }

  /** Waits for the frame that ends a call. */
  async last(id?: string): Promise<Frame> {
    const isLast = (frame: Frame) =>
      frame.id === id && (frame.end !== undefined || frame.error !== undefined);
    await until(() => this.frames.some(isLast), `the end of ${id}`);
    return this.frames.find(isLast) ?? {};
  }
}

function parseFrame(data: Buffer): Frame {
  return JSON.parse(data.toString()) as Frame;
}

describe("WebSocket", async () => {
  const { dispatcher, log, probe } = createSurfaceFixture();
  const http = createServer((_, response) => response.end("http"));
  registerWebsocket(http, dispatcher, {
    origins: ["https://app.example"],
    frameBytesMax: 1024 * 1024,
    heartbeatMs: 100,
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const url = `ws://127.0.0.1:${port}`;
  const clients: Client[] = [];
  const open = (path = "/ws") => {
    const client = new Client(url + path);
    clients.push(client);
    return client;
  };
  after(() => {
    for (const { socket } of clients) socket.terminate();
    http.close();
    http.closeAllConnections();
  });

  test("answers many calls on one connection, each under its id", async () => {
    const client = open();
    await client.send({ id: "a", method: `${service}/Execute`, request: run("one") });
    await client.send({ id: "b", method: `/${service}/ExecuteStream`, request: run("quick") });
    assert.deepEqual(await client.last("a"), { id: "a", end: true });
    assert.equal(client.of("a")[0]?.message?.stdout, "one");
    await client.last("b");
    assert.deepEqual(
      client.of("b").map(({ message }) => message?.number),
      [1, 2, 3, 4, 5, undefined],
    );
    client.socket.close();
  });

  test("sends no more than the credit given, and the end without any", async () => {
    const client = open();
    const before = log.sent;
    await client.send({
      id: "a",
      method: `${service}/ExecuteStream`,
      request: run("flood"),
      credit: 2,
    });
    await sleep(50);
    assert.equal(client.of("a").length, 2);
    assert.ok(log.sent - before <= 4, `${log.sent - before} were made`);
    await client.send({ id: "a", credit: 3 });
    await sleep(50);
    assert.equal(client.of("a").length, 5);
    await client.send({ id: "a", cancel: true });
    assert.equal((await client.last("a")).error?.code, "cancelled");
    await client.send({
      id: "b",
      method: `${service}/ExecuteStream`,
      request: run("quick"),
      credit: 5,
    });
    assert.equal((await client.last("b")).end, true);
    await handlersEnded(log);
    client.socket.close();
  });

  test("tells errors as problems with pointers", async () => {
    const client = open();
    await client.send({ id: "a", method: `${service}/GetExecution`, request: { id: "x" } });
    const { error } = await client.last("a");
    assert.equal(error?.code, "invalid_request");
    assert.equal(error?.errors?.[0]?.pointer, "/id");
    assert.ok(error?.requestId);
    await client.send({ id: "b", method: `${service}/GetExecution`, request: { nope: 1 } });
    assert.equal((await client.last("b")).error?.errors?.[0]?.pointer, "/nope");
    await client.send({ id: "c", method: `${service}/Execute`, request: run("crash") });
    assert.equal((await client.last("c")).error?.code, "internal");
    assert.doesNotMatch(JSON.stringify(client.frames), /secret/);
    await client.send({ id: "d", method: "syla.sandbox.v1.RunnerService/GetHost", request: {} });
    assert.equal((await client.last("d")).error?.code, "unimplemented");
    await client.send({ id: "e", method: `${service}/ExecuteStream`, request: run("fail") });
    assert.equal((await client.last("e")).error?.code, "queue_full");
    client.socket.close();
  });

  test("ends a call at its timeout", async () => {
    const client = open();
    await client.send({
      id: "a",
      method: `${service}/Execute`,
      request: run("hang"),
      timeoutMs: 30,
    });
    assert.equal((await client.last("a")).error?.code, "deadline_exceeded");
    await handlersEnded(log);
    client.socket.close();
  });

  test("takes client streams, gives their credit back and talks both ways", async () => {
    const client = open();
    await client.send({ id: "a", method: "syla.probe.v1.ProbeService/Join" });
    for (let sent = 0; sent < 12; sent += 1) await client.send({ id: "a", message: { text: "m" } });
    await client.send({ id: "a", end: true });
    await client.last("a");
    assert.ok(client.of("a").some(({ credit }) => credit === 8));
    assert.equal(
      client.of("a").find(({ message }) => message)?.message?.text,
      "m ".repeat(12).trim(),
    );
    await client.send({ id: "b", method: "syla.probe.v1.ProbeService/Chat" });
    await client.send({ id: "b", message: { text: "hi" } });
    await until(() => client.of("b").length === 1, "the answer");
    await client.send({ id: "b", message: { text: 5 } });
    assert.equal((await client.last("b")).error?.code, "invalid_request");
    client.socket.close();
    await handlersEnded(probe);
  });

  test("refuses a client stream that runs ahead of its credit", async () => {
    const client = open();
    await client.send({ id: "a", method: "syla.probe.v1.ProbeService/Chat", credit: 0 });
    for (let sent = 0; sent < 40; sent += 1) await client.send({ id: "a", message: { text: "m" } });
    assert.equal((await client.last("a")).error?.code, "invalid_request");
    client.socket.close();
    await handlersEnded(probe);
  });

  test("whose client is gone ends every handler", async () => {
    const client = open();
    await client.send({ id: "a", method: `${service}/ExecuteStream`, request: run("hang") });
    await client.send({ id: "b", method: `${service}/Execute`, request: run("hang") });
    await client.send({
      id: "c",
      method: `${service}/ExecuteStream`,
      request: run("flood"),
      credit: 1,
    });
    await until(() => client.of("a").length === 5, "five events");
    client.socket.terminate();
    await handlersEnded(log);
  });

  test("holds a flooding handler back while the client does not read", async () => {
    const client = open();
    const before = log.sent;
    await client.send({ id: "a", method: `${service}/ExecuteStream`, request: run("flood") });
    await until(() => client.of("a").length > 0, "the first event");
    client.socket.pause();
    // It answers no heartbeat either, so it is taken for gone.
    await handlersEnded(log);
    // What the kernel's buffers hold; a handler that is not held back makes thousands in this time.
    assert.ok(log.sent - before < 400, `${log.sent - before} were made`);
    client.socket.terminate();
  });

  test("takes a hundred calls at one time and no more", async () => {
    const client = open();
    for (let index = 0; index < 101; index += 1) {
      await client.send({ id: `c${index}`, method: `${service}/Execute`, request: run("hang") });
    }
    assert.equal((await client.last("c100")).error?.code, "too_many_calls");
    assert.equal(client.frames.length, 1);
    client.socket.close();
    await handlersEnded(log);
  });

  test("ends a connection that does not speak the protocol", async () => {
    for (const text of [
      "{",
      "[]",
      '{"id":5}',
      '{"id":"a","end":false}',
      '{"id":"a","x":1}',
      '{"id":""}',
    ]) {
      const client = open();
      await new Promise((resolve) => client.socket.once("open", resolve));
      client.socket.send(text);
      await until(() => client.closed !== undefined, `the end after ${text}`);
      assert.equal(client.closed, 4400);
    }
    const binary = open();
    await new Promise((resolve) => binary.socket.once("open", resolve));
    binary.socket.send(Buffer.from("{}"));
    await until(() => binary.closed === 1003, "the end after bytes");
    const large = open();
    await large.send({ id: "a", method: "x", request: "y".repeat(2 * 1024 * 1024) });
    await until(() => large.closed === 1009, "the end after a large frame");
  });

  test("streams a REST path's messages, from its query and from the first frame", async () => {
    const watch = open(`/api/v1/executions/${knownId}/events?after=2`);
    assert.equal((await watch.last()).end, true);
    assert.deepEqual(
      watch.frames.map(({ message }) => message?.number),
      [3, 4, 5, undefined],
    );
    await until(() => watch.closed === 1000, "the connection's end");
    const stream = open("/api/v1/executions:stream");
    await stream.send({ language: "python", code: "quick" });
    assert.equal((await stream.last()).end, true);
    assert.equal(stream.frames.length, 6);
    const wrong = open("/api/v1/executions:stream");
    await wrong.send({ language: "" });
    assert.equal((await wrong.last()).error?.errors?.[0]?.pointer, "/language");
    await until(() => wrong.closed === 4400, "the connection's end");
    const gone = open(`/api/v1/executions/${knownId}/events?after=100`);
    await until(() => log.started > log.ended, "the handler began");
    gone.socket.terminate();
    await handlersEnded(log);
  });

  test("refuses pages of origins that are not allowed", async () => {
    const status = (origin: string) =>
      new Promise<number | undefined>((resolve) => {
        const socket = new WebSocket(`${url}/ws`, { origin });
        socket.on("error", () => undefined);
        socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
        socket.on("open", () => {
          socket.close();
          resolve(101);
        });
      });
    assert.equal(await status("https://app.example"), 101);
    assert.equal(await status(`http://127.0.0.1:${port}`), 101);
    assert.equal(await status("https://evil.example"), 403);
    assert.equal(await status("null"), 403);
    assert.equal(await status(`http://127.0.0.1:${port + 1}`), 403);
  });

  test("has nothing at other paths, and leaves offers of HTTP/2 aside", async () => {
    for (const path of ["/", "/api/v1/executions", `/api/v1/executions/a%2Fb/events`, "/%zz"]) {
      const socket = new WebSocket(url + path);
      const status = await new Promise((resolve) => {
        socket.on("error", () => undefined);
        socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
      });
      assert.equal(status, 404, path);
    }
    const offer = connect(port, "127.0.0.1");
    offer.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    const answer = await new Promise((resolve) => offer.once("data", resolve));
    assert.match(String(answer), /^HTTP\/1.1 200/);
    offer.destroy();
  });

  // The last one, since after it no more connections are taken.
  test("of a server that stops is let go when its calls have ended", async () => {
    const idle = open();
    const busy = open();
    await busy.send({
      id: "a",
      method: `${service}/ExecuteStream`,
      request: run("flood"),
      credit: 1,
    });
    await until(
      () => busy.of("a").length === 1 && idle.socket.readyState === WebSocket.OPEN,
      "both",
    );
    leavePeers(http);
    await until(() => idle.closed === 1001, "the idle one was let go");
    assert.equal(busy.closed, undefined);
    await busy.send({ id: "a", cancel: true });
    await until(() => busy.closed === 1001, "the busy one was let go");
    await handlersEnded(log);
  });
});
