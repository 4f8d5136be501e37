import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Execution_Status } from "@syla/contract/syla/execution/v1/execution";
import { type FakeBody, type FakePlatform, startFakePlatform } from "@syla/sdk/fake-platform";
import { freshFolder, start, syla } from "./terminal/fixture.ts";

const { FAILED } = Execution_Status;

// What the test lets a program wait for, so that order is shown without measuring time.
const gates = new Map<string, PromiseWithResolvers<void>>();

function gate(name: string): PromiseWithResolvers<void> {
  const found = gates.get(name) ?? Promise.withResolvers<void>();
  gates.set(name, found);
  return found;
}

const untilCancelled: FakeBody = async ({ stdout, cancelled }) => {
  stdout("ready\n");
  await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
  gate("cancelled").resolve();
};

const programs: Readonly<Record<string, FakeBody>> = {
  both: async ({ stdout, stderr }) => {
    stdout("to out\n");
    stderr("to err\n");
  },
  bytes: async ({ stdout }) => stdout(new Uint8Array([0, 255, 254, 10])),
  "exit 7": async () => ({ status: FAILED, exitCode: 7, errorType: "exit_code" }),
  crash: async () => ({ status: FAILED, signal: "SIGSEGV", errorType: "signal" }),
  sleep: async () => ({ status: FAILED, signal: "SIGKILL", errorType: "timeout" }),
  lost: async () => ({ status: Execution_Status.LOST, errorType: "lost" }),
  echo: async ({ spec, stdout }) => {
    const env = Object.entries(spec.env).map((pair) => pair.join("="));
    stdout(JSON.stringify({ args: spec.args, env, stdin: spec.stdin, version: spec.version }));
  },
  secrets: async ({ spec: { secrets, maskSecrets, stdin, env: given }, stdout }) =>
    stdout(JSON.stringify({ secrets, maskSecrets, stdin, env: given })),
  names: async ({ spec, stdout }) => {
    const files = spec.files.map(
      (file) => `${file.name}:${Buffer.from(file.body.value ?? "").toString()}`,
    );
    stdout([spec.language, ...files].join(" "));
  },
  limits: async ({ spec: { limits }, stdout }) => {
    const wall = `${limits?.wallTime?.seconds}.${limits?.wallTime?.nanos}`;
    stdout(
      `${wall} ${limits?.memoryBytes} ${limits?.pids} ${limits?.diskBytes} ${limits?.outputBytes}`,
    );
  },
  slow: async ({ stdout }) => {
    stdout("first\n");
    await gate("seen").promise;
    stdout("second\n");
  },
  "wait for ctrl-c": untilCancelled,
  flood: async ({ stdout, cancelled }) => {
    while (!cancelled.aborted) {
      stdout("y\n".repeat(1000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    gate("flood ended").resolve();
  },
  plot: async ({ artifact }) => {
    artifact("plot.png", Buffer.from("image"));
    artifact("deep/er.txt", Buffer.from("text"));
  },
  "no plot": async ({ artifact }) => artifact("plot.png", undefined),
};

let platform: FakePlatform;
let env: Record<string, string>;
before(async () => {
  platform = await startFakePlatform({ programs });
  env = { SYLA_URL: platform.url };
});
after(() => platform.close());

/** Runs a program from a file, with flags. */
function runFile(source: string, args: readonly string[] = [], name = "main.py") {
  const cwd = freshFolder();
  writeFileSync(join(cwd, name), source);
  return { cwd, ...start(["run", name, ...args], { cwd, env }) };
}

test("output goes to the stream that it was written to", async () => {
  const { code, stdout, stderr } = await runFile("both").ended;
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "to out\n", stderr: "to err\n" });
});

test("bytes that are not text come out as they are", async () => {
  const { stdoutBytes } = await runFile("bytes").ended;
  assert.deepEqual([...stdoutBytes], [0, 255, 254, 10]);
});

test("output comes out before the program ends", async () => {
  const { saw, ended } = runFile("slow");
  await saw("first\n");
  gate("seen").resolve();
  const { stdout } = await ended;
  assert.equal(stdout, "first\nsecond\n");
});

test("the program's exit code is the command's, without a word", async () => {
  const { code, stderr } = await runFile("exit 7").ended;
  assert.deepEqual({ code, stderr }, { code: 7, stderr: "" });
});

test("a signal is 128 and its number, and named", async () => {
  const { code, stderr } = await runFile("crash").ended;
  assert.deepEqual({ code, stderr }, { code: 139, stderr: "syla: ended by SIGSEGV (signal)\n" });
});

test("a timeout is 124 and names the limit", async () => {
  const { code, stderr } = await runFile("sleep", ["--timeout", "5s"]).ended;
  assert.equal(code, 124);
  assert.equal(stderr, "syla: ended after 5 s of wall time (timeout)\n");
});

test("a run that the platform lost is 125", async () => {
  assert.equal((await runFile("lost").ended).code, 125);
});

test("Ctrl-C cancels the run and exits with 130", async () => {
  const { child, saw, ended } = runFile("wait for ctrl-c");
  await saw("ready\n");
  child.kill("SIGINT");
  await gate("cancelled").promise;
  const { code, stderr } = await ended;
  assert.deepEqual({ code, stderr }, { code: 130, stderr: "" });
});

test("a reader that leaves ends the run quietly", async () => {
  const { child, saw, ended } = runFile("flood");
  await saw("y\n");
  child.stdout.destroy();
  await gate("flood ended").promise;
  const { code, stderr } = await ended;
  assert.deepEqual({ code, stderr }, { code: 141, stderr: "" });
});

test("arguments, environment and version reach the program", async () => {
  const flags = ["--version", "3.11", "--arg", "a", "--env", "K=V=W", "--", "-b", "c d"];
  const { stdout } = await runFile("echo", flags).ended;
  assert.deepEqual(JSON.parse(stdout), {
    args: ["a", "-b", "c d"],
    env: ["K=V=W"],
    stdin: "",
    version: "3.11",
  });
});

test("secrets come from the environment, files and standard input", async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, "main.py"), "secrets");
  writeFileSync(join(cwd, "key.pem"), "line one\nline two\r\n");
  const flags = [
    "--secret",
    "TOKEN",
    "--secret",
    "KEY=@key.pem",
    "--secret",
    "PIPED=-",
    "--mask-secrets",
  ];
  const started = { cwd, env: { ...env, TOKEN: "a=b\n" }, input: "typed\n" };
  const { stdout, stderr } = await syla(["run", "main.py", ...flags], started);
  assert.equal(stderr, "");
  assert.deepEqual(JSON.parse(stdout), {
    secrets: { TOKEN: "a=b\n", KEY: "line one\nline two", PIPED: "typed" },
    maskSecrets: true,
    stdin: "",
    env: {},
  });
});

test("without --mask-secrets nothing is masked, and standard input stays the program's", async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, "main.py"), "secrets");
  const started = { cwd, env: { ...env, TOKEN: "hidden" }, input: "Ada\n" };
  const { stdout } = await syla(["run", "main.py", "--secret", "TOKEN"], started);
  const { secrets, maskSecrets, stdin } = JSON.parse(stdout);
  assert.deepEqual([secrets, maskSecrets, stdin], [{ TOKEN: "hidden" }, false, "Ada\n"]);
});

const secretMistakes: readonly (readonly [flags: string[], message: RegExp])[] = [
  [["--secret", "TOKEN=hidden"], /Cannot take --secret: every process .* can read a command line/],
  [["--secret", "hidden"], /Cannot take --secret: the environment has no variable of that name\./],
  [
    ["--secret", "T", "--secret", "hidden"],
    /Cannot take --secret number 2: the environment has no variable/,
  ],
  [
    ["--secret", "T", "--secret", "T"],
    /Cannot take --secret number 2: one before has the same name\./,
  ],
  [["--secret", "=hidden"], /Cannot read --secret: write NAME, NAME=@FILE or NAME=-\./],
  [["--secret", "T=@none"], /Cannot read the value of --secret 'none': there is no such file\./],
  [
    ["--secret", "T=-", "--secret", "U=-"],
    /Standard input cannot be a secret and a secret at once\./,
  ],
  [["--secret", "T=-", "--stdin", "-"], /Standard input holds a secret already\./],
];

for (const [flags, message] of secretMistakes) {
  test(`'${flags.join(" ")}' is a mistake, told without what may be a secret`, async () => {
    const cwd = freshFolder();
    writeFileSync(join(cwd, "main.py"), "secrets");
    const there = { ...env, T: "hidden" };
    const { code, stdout, stderr } = await syla(["run", "main.py", ...flags], { cwd, env: there });
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, /^syla: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /hidden/);
  });
}

test("what is piped in is the program's standard input", async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, "main.py"), "echo");
  const { stdout } = await syla(["run", "main.py"], { cwd, env, input: "Ada\n" });
  assert.equal(JSON.parse(stdout).stdin, "Ada\n");
});

test("--stdin names a file instead", async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, "in.txt"), "Grace\n");
  const args = ["run", "-l", "py", "--stdin", "in.txt", "-"];
  const { stdout } = await syla(args, { cwd, env, input: "echo" });
  assert.equal(JSON.parse(stdout).stdin, "Grace\n");
});

test("'-' is a program on standard input", async () => {
  const { stdout, code } = await syla(["run", "-l", "python", "-"], { env, input: "both" });
  assert.deepEqual({ stdout, code }, { stdout: "to out\n", code: 0 });
});

test("limits are read in their units", async () => {
  const flags = ["--timeout", "1m1.5s", "--memory", "256MiB", "--pids", "8", "--disk", "1MB"];
  const { stdout } = await runFile("limits", [...flags, "--output-limit", "64k"]).ended;
  assert.equal(stdout, "61.500000000 268435456 8 1000000 64000");
});

test("the language is told by the file's ending, else by its first line", async () => {
  assert.match((await runFile("names", [], "main.c").ended).stdout, /^c main.c:/);
  const script = "#!/usr/bin/env -S python3.11 -u\n";
  const { code, stderr } = await runFile(script, [], "script").ended;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
});

test("further files travel beside the program under the names given", async () => {
  const cwd = freshFolder();
  mkdirSync(join(cwd, "sub"));
  writeFileSync(join(cwd, "main.py"), "names");
  writeFileSync(join(cwd, "sub", "d.csv"), "1,2");
  const args = ["run", "main.py", "--file", "data/in.csv=sub/d.csv"];
  assert.equal((await syla(args, { cwd, env })).stdout, "python main.py:names data/in.csv:1,2");
});

test("artifacts are written to the working directory, or where they were asked for", async () => {
  const flags = ["--artifact", "plot.png=out/p.png", "--artifact", "deep/er.txt"];
  const { cwd, ended } = runFile("plot", flags);
  assert.equal((await ended).code, 0);
  assert.equal(readFileSync(join(cwd, "out", "p.png"), "utf8"), "image");
  assert.equal(readFileSync(join(cwd, "deep", "er.txt"), "utf8"), "text");
});

test("an artifact that was not asked for is not written, and one that is missing is 125", async () => {
  const { code, stderr } = await runFile("plot", ["--artifact", "plot.png"]).ended;
  assert.equal(code, 125);
  assert.match(stderr, /'deep\/er.txt', which was not asked for/);
  const missing = await runFile("no plot", ["--artifact", "plot.png"]).ended;
  assert.equal(missing.code, 125);
  assert.equal(missing.stderr, "syla: 'plot.png' did not come back: not found\n");
});

test("an artifact above the working directory is refused", async () => {
  for (const path of ["../x", "/etc/x", "a/../../x"]) {
    const { code, stderr } = await runFile("plot", ["--artifact", path]).ended;
    assert.equal(code, 2);
    assert.match(stderr, /^syla: Cannot bring back --artifact/);
  }
});

test("--json prints the finished execution and nothing else", async () => {
  const { code, stdout, stderr } = await runFile("both", ["--json"]).ended;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  const { status, exitCode, stdout: out, stderr: err } = JSON.parse(stdout);
  assert.deepEqual([status, exitCode, out, err], ["SUCCEEDED", 0, "to out\n", "to err\n"]);
});

const mistakes: readonly (readonly [args: string[], message: RegExp])[] = [
  [["run", "none.py"], /Cannot read the program 'none.py': there is no such file\./],
  [["run", "--tiemout", "5s"], /There is no flag --tiemout\. Did you mean '--timeout'\?/],
  [["run", "main.py", "--timeout", "soon"], /Cannot read --timeout 'soon': write a duration/],
  [["run", "main.py", "--memory", "0"], /Cannot take --memory '0': it must be above 0\./],
  [["run", "main.py", "--env", "K"], /Cannot read --env 'K': write NAME=VALUE\./],
  [["run", "main.py", "a"], /The argument 'a' is not expected: put the program's own after '--'/],
  [["run", "main.py", "-l", "pyhton"], /no language 'pyhton' here\. Did you mean 'python'\?/],
  [["run", "main.xyz"], /Cannot tell the language of 'main.xyz'.*there are c, python\./],
  [["run"], /There is nothing to run/],
];

for (const [args, message] of mistakes) {
  test(`'syla ${args.join(" ")}' is a mistake, told in one sentence`, async () => {
    const cwd = freshFolder();
    for (const name of ["main.py", "main.xyz"]) writeFileSync(join(cwd, name), "both");
    const { code, stdout, stderr } = await syla(args, { cwd, env });
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.match(stderr, /^syla: [^\n]+\n$/);
    assert.match(stderr, message);
  });
}

test("standard input that is not text is refused", async () => {
  const cwd = freshFolder();
  writeFileSync(join(cwd, "main.py"), "echo");
  const { code, stderr } = await syla(["run", "main.py"], { cwd, env, input: Buffer.from([255]) });
  assert.deepEqual(
    { code, stderr },
    {
      code: 2,
      stderr: "syla: Cannot send the program's input: it is not UTF-8 text.\n",
    },
  );
});

test("a platform that does not answer is 125, with its address", async () => {
  const { url, close } = await startFakePlatform();
  await close();
  const there = { SYLA_URL: url };
  const { code, stderr } = await syla(["run", "-l", "c", "-"], { env: there, input: "both" });
  assert.equal(code, 125);
  assert.equal(stderr, `syla: Cannot reach Syla at ${url}: the connection was refused.\n`);
});
