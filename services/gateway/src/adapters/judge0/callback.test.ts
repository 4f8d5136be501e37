import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { type TestContext, test } from "node:test";
import { text } from "node:stream/consumers";
import { sendCallback } from "./callback.ts";

interface Receiver {
  readonly port: number;
  readonly requests: IncomingMessage[];
}

async function receive(t: TestContext, answer: RequestListener): Promise<Receiver> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, requests };
}

const signal = new AbortController().signal;
const loopback = [{ address: "127.0.0.1", family: 4 }];

test("sendCallback() puts the body to the address that it looked at, under the URL's own name", async (t) => {
  let body = "";
  const { port, requests } = await receive(t, (request, response) => {
    void text(request).then((sent) => {
      body = sent;
      response.end();
    });
  });
  let asked = 0;
  const resolve = async (name: string) => {
    asked += 1;
    assert.equal(name, "judge.example");
    return loopback;
  };
  const url = new URL(`http://judge.example:${port}/a?b=c`);
  await sendCallback(url, '{"a":1}', { reach: "private", signal, resolve });
  assert.equal(asked, 1);
  const [request] = requests;
  assert.deepEqual([request?.method, request?.url], ["PUT", "/a?b=c"]);
  assert.equal(request?.headers.host, `judge.example:${port}`);
  assert.equal(body, '{"a":1}');
});

test("sendCallback() sends nothing to an address that may not be sent to, by name or as it is", async (t) => {
  const { port, requests } = await receive(t, (_request, response) => void response.end());
  const resolve = async () => loopback;
  const refused = (url: string, reach: "public" | "private", names = resolve) =>
    assert.rejects(
      sendCallback(new URL(url), "{}", { reach, signal, resolve: names }),
      /address may not be sent to/,
    );
  for (const host of ["judge.example", "127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"]) {
    await refused(`http://${host}:${port}/`, "public");
  }
  await refused(`http://169.254.169.254:${port}/latest/meta-data`, "private");
  // One good address among them does not help.
  const both = async () => [{ address: "1.1.1.1", family: 4 }, ...loopback];
  await refused(`http://judge.example:${port}/`, "public", both);
  assert.equal(requests.length, 0);
});

test("sendCallback() follows no redirect, and takes any answer for an answer", async (t) => {
  const { port, requests } = await receive(t, (_request, response) => {
    response.writeHead(302, { Location: `http://127.0.0.1:${port}/elsewhere` }).end();
  });
  await sendCallback(new URL(`http://127.0.0.1:${port}/`), "{}", { reach: "private", signal });
  assert.equal(requests.length, 1);
});

test("sendCallback() tries three times", async (t) => {
  const { port, requests } = await receive(t, (request) => void request.socket.destroy());
  const url = new URL(`http://127.0.0.1:${port}/`);
  await assert.rejects(sendCallback(url, "{}", { reach: "private", signal }));
  assert.equal(requests.length, 3);
});

test("sendCallback() ends when it is told to, also while a name is not answered", async () => {
  const ending = new AbortController();
  const resolve = () => new Promise<never>(() => undefined);
  const options = { reach: "public", signal: ending.signal, resolve } as const;
  const sent = sendCallback(new URL("http://judge.example/"), "{}", options);
  ending.abort();
  await assert.rejects(sent, { name: "AbortError" });
});
