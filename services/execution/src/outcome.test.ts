import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ExecutionEventSchema,
  ExecutionSchema,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";
import { FinishedSchema } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SylaError } from "@syla/kit/error";
import { collectOutput, failedRun, finishExecution } from "./outcome.ts";
import { toChunk } from "./output.ts";

function started() {
  return create(ExecutionSchema, {
    createdAt: timestampFromMs(1000),
    startedAt: timestampFromMs(1010),
  });
}

test("finishExecution() makes a success of a run without an error", () => {
  const execution = started();
  const finished = create(FinishedSchema, {
    exitCode: 0,
    startupMs: 5,
    executionMs: 20,
    cpuMs: 10,
  });
  finishExecution(execution, { kind: "finished", finished }, 1040);
  assert.equal(execution.status, Status.SUCCEEDED);
  assert.equal(execution.exitCode, 0);
  assert.equal(execution.errorType, undefined);
  assert.equal(execution.metrics?.queueDurationMs, 10);
  assert.equal(execution.metrics?.totalDurationMs, 40);
  assert.equal(execution.metrics?.cpuUsageMillicores, 500);
  assert.equal(execution.metrics?.success, true);
});

test("finishExecution() keeps the error type of a failed run, in the metrics too", () => {
  const execution = started();
  const finished = create(FinishedSchema, { signal: "SIGKILL", errorType: "memory" });
  finishExecution(execution, { kind: "finished", finished }, 1040);
  assert.equal(execution.status, Status.FAILED);
  assert.equal(execution.signal, "SIGKILL");
  assert.equal(execution.metrics?.errorType, "memory");
});

test("finishExecution() tells a cancelled run from one that could not be had", () => {
  const cancelled = started();
  finishExecution(cancelled, { kind: "cancelled" }, 1040);
  assert.equal(cancelled.status, Status.CANCELLED);
  assert.equal(cancelled.errorType, "cancelled");
  const failed = started();
  finishExecution(failed, failedRun(new SylaError("internal", "No jail.")), 1040);
  assert.equal(failed.errorType, "internal");
  assert.equal(failed.errorMessage, "No jail.");
});

test("collectOutput() gives text as text and other bytes as bytes, each stream by itself", () => {
  const events = [
    create(ExecutionEventSchema, { event: { case: "stdout", value: toChunk(Buffer.from("a€")) } }),
    create(ExecutionEventSchema, {
      event: { case: "stderr", value: toChunk(Buffer.from([0xff])) },
    }),
    create(ExecutionEventSchema, { event: { case: "stdout", value: toChunk(Buffer.from("b")) } }),
  ];
  const output = collectOutput(events);
  assert.equal(output.stdout, "a€b");
  assert.equal(output.stderr, "");
  assert.deepEqual([...output.stderrBase64], [0xff]);
});
