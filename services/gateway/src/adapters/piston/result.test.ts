import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ExecutionEventSchema,
  type ExecutionSchema,
  LanguageSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { readJob } from "./request.ts";
import { JobLog } from "./result.ts";
import { toRuntimes } from "./runtimes.ts";

type EventInit = NonNullable<MessageInitShape<typeof ExecutionEventSchema>["event"]>;
type Given = readonly [atMs: number, event: EventInit];

const runtimes = toRuntimes([
  create(LanguageSchema, { name: "python", version: "3.11.2" }),
  create(LanguageSchema, { name: "c", version: "12.2.0", compiled: true }),
]);

function follow(language: string, events: readonly Given[], late = false) {
  const files = [{ content: "x" }];
  const body = { language, version: "*", files, run_cpu_time: 1000 };
  const job = readJob(body, runtimes, { pistonCompileMs: 10_000, pistonRunMs: 3000 });
  assert.ok(!("refused" in job));
  const log = new JobLog(job);
  for (const [atMs, event] of events) {
    log.take(create(ExecutionEventSchema, { time: timestampFromMs(atMs), event }));
  }
  return log.result(late);
}

const phase = (name: string): EventInit => ({ case: "status", value: { phase: name } });
const text = (stream: "stdout" | "stderr", value: string): EventInit => {
  return { case: stream, value: { data: { case: "text", value } } };
};
const end = (execution: MessageInitShape<typeof ExecutionSchema>): EventInit => {
  return { case: "finished", value: execution };
};
const metrics = { memoryPeakMb: 2, executionDurationMs: 200, cpuUsageMillicores: 500 };

test("a stage has both streams, both together in their order, and what it took", () => {
  const { run, compile, language, version } = follow("python", [
    [1000, phase("")],
    [1014, phase("run")], // told late
    [1020, text("stdout", "a")],
    [1030, text("stderr", "b")],
    [1040, text("stdout", "ç")],
    [1210, end({ exitCode: 0, metrics })],
  ]);
  assert.deepEqual([language, version, compile], ["python", "3.11.2", undefined]);
  assert.deepEqual(run, {
    ...{ stdout: "aç", stderr: "b", code: 0, signal: null, output: "abç" },
    ...{ memory: 2 * 1024 ** 2, cpu_time: 100, wall_time: 200, message: null, status: null },
  });
});

test("a character that came in two chunks of bytes is one character", () => {
  const bytes = Buffer.from("é");
  const chunk = (data: Buffer): EventInit => {
    return { case: "stdout", value: { data: { case: "base64", value: data } } };
  };
  const { run } = follow("python", [
    [0, phase("run")],
    [1, chunk(bytes.subarray(0, 1))],
    [2, chunk(bytes.subarray(1))],
    [3, end({ exitCode: 0 })],
  ]);
  assert.deepEqual([run.stdout, run.output], ["é", "é"]);
});

test("compiling is a stage of its own; when it fails, the run is a copy of it", () => {
  const built = follow("c", [
    [0, phase("compile")],
    [1, text("stderr", "warning")],
    [50, phase("run")],
    [60, text("stdout", "out")],
    [90, end({ exitCode: 0, metrics })],
  ]);
  assert.equal(built.compile?.stderr, "warning");
  assert.deepEqual([built.compile.code, built.compile.wall_time], [0, 50]);
  assert.deepEqual([built.run.output, built.run.wall_time], ["out", 40]);
  const failed = follow("c", [
    [0, phase("compile")],
    [1, text("stderr", "error")],
    [50, end({ exitCode: 1, errorType: "compile", metrics })],
  ]);
  assert.deepEqual(failed.run, failed.compile);
  assert.deepEqual([failed.run.code, failed.run.status, failed.run.stderr], [1, "RE", "error"]);
  const known = follow("c", [
    [0, phase("run")],
    [9, end({ exitCode: 0 })],
  ]);
  assert.deepEqual([known.compile?.code, known.compile?.output], [0, ""]);
});

test("every end has isolate's word for it", () => {
  const rows: readonly (readonly [object, unknown[]])[] = [
    [{ exitCode: 3, errorType: "exit_code" }, [3, null, "RE", "Exited with error status 3"]],
    [{ exitCode: 0, errorType: "pids" }, [0, null, null, null]],
    [{ signal: "SIGSEGV", errorType: "signal" }, [null, "SIGSEGV", "SG", "Caught fatal signal 11"]],
    [{ signal: "SIGKILL", errorType: "memory" }, [null, "SIGKILL", "SG", "Caught fatal signal 9"]],
    [{ errorType: "timeout" }, [null, "SIGKILL", "TO", "Time limit exceeded (wall clock)"]],
    [{ errorType: "cpu_time" }, [null, "SIGKILL", "TO", "Time limit exceeded"]],
    [
      { errorType: "output", stdoutTruncated: true },
      [null, "SIGKILL", "OL", "stdout length exceeded"],
    ],
    [{ errorType: "output" }, [null, "SIGKILL", "EL", "stderr length exceeded"]],
    [{ errorType: "lost", errorMessage: "Lost." }, [null, null, "XX", "Lost."]],
  ];
  for (const [execution, expected] of rows) {
    const { run } = follow("python", [
      [0, phase("run")],
      [1, end(execution)],
    ]);
    assert.deepEqual([run.code, run.signal, run.status, run.message], expected);
  }
});

test("a run that took more processor time than its own bound is over time, whatever its end", () => {
  const { run } = follow("c", [
    [0, phase("run")],
    [2000, end({ exitCode: 0, metrics: { executionDurationMs: 2000, cpuUsageMillicores: 501 } })],
  ]);
  assert.deepEqual([run.status, run.signal, run.cpu_time], ["TO", "SIGKILL", 1002]);
});

test("a stage that was ended for its own bound has what it wrote until then", () => {
  const { run } = follow(
    "c",
    [
      [0, phase("run")],
      [1, text("stdout", "so far")],
    ],
    true,
  );
  assert.deepEqual([run.status, run.stdout, run.wall_time], ["TO", "so far", 3000]);
  assert.deepEqual([run.cpu_time, run.memory], [null, null]);
});
