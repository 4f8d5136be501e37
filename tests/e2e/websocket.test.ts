// WebSockets as docs/reference/websocket.md has them: many calls on one connection, and one stream at its REST path.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { cancel, create, type ExecutionEvent, findByLabel, get, type Problem } from "../api.ts";
import { assertGapless, stdoutOf } from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const service = "syla.execution.v1.ExecutionService";
const endless = {
  language: "bash",
  code: "echo up; while :; do sleep 1; done",
  limits: { wallTime: "600s" },
};

interface Frame {
  readonly id?: string;
  readonly message?: ExecutionEvent;
  readonly end?: true;
  readonly error?: Problem;
}

function parseFrame(text: string): Frame {
  return JSON.parse(text) as Frame;
}

/** A connection whose frames are read one by one. */
async function connect(path: string) {
  const socket = new WebSocket(`${platform().url.replace("http", "ws")}${path}`);
  const frames: Frame[] = [];
  let wake: () => void = () => undefined;
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once("close", (code, reason) => {
      resolve({ code, reason: reason.toString() });
      wake();
    });
  });
  socket.on("message", (data: Buffer) => {
    frames.push(parseFrame(data.toString()));
    wake();
  });
  await once(socket, "open");
  const next = async (): Promise<Frame> => {
    for (;;) {
      const frame = frames.shift();
      if (frame !== undefined) return frame;
      assert.ok(socket.readyState === WebSocket.OPEN, "the connection closed before the frame");
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const untilEnd = async (): Promise<{ events: ExecutionEvent[]; last: Frame }> => {
    const events: ExecutionEvent[] = [];
    for (;;) {
      const frame = await next();
      if (frame.message === undefined) return { events, last: frame };
      events.push(frame.message);
    }
  };
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  return {
    socket,
    send,
    next,
    untilEnd,
    closed,
    close: () => socket.close(),
    waiting: () => frames.length,
  };
}

test("a streaming call brings its events, and then its end", async () => {
  const { send, untilEnd, close } = await connect("/ws");
  send({
    id: "1",
    method: `${service}/ExecuteStream`,
    request: { spec: { language: "bash", code: "echo hi" } },
  });
  const { events, last } = await untilEnd();
  assert.deepEqual(last, { id: "1", end: true });
  assertGapless(events);
  assert.equal(stdoutOf(events), "hi\n");
  close();
});

test("a call of one answer brings it; one that is wrong brings a problem; the connection goes on", async () => {
  const { send, next, close } = await connect("/ws");
  send({ id: "wrong", method: `${service}/Execute`, request: { spec: { code: "x" } } });
  const { error } = await next();
  assert.deepEqual([error?.status, error?.code], [400, "invalid_request"]);
  assert.match(error?.errors?.[0]?.pointer ?? "", /language$/);
  send({ id: "none", method: `${service}/Nothing` });
  assert.equal((await next()).error?.code, "unimplemented");
  send({ id: "internal", method: "syla.sandbox.v1.RunnerService/GetHost", request: {} });
  assert.equal((await next()).error?.code, "unimplemented");
  send({ id: "right", method: `${service}/ListLanguages`, request: {} });
  const { message } = await next();
  assert.ok(message !== undefined && "languages" in message);
  assert.deepEqual(await next(), { id: "right", end: true });
  close();
});

test("many calls share a connection, and each gets its own", async () => {
  const { send, next, close } = await connect("/ws");
  const count = 20;
  for (let index = 0; index < count; index += 1) {
    const spec = { language: "bash", code: `echo ${index}` };
    send({ id: `call-${index}`, method: `${service}/ExecuteStream`, request: { spec } });
  }
  const said = new Map<string, string>();
  for (let ended = 0; ended < count;) {
    const { id = "", message, end } = await next();
    said.set(id, (said.get(id) ?? "") + (message?.stdout?.text ?? ""));
    if (end === true) ended += 1;
  }
  for (let index = 0; index < count; index += 1)
    assert.equal(said.get(`call-${index}`), `${index}\n`);
  close();
});

test("no more messages come than there is credit for", async () => {
  const { send, next, untilEnd, close, waiting } = await connect("/ws");
  const spec = { language: "bash", code: "for n in 1 2 3 4 5; do echo $n; sleep 0.02; done" };
  send({ id: "1", method: `${service}/ExecuteStream`, request: { spec }, credit: 2 });
  const held = [await next(), await next()];
  // A call that is begun after it and is over tells that nothing more was sent before.
  send({ id: "2", method: `${service}/Execute`, request: { spec } });
  assert.equal((await next()).id, "2");
  assert.equal((await next()).id, "2");
  assert.equal(waiting(), 0);
  send({ id: "1", credit: 1000 });
  const { events, last } = await untilEnd();
  assert.deepEqual(last, { id: "1", end: true });
  assertGapless([...held.flatMap(({ message }) => message ?? []), ...events]);
  close();
});

for (const how of ["cancels its call", "goes away"] as const) {
  test(`a client that ${how} ends the run`, async () => {
    const label = `websocket ${how}`;
    const { send, next, socket, close } = await connect("/ws");
    const spec = { ...endless, metadata: { label } };
    send({ id: "1", method: `${service}/ExecuteStream`, request: { spec } });
    while ((await next()).message?.stdout === undefined);
    if (how === "goes away") socket.terminate();
    else send({ id: "1", cancel: true });
    await eventually("the run is cancelled", async () => {
      return (await findByLabel(platform(), label))?.status === "CANCELLED";
    });
    close();
  });
}

test("the events of an execution can be watched at their REST path, from any number on", async () => {
  const { id } = await create(platform(), {
    language: "bash",
    code: "echo one; sleep 0.1; echo two",
  });
  const whole = await connect(`/api/v1/executions/${id}/events`);
  const { events, last } = await whole.untilEnd();
  assert.deepEqual(last, { end: true });
  assert.equal((await whole.closed).code, 1000);
  assertGapless(events);
  const rest = await connect(`/api/v1/executions/${id}/events?after=2`);
  assert.deepEqual((await rest.untilEnd()).events, events.slice(2));
});

test("a watcher that goes away does not disturb the execution", async () => {
  const { id } = await create(platform(), endless);
  const { next, socket, closed } = await connect(`/api/v1/executions/${id}/events`);
  while ((await next()).message?.stdout === undefined);
  socket.terminate();
  await closed;
  assert.equal((await get(platform(), id)).status, "RUNNING");
  assert.equal((await cancel(platform(), id)).status, "CANCELLED");
});

test("a stream that takes a body takes it from the first frame, and an error closes with its status", async () => {
  const good = await connect("/api/v1/executions:stream");
  good.send({ language: "bash", code: "echo framed" });
  assert.equal(stdoutOf((await good.untilEnd()).events), "framed\n");
  assert.equal((await good.closed).code, 1000);
  const bad = await connect("/api/v1/executions:stream");
  bad.send({ language: "cobol", code: "x" });
  const { last } = await bad.untilEnd();
  assert.deepEqual(
    last.error?.errors?.map(({ pointer }) => pointer),
    ["/language"],
  );
  assert.deepEqual(await bad.closed, { code: 4400, reason: "unknown_language" });
});

test("frames that are none close the connection and nothing else", async () => {
  for (const [frame, code] of [
    ["not json", 4400],
    ["[]", 4400],
    ['{"id":1}', 4400],
    ['{"id":"1","fly":true}', 4400],
    [Buffer.from([1, 2, 3]), 1003],
    ["x".repeat(5 * 1024 * 1024), 1009],
  ] as const) {
    const { socket, closed } = await connect("/ws");
    socket.send(frame);
    assert.equal((await closed).code, code, String(frame).slice(0, 20));
  }
  assert.equal((await fetch(`${platform().url}/health`)).status, 200);
});

test("a page of another origin is refused, and a path without a stream too", async () => {
  const refusedWith = async (path: string, headers: Record<string, string>): Promise<number> => {
    const socket = new WebSocket(`${platform().url.replace("http", "ws")}${path}`, { headers });
    socket.on("error", () => undefined);
    const [, response] = await once(socket, "unexpected-response");
    return parseStatus(response);
  };
  assert.equal(await refusedWith("/ws", { Origin: "https://evil.example" }), 403);
  assert.equal(await refusedWith("/nothing", {}), 404);
  assert.equal(await refusedWith("/api/v1/executions", {}), 404);
});

function parseStatus(response: unknown): number {
  const { statusCode } = response as { statusCode: number };
  return statusCode;
}
