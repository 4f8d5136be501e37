// Piston's API on a whole platform, by a client that was written for Piston and by its documented requests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PistonClient } from "piston-api-client";
import { list, post } from "../api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
// It keeps what it was told about runtimes for a day, and its process with it.
const client = () => new PistonClient({ server: platform().url, cacheTime: 1 });

interface Stage {
  readonly stdout: string;
  readonly stderr: string;
  readonly output: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly message: string | null;
  readonly status: string | null;
  readonly cpu_time: number | null;
  readonly wall_time: number | null;
  readonly memory: number | null;
}

interface Result {
  readonly language: string;
  readonly version: string;
  readonly run: Stage;
  readonly compile?: Stage;
}

function parseResult(json: unknown): Result {
  return json as Result;
}

async function run(language: string, content: string, more: object = {}): Promise<Result> {
  const body = { language, version: "*", files: [{ content }], ...more };
  const response = await post(platform(), "/api/v2/execute", body);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return parseResult(JSON.parse(text));
}

async function offers(language: string): Promise<boolean> {
  const runtimes = await client().runtimes();
  return runtimes.success && runtimes.data.some((one) => one.language === language);
}

test("piston-api-client lists runtimes and runs a program", async () => {
  const runtimes = await client().runtimes();
  assert.ok(runtimes.success);
  const python = runtimes.data.find(({ language }) => language === "python");
  assert.ok(python !== undefined && python.aliases.includes("py3"));
  const answer = await client().execute({
    language: "py3",
    version: python.version,
    files: [
      { name: "my_code.py", content: "import sys, lib\nprint(lib.x, input(), sys.argv[1:])" },
      { name: "lib.py", content: "eCA9IDc=", encoding: "base64" },
    ],
    stdin: "in",
    args: ["a", "$b;`c`"],
  });
  assert.ok(answer.success);
  assert.equal(answer.data.run.output, "7 in ['a', '$b;`c`']\n");
  assert.deepEqual([answer.data.run.code, answer.data.run.signal], [0, null]);
  assert.equal(answer.data.language, "python");
});

test("what the program wrote comes on its two streams and, together, in its order", async () => {
  const code = [
    "import sys, time",
    "for n in range(3):",
    "    print('out', n, flush=True); time.sleep(0.05)",
    "    print('ärr', n, file=sys.stderr, flush=True); time.sleep(0.05)",
    "sys.exit(4)",
  ].join("\n");
  const { run: stage, compile } = await run("python", code);
  assert.equal(stage.output, "out 0\närr 0\nout 1\närr 1\nout 2\närr 2\n");
  assert.equal(stage.stdout, "out 0\nout 1\nout 2\n");
  assert.deepEqual([stage.code, stage.status], [4, "RE"]);
  assert.equal(stage.message, "Exited with error status 4");
  assert.ok((stage.wall_time ?? 0) >= 300 && (stage.wall_time ?? 0) < 3000);
  assert.ok((stage.memory ?? 0) > 1_000_000);
  assert.equal(compile, undefined);
});

test("a compiler's words are its own stage; a program that does not compile is not run", async () => {
  // A literal that no program had: one that was built before is not compiled again.
  const good = `#include <stdio.h>\nint main(void) { int x; puts("ran ${process.pid}"); return 3; }`;
  const built = await run("c", good, { files: [{ name: "prog", content: good }] });
  assert.deepEqual([built.compile?.code, built.run.code], [0, 3]);
  assert.equal(built.run.stdout, `ran ${process.pid}\n`);
  const again = await run("c", good, { files: [{ name: "prog", content: good }] });
  assert.deepEqual([again.compile?.code, again.run.stdout], [0, built.run.stdout]);
  const bad = await run("gcc", "int main(void) { return x; }");
  assert.equal(bad.language, "c");
  assert.match(bad.compile?.stderr ?? "", /error: .x. undeclared/);
  assert.deepEqual(bad.run, bad.compile);
  assert.equal(bad.compile?.status, "RE");
});

test("a Java program may be in a file of any name", async (t) => {
  if (!(await offers("java"))) return t.skip("java is not on this host");
  const java =
    'public class Hello { public static void main(String[] a) { System.out.print("j"); } }';
  const files = [{ name: "my_cool_code.java", content: java }];
  const limits = { run_timeout: 3000, compile_timeout: 10_000 };
  assert.equal((await run("java", "", { files, ...limits })).run.output, "j");
});

test("C++ has Piston's name", async (t) => {
  if (!(await offers("c++"))) return t.skip("cpp is not on this host");
  const cpp = "#include <iostream>\nint main() { std::cout << 42; }";
  const answer = await run("c++", cpp);
  assert.deepEqual([answer.language, answer.run.output], ["c++", "42"]);
});

test("a stage has its own bounds: a program that compiled is ended at the run's", async () => {
  const slow = "int main(void) { for (volatile int i = 0;; i++); }";
  const began = performance.now();
  const { run: late, compile } = await run("c", slow, { run_timeout: 700 });
  assert.deepEqual([late.status, late.signal, late.code], ["TO", "SIGKILL", null]);
  assert.equal(compile?.code, 0);
  assert.ok(performance.now() - began < 6000, "it did not get the compiler's time");
  const python = await run("python", "while True: pass", { run_timeout: 500 });
  assert.deepEqual([python.run.status, python.run.signal], ["TO", "SIGKILL"]);
});

test("a signal, too much output and too much memory are told in Piston's words", async () => {
  const dead = await run("bash", "kill -SEGV $$");
  assert.deepEqual([dead.run.status, dead.run.signal, dead.run.code], ["SG", "SIGSEGV", null]);
  const loud = await run("python", "while True: print('x' * 1000)");
  assert.deepEqual([loud.run.status, loud.run.signal], ["OL", "SIGKILL"]);
  const loudErr = await run("python", "import sys\nwhile True: sys.stderr.write('x' * 1000)");
  assert.equal(loudErr.run.status, "EL");
  const limit = { run_memory_limit: 64_000_000 };
  const big = await run("python", "x = bytearray(500_000_000)", limit);
  assert.deepEqual([big.run.status, big.run.signal], ["SG", "SIGKILL"]);
});

test("memory is bounded although Piston's is not by default", async () => {
  const { run: stage } = await run("python", "x = bytearray(2_000_000_000)\nprint(len(x))");
  assert.deepEqual([stage.stdout, stage.signal], ["", "SIGKILL"]);
});

test("the program has Piston's environment, and its standard input ends in a newline", async () => {
  const code = 'read -r line; echo "$line $HOME $PISTON_LANGUAGE"';
  const { run: stage } = await run("sh", code, { stdin: "no newline" });
  assert.equal(stage.stdout, "no newline /tmp bash\n");
});

test("refusals have Piston's status and words", async () => {
  const refusal = async (path: string, init: RequestInit) => {
    const response = await fetch(platform().url + path, init);
    const json: unknown = await response.json();
    return [response.status, json];
  };
  const plain = { method: "POST", body: "{}", headers: { "content-type": "text/plain" } };
  const notJson = [415, { message: "requests must be of type application/json" }];
  assert.deepEqual(await refusal("/api/v2/execute", plain), notJson);
  assert.deepEqual(await refusal("/api/v2/piston/packages", plain), notJson);
  const json = (body: string) => ({
    ...{ method: "POST", body, headers: { "content-type": "application/json" } },
  });
  assert.deepEqual(await refusal("/api/v2/execute", json("{}")), [
    400,
    { message: "language is required as a string" },
  ]);
  const [status] = await refusal("/api/v2/execute", json("{"));
  assert.equal(status, 400);
  const escape = {
    ...{ language: "python", version: "*" },
    files: [{ name: "../up.py", content: "1" }],
  };
  const escaped = await refusal("/api/v2/execute", json(JSON.stringify(escape)));
  assert.equal(escaped[0], 400);
  assert.match(JSON.stringify(escaped[1]), /files\/0\/name must be a relative path/);
  const memory = { language: "python", version: "*", files: [{ content: "1" }] };
  const much = JSON.stringify({ ...memory, run_memory_limit: 2 ** 36 });
  const huge = await refusal("/api/v2/execute", json(much));
  assert.match(JSON.stringify(huge), /^\[400,.*run_memory_limit must be at most/);
});

test("packages are listed as installed, and are not installed from here", async () => {
  const packages = await fetch(`${platform().url}/api/v2/packages`);
  const listed = JSON.stringify(await packages.json());
  assert.match(listed, /\{"language":"python","language_version":"[\d.]+","installed":true\}/);
  const known = await post(platform(), "/api/v2/packages", { language: "python", version: "*" });
  assert.equal(known.status, 501);
  const unknown = await post(platform(), "/api/v2/packages", { language: "cow", version: "1.0.0" });
  assert.equal(unknown.status, 404);
  assert.deepEqual(await unknown.json(), {
    message: "Requested package cow-1.0.0 does not exist",
  });
});

test("a client that leaves ends its program", async () => {
  const leaving = new AbortController();
  const body = { language: "bash", version: "*", files: [{ content: "sleep 2.5 # left" }] };
  const call = post(platform(), "/api/v2/execute", body, { signal: leaving.signal });
  const status = async (filter: string) => (await list(platform(), { filter })).executions.length;
  await eventually("it runs", async () => (await status('status = "RUNNING"')) === 1);
  const cancelled = await status('status = "CANCELLED"');
  leaving.abort();
  await assert.rejects(call);
  await eventually(
    "it is cancelled",
    async () => (await status('status = "CANCELLED"')) === cancelled + 1,
  );
});
