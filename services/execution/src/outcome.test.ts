import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ExecutionEventSchema,
  ExecutionSchema,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";
import { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { FinishedSchema } from "@syla/contract/syla/sandbox/v1/runner";
import { defaultsOf } from "@syla/kit/config";
import { SylaError } from "@syla/kit/error";
import { executionSettings } from "./config.ts";
import { collectOutput, failedRun, finishExecution, isCutOff, runRequest } from "./outcome.ts";
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

test("finishExecution() says of a run whose secrets were forgotten that it is lost, and why", () => {
  const forgotten = create(ExecutionSchema, { createdAt: timestampFromMs(1000) });
  finishExecution(forgotten, { kind: "forgotten" }, 1040);
  assert.equal(forgotten.status, Status.LOST);
  assert.equal(forgotten.errorType, "lost");
  assert.match(forgotten.errorMessage ?? "", /its secrets were in memory only/);
});

test("isCutOff() tells a program that came to its own end from one that did not", () => {
  const cutOff = (finished: MessageInitShape<typeof FinishedSchema>) =>
    isCutOff(create(FinishedSchema, finished));
  assert.equal(cutOff({ exitCode: 0 }), false);
  assert.equal(cutOff({ exitCode: 3, errorType: "exit_code" }), false);
  assert.equal(cutOff({ signal: "SIGKILL", errorType: "timeout" }), true);
  assert.equal(cutOff({ exitCode: 1, stdoutTruncated: true }), true);
});

test("runRequest() puts secrets into the program's environment", () => {
  const spec = create(ExecutionSpecSchema, { env: { A: "1" }, secrets: { TOKEN: "" } });
  const { env } = runRequest(spec, {
    config: defaultsOf(executionSettings),
    secrets: { variables: { TOKEN: "value" }, network: undefined },
    execution: "one",
  });
  assert.deepEqual(env, { A: "1", TOKEN: "value" });
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

test("collectOutput() gives text whose characters came in pieces as text", () => {
  const [first, second] = [Buffer.from("€").subarray(0, 1), Buffer.from("€").subarray(1)];
  const events = [first, second].map((bytes) =>
    create(ExecutionEventSchema, { event: { case: "stdout", value: toChunk(bytes) } }),
  );
  assert.equal(collectOutput(events).stdout, "€");
});
