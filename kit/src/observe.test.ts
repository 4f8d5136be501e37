import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  Health,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
} from "@syla/contract/grpc/health/v1/health";
import { createClient } from "./client.ts";
import { createDispatcher, implement, type ServiceHandlers } from "./dispatch.ts";
import { SylaError } from "./error.ts";
import { createLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { observe } from "./observe.ts";

function start(
  handlers: Partial<ServiceHandlers<typeof Health>>,
  level: "debug" | "info" = "info",
) {
  const lines: string[] = [];
  const metrics = createMetrics({ processMetrics: false });
  const log = createLog({ name: "test", level, write: (line) => lines.push(line) });
  const implementation = implement(Health, {
    check: async () => create(HealthCheckResponseSchema),
    list: async () => create(HealthListResponseSchema),
    watch: async function* () {},
    ...handlers,
  });
  const client = createClient(
    Health,
    createDispatcher([implementation], [observe({ log, metrics })]),
  );
  const counts = async () => {
    const all = (await metrics.text()).matchAll(
      /_count\{method="grpc.health.v1.Health\/(\w+)",code="(\w+)"\} (\d+)/g,
    );
    return [...all].map(([, method, code, count]) => `${method} ${code} ${count}`);
  };
  return { client, counts, lines };
}

test("every call is counted by its method and how it ended", async () => {
  const { client, counts, lines } = start({
    list: async () => {
      throw new SylaError("queue_full", "Full.");
    },
  });
  await client.check({});
  await client.check({});
  await assert.rejects(client.list({}), { code: "queue_full" });
  assert.deepEqual(await counts(), ["Check ok 2", "List queue_full 1"]);
  assert.deepEqual(lines, []);
});

test("an internal error is logged with its cause and the call's ids, and the caller learns neither", async () => {
  const { client, lines } = start({
    check: () => {
      throw new Error("the secret reason");
    },
  });
  await assert.rejects(client.check({}), (error) => {
    return (
      error instanceof SylaError && error.code === "internal" && !error.message.includes("secret")
    );
  });
  const line = JSON.parse(lines[0] ?? "");
  assert.equal(line.level, "warn");
  assert.equal(line.cause.message, "the secret reason");
  assert.match(line.requestId, /^[0-9a-f]{32}$/);
  assert.match(line.traceId, /^[0-9a-f]{32}$/);
});

test("a successful call is logged at debug", async () => {
  const { client, lines } = start({}, "debug");
  await client.check({});
  assert.partialDeepStrictEqual(JSON.parse(lines[0] ?? ""), {
    method: "grpc.health.v1.Health/Check",
    code: "ok",
  });
});

test("a call that ran out of time counts as deadline_exceeded, whatever its handler threw", async () => {
  const { client, counts } = start({
    check: async (_, context) => {
      await new Promise((resolve) => context.onAbort(resolve));
      throw new Error("gave up");
    },
  });
  await assert.rejects(client.check({}, { deadline: Date.now() + 10 }), {
    code: "deadline_exceeded",
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(await counts(), ["Check deadline_exceeded 1"]);
});

test("a stream is counted once: at its end, at its error, or when its reader leaves", async () => {
  let ended = false;
  const { client, counts } = start({
    watch: async function* ({ service }) {
      try {
        yield create(HealthCheckResponseSchema);
        if (service === "bad") throw new SylaError("queue_full", "Full.");
        if (service === "long") yield create(HealthCheckResponseSchema);
      } finally {
        ended = true;
      }
    },
  });
  for await (const _ of client.watch({ service: "good" }));
  await assert.rejects(async () => {
    for await (const _ of client.watch({ service: "bad" }));
  });
  ended = false;
  for await (const _ of client.watch({ service: "long" })) break;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ended, true);
  assert.deepEqual(await counts(), ["Watch ok 1", "Watch queue_full 1", "Watch cancelled 1"]);
});
