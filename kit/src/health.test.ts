import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "@syla/contract/grpc/health/v1/health";
import { createClient } from "./client.ts";
import { createDrivenClock } from "./clock.ts";
import { createDispatcher } from "./dispatch.ts";
import { SylaError } from "./error.ts";
import { createHealth } from "./health.ts";

function start() {
  const clock = createDrivenClock();
  const health = createHealth({ services: [Health], clock });
  const client = createClient(Health, createDispatcher([health.implementation], []));
  return { clock, health, client };
}

test("a process is ready while it serves and every check passes", async () => {
  const { clock, health } = start();
  let down = false;
  health.register("database", async () => {
    if (down) throw new SylaError("database_unavailable", "Gone.");
  });
  assert.equal((await health.ready()).ready, false);
  health.setState("serving");
  assert.equal((await health.ready()).ready, true);
  down = true;
  await clock.advance(1000);
  assert.deepEqual(await health.ready(), {
    state: "serving",
    ready: false,
    checks: [{ name: "database", ok: false, code: "database_unavailable", durationMs: 0 }],
  });
  down = false;
  await clock.advance(1000);
  health.setState("draining");
  assert.equal((await health.ready()).ready, false);
  assert.equal(health.live().uptimeSeconds, 2);
});

test("checks run once a second however often readiness is asked", async () => {
  const { clock, health } = start();
  let runs = 0;
  health.register("counted", async () => void (runs += 1));
  await Promise.all([health.ready(), health.ready()]);
  await clock.advance(999);
  await health.ready();
  assert.equal(runs, 1);
  await clock.advance(1);
  await health.ready();
  assert.equal(runs, 2);
});

test("a check that hangs counts as failed after two seconds, and is told to end", async () => {
  const { clock, health } = start();
  let told = false;
  health.register("hanging", (signal) => {
    signal.addEventListener("abort", () => (told = true));
    return new Promise(() => undefined);
  });
  const asked = health.ready();
  await clock.advance(2000);
  const { checks } = await asked;
  assert.deepEqual([checks[0]?.code, told], ["deadline_exceeded", true]);
});

test("gRPC Check and List answer for the process and its services, and for no other", async () => {
  const { health, client } = start();
  health.setState("serving");
  const { SERVING } = ServingStatus;
  assert.equal((await client.check({})).status, SERVING);
  assert.equal((await client.check({ service: Health.typeName })).status, SERVING);
  assert.deepEqual(Object.keys((await client.list({})).statuses), ["", Health.typeName]);
  await assert.rejects(client.check({ service: "other" }), { code: "service_not_found" });
});

test("gRPC Watch answers now and at every change", async () => {
  const { clock, health, client } = start();
  const seen: number[] = [];
  const watching = (async () => {
    for await (const { status } of client.watch({})) {
      seen.push(status);
      if (seen.length === 3) return;
    }
  })();
  await clock.advance(3000);
  health.setState("serving");
  await clock.advance(3000);
  health.setState("draining");
  await clock.advance(3000);
  await watching;
  const { NOT_SERVING, SERVING } = ServingStatus;
  assert.deepEqual(seen, [NOT_SERVING, SERVING, NOT_SERVING]);
});
