import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { type Job, readJob } from "./request.ts";
import { toRuntimes } from "./runtimes.ts";

const runtimes = toRuntimes([
  create(LanguageSchema, { name: "python", version: "3.11.2", extensions: ["py"] }),
  create(LanguageSchema, { name: "typescript", version: "24.0.0", extensions: ["ts", "mts"] }),
  create(LanguageSchema, { name: "c", version: "12.2.0", extensions: ["c"], compiled: true }),
  create(LanguageSchema, { name: "java", version: "17.0.1", extensions: ["java"], compiled: true }),
]);
const most = { pistonCompileMs: 10_000, pistonRunMs: 3000 };
const read = (body: JsonValue) => readJob(body, runtimes, most);
const good = { language: "python", version: "*", files: [{ content: "print(1)" }] };

function job(body: JsonValue): Job {
  const answer = read(body);
  assert.ok(!("refused" in answer), "refused" in answer ? answer.refused : "");
  return answer;
}

test("readJob() refuses what Piston refuses, in its order and with its words", () => {
  const rows: readonly (readonly [body: JsonValue, refused: string])[] = [
    [{}, "language is required as a string"],
    [[], "language is required as a string"],
    [{ language: 3 }, "language is required as a string"],
    [{ language: "python" }, "version is required as a string"],
    [{ language: "python", version: "*" }, "files is required as an array"],
    [{ ...good, files: {} }, "files is required as an array"],
    [{ ...good, files: [{ content: "" }, {}] }, "files[1].content is required as a string"],
    [{ ...good, files: [null] }, "files[0].content is required as a string"],
    [{ ...good, language: "cow" }, "cow-* runtime is unknown"],
    [{ ...good, version: "2.x" }, "python-2.x runtime is unknown"],
    [
      { ...good, files: [{ content: "00", encoding: "hex" }] },
      "files must include at least one utf8 encoded file",
    ],
    [{ ...good, files: [] }, "files must include at least one utf8 encoded file"],
    [{ ...good, run_timeout: "3" }, "If specified, run_timeout must be a number"],
    [{ ...good, run_timeout: 3001 }, "run_timeout cannot exceed the configured limit of 3000"],
    [
      { ...good, compile_cpu_time: 10_001 },
      "compile_cpu_time cannot exceed the configured limit of 10000",
    ],
    [{ ...good, run_cpu_time: -1 }, "run_cpu_time must be non-negative"],
    [{ ...good, run_memory_limit: "1" }, "If specified, run_memory_limit must be a number"],
    [{ ...good, args: [1] }, "args must be an array of strings"],
    [{ ...good, stdin: 1 }, "stdin must be a string"],
  ];
  for (const [body, refused] of rows) assert.deepEqual(read(body), { refused });
});

test("a single file without a name is named by the sandbox; others have the names they were given", () => {
  assert.equal(job(good).spec.code, "print(1)");
  const named = job({
    ...good,
    files: [
      { content: "00ff", encoding: "hex", name: "/data/bytes" },
      { content: "import lib", name: "entry" },
      { content: "" },
      { content: "aGk=", encoding: "base64" },
    ],
  });
  const files = named.spec.files.map(({ name, body }) => [name, body.value?.length]);
  assert.deepEqual(files, [
    ["entry", 10],
    ["data/bytes", 2],
    ["file2.code", 0],
    ["file3.code", 2],
  ]);
});

test("a main file gets the ending that its language's tools go by, where it has none of them", () => {
  const nameOf = (language: string, name?: string) => {
    const main = { content: "x", ...(name === undefined ? {} : { name }) };
    const files = [main, { name: "other", content: "" }];
    return job({ language, version: "*", files }).spec.files[0]?.name;
  };
  assert.equal(nameOf("python", "file0.code"), "file0.code");
  assert.equal(nameOf("python"), "main.py");
  assert.equal(nameOf("c", "file0.code"), "file0.code.c");
  assert.equal(nameOf("c", "./src/a.c"), "src/a.c");
  assert.equal(nameOf("typescript", "a.mts"), "a.mts");
  assert.equal(nameOf("java"), "Main.java");
  const java = {
    language: "java",
    version: "*",
    files: [{ name: "x.java", content: "class A {}" }],
  };
  assert.equal(job(java).spec.code, "class A {}");
  assert.equal(job({ ...good, files: [{ content: "" }] }).spec.files[0]?.name, "main.py");
});

test("standard input ends in a newline, and the program is told its language", () => {
  const { spec } = job({ ...good, stdin: "a", args: ["1", "$x"] });
  assert.equal(spec.stdin, "a\n");
  assert.deepEqual(spec.args, ["1", "$x"]);
  assert.deepEqual(spec.env, { HOME: "/tmp", PISTON_LANGUAGE: "python" });
  assert.equal(job({ ...good, stdin: "a\n" }).spec.stdin, "a\n");
  assert.equal(job(good).spec.stdin, "\n");
});

test("bounds are the run's, or where something is compiled the larger of both stages'", () => {
  const bounds = (body: object) => {
    const { limits } = job({ ...good, ...body }).spec;
    const ms = [limits?.wallTime, limits?.cpuTime].map((one) => one && durationMs(one));
    return [...ms, Number(limits?.memoryBytes)];
  };
  assert.deepEqual(bounds({}), [3000, 3000, 0]);
  assert.deepEqual(bounds({ run_timeout: 500, run_cpu_time: 0 }), [500, 3000, 0]);
  assert.deepEqual(bounds({ run_memory_limit: -1 }), [3000, 3000, 0]);
  assert.deepEqual(bounds({ run_memory_limit: 50e6 }), [3000, 3000, 50e6]);
  assert.deepEqual(bounds({ run_memory_limit: 1 }), [3000, 3000, 4 * 1024 ** 2]);
  const c = { language: "c", run_timeout: 500, run_memory_limit: 50e6 };
  assert.deepEqual(bounds(c), [10_000, 10_000, 384 * 1024 ** 2]);
  assert.deepEqual(bounds({ ...c, compile_memory_limit: 90e6 }), [10_000, 10_000, 90e6]);
});
