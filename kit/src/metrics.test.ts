import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "./metrics.ts";

test("text() has every metric with its labels, and the process's own", async () => {
  const metrics = createMetrics();
  metrics
    .counter({ name: "syla_runs_total", help: "Runs.", labels: ["language"] })
    .inc({ language: "c" });
  metrics.histogram({ name: "syla_wait_seconds", help: "Waits." }).observe(0.002);
  metrics.gauge({ name: "syla_queued", help: "Queued.", collect: (gauge) => gauge.set(7) });
  const text = await metrics.text();
  assert.match(text, /^syla_runs_total\{language="c"\} 1$/m);
  assert.match(text, /^syla_wait_seconds_bucket\{le="0.0025"\} 1$/m);
  assert.match(text, /^syla_queued 7$/m);
  assert.match(text, /^process_resident_memory_bytes /m);
});

test("a name declared twice is one metric, and has one kind", async () => {
  const metrics = createMetrics({ processMetrics: false });
  const declare = () => metrics.counter({ name: "syla_runs_total", help: "Runs." });
  declare().inc();
  declare().inc();
  assert.match(await metrics.text(), /^syla_runs_total 2$/m);
  assert.throws(() => metrics.gauge({ name: "syla_runs_total", help: "Runs." }), /one kind/);
});

test("a name without the prefix is refused", () => {
  const metrics = createMetrics({ processMetrics: false });
  assert.throws(() => metrics.counter({ name: "runs_total", help: "Runs." }), /syla_/);
});
