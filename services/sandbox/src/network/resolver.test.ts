import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { SylaError } from "@syla/kit/error";
import { createResolve } from "./resolver.ts";

const A = 1;

test("createResolve() asks the servers that are set, and none of the host's files", async (t) => {
  const asked: string[] = [];
  const server = createSocket("udp4");
  t.after(() => server.close());
  server.on("message", (query, { port, address }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const isA = query.readUInt16BE(at + 1) === A;
    asked.push(labels.join("."));
    const answer = Buffer.concat([
      query.subarray(0, 2),
      Buffer.from([0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]),
      query.subarray(12, at + 5),
      // The name that was asked for, A, IN, for a minute, four bytes.
      ...(isA ? [Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3])] : []),
    ]);
    server.send(answer, port, address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const resolve = createResolve([`127.0.0.1:${server.address().port}`]);
  assert.deepEqual(await resolve("a.test"), ["10.1.2.3"]);
  assert.deepEqual(new Set(asked), new Set(["a.test"]));
});

test("createResolve() refuses servers that are no addresses", () => {
  assert.throws(
    () => createResolve(["dns.example"]),
    (error) => error instanceof SylaError && error.code === "invalid_configuration",
  );
});
