// Secrets from outside: the program has them, and nothing else that can be read, kept or run afterwards does. What is
// looked for is a value that was never anywhere before; beside it stands a word that is looked for in the same way and
// must be found.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { create, execute, type Execution, get, list, parseEvent, post, python } from "../api.ts";
import { descendants, processes } from "../host.ts";
import { makeDataDirectory, type Platform, startPlatform } from "../platform.ts";
import { assertGapless, readExecutionEvents, readLines, stdoutOf } from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({ environment: { LOG_LEVEL: "trace" } });
const cleanUps: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** A word that is nowhere yet. */
function fresh(name: string): string {
  return `${name}-${randomBytes(12).toString("hex")}`;
}

/** Says its secret backwards, so that the program is known to have it and the word itself is not said. */
const backwards = "import os; print(os.environ['TOKEN'][::-1])";

function reversed(text: string): string {
  return Array.from(text).toReversed().join("");
}

/** Every file below a folder that has a word in it. */
function filesWith(folder: string, word: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => contentOf(path).includes(word));
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    // Gone since it was listed, or not for reading.
    return Buffer.alloc(0);
  }
}

/** The processes of this host that have a word in one of their files in /proc. */
function processesWith(file: "cmdline" | "environ", word: string): number[] {
  return processes()
    .map(({ pid }) => pid)
    .filter((pid) => contentOf(`/proc/${pid}/${file}`).includes(word));
}

async function textOf(path: string): Promise<string> {
  return (await fetch(`${platform().url}${path}`)).text();
}

test("a secret is in no answer, event, list, log or file, though the program had it", async () => {
  const [secret, plain] = [fresh("secret"), fresh("plain")];
  const spec = {
    language: "python",
    code: `${backwards} # ${plain}`,
    env: { PLAIN: plain },
    metadata: { label: plain },
    secrets: { TOKEN: secret },
  };
  const answers = [
    await (await post(platform(), "/api/v1/executions:execute", spec)).text(),
    await (await post(platform(), "/api/v1/executions:stream", spec)).text(),
  ];
  const created = await create(platform(), spec);
  answers.push(JSON.stringify(created), await textOf(`/api/v1/executions/${created.id}/events`));
  const query = `mutation($spec: Execution_ExecutionSpecInput) {
    execution_execute(spec: $spec) { id stdout stderr errorMessage metadata }
  }`;
  const graphql = await post(platform(), "/graphql", { query, variables: { spec } });
  answers.push(await graphql.text());
  for (const answer of answers.filter((text) => !text.includes('"PENDING"}')))
    assert.ok(answer.includes(plain), answer);
  assert.equal((await get(platform(), created.id)).stdout, `${reversed(secret)}\n`);
  await eventually("all are recorded", async () => {
    const { executions } = await list(platform(), { filter: `metadata.label = "${plain}"` });
    return executions.length === 4 && executions.every(({ status }) => status === "SUCCEEDED");
  });
  answers.push(
    await textOf(`/api/v1/executions/${created.id}`),
    await textOf("/api/v1/executions?pageSize=1000"),
    await textOf("/metrics"),
  );
  for (const answer of answers) assert.ok(!answer.includes(secret), answer);
  assert.match(platform().log(), /"level":"debug".*"message":"call"/);
  assert.ok(!platform().log().includes(secret), platform().log());
  assert.notDeepEqual(filesWith(platform().data, plain), [], "the database's files are found");
  assert.deepEqual(filesWith(platform().data, secret), []);
});

test("a request that is refused is answered and logged without the values in it", async () => {
  const secret = fresh("secret");
  const fine = { language: "bash", code: "echo" };
  const rest = "/api/v1/executions:execute";
  const connect = "/syla.execution.v1.ExecutionService/Execute";
  const specs = [
    { ...fine, secrets: { TOKEN: `${secret}\0` } },
    { ...fine, secrets: { TOKEN: [secret] } },
    { ...fine, secrets: secret },
    { ...fine, env: { TOKEN: "x" }, secrets: { TOKEN: secret } },
    { ...fine, secrets: { TOKEN: secret, A: "a" }, maskSecrets: true },
    { ...fine, secrets: { TOKEN: secret }, colour: 1 },
    { ...fine, secrets: { TOKEN: secret }, language: "cobol" },
  ];
  const query = "mutation($s: Execution_ExecutionSpecInput) { execution_execute(spec: $s) { id } }";
  const requests: [path: string, body: string][] = specs.flatMap((spec) => [
    [rest, JSON.stringify(spec)],
    [connect, JSON.stringify({ spec })],
    ["/graphql", JSON.stringify({ query, variables: { s: spec } })],
  ]);
  requests.push([rest, `{"secrets": {"TOKEN": ${secret}`], [connect, `{"TOKEN": ${secret}`]);
  for (const [path, body] of requests) {
    const answer = await (await post(platform(), path, undefined, { body })).text();
    assert.match(answer, /Cannot|Expected/, body);
    assert.ok(!answer.includes(secret.slice(0, 12)), answer);
  }
  assert.ok(!platform().log().includes(secret), platform().log());
});

test("while a program with a secret runs, no command line has it, and no process but its own", async () => {
  const [secret, plain] = [fresh("secret"), fresh("plain")];
  const { id } = await create(platform(), {
    language: "bash",
    code: "echo up; sleep 600",
    args: [plain],
    secrets: { TOKEN: secret },
    limits: { wallTime: "600s" },
  });
  await eventually("it runs", async () => (await get(platform(), id)).stdout === "up\n");
  assert.notDeepEqual(processesWith("cmdline", plain), [], "command lines can be looked at");
  assert.deepEqual(processesWith("cmdline", secret), []);
  const having = processesWith("environ", secret);
  const jailed = new Set(descendants(platform().pid).map(({ pid }) => pid));
  assert.notDeepEqual(having, [], "environments can be looked at");
  assert.deepEqual(
    having.filter((pid) => !jailed.has(pid)),
    [],
  );
  assert.ok(!having.includes(platform().pid));
  assert.deepEqual(filesWith(platform().data, secret), []);
  await post(platform(), `/api/v1/executions/${id}:cancel`, {});
});

test("the next run has nothing of it, wherever it looks", async () => {
  const secret = fresh("secret");
  const look = `
import os
seen = [repr(dict(os.environ))]
for folder, _, names in os.walk("/proc"):
    for name in names:
        if name in ("environ", "cmdline"):
            try: seen.append(open(os.path.join(folder, name), "rb").read().decode("latin1"))
            except OSError: pass
for folder in (os.getcwd(), "/tmp", "/dev/shm"):
    for place, _, names in os.walk(folder):
        for name in names: seen.append(open(os.path.join(place, name), "rb").read().decode("latin1"))
print("".join(seen))`;
  const own = await python(platform(), look, { secrets: { TOKEN: secret } });
  assert.ok(own.stdout.includes(secret), "the run itself finds it");
  for (let again = 0; again < 5; again += 1) {
    const { stdout, errorMessage } = await python(platform(), look);
    assert.ok(stdout.includes("PATH") && !stdout.includes(secret), errorMessage);
  }
});

test("a compiler is not given secrets, the program that it made is", async () => {
  // The assembler reads its own environment as a program, and says what a line in it tells it to say.
  const secrets = { TOKEN: '\n.print "it has it"\n' };
  const reading = '__asm__(".include \\"/proc/self/environ\\"");';
  const compiled = await execute(platform(), { language: "c", code: reading, secrets });
  assert.equal(compiled.errorType, "compile", compiled.stderr);
  assert.match(compiled.stderr, /^\/proc\/self\/environ:1: Error/m);
  assert.doesNotMatch(compiled.stdout + compiled.stderr, /it has it/);
  const code = `echo '${reading}' | gcc -c -x c -o a.o -`;
  const own = await execute(platform(), { language: "bash", code, secrets });
  assert.match(own.stdout + own.stderr, /it has it/, "a compiler that has it can be told from it");
  const built =
    '#include <stdlib.h>\n#include <stdio.h>\nint main(void) { puts(getenv("TOKEN")); }';
  const ran = await execute(platform(), { language: "c", code: built, secrets });
  assert.equal(ran.stdout, `${secrets.TOKEN}\n`);
});

const masked = { secrets: { TOKEN: "s3cret-t0ken", OTHER: "s3cret" }, maskSecrets: true };

test("secrets are masked on both streams and in text that is brought back", async () => {
  const code = `
import os, sys
token, other = os.environ["TOKEN"], os.environ["OTHER"]
print("out", token, other, token + other)
print("err", token, file=sys.stderr)
open("a.txt", "w").write(f"file {token}\\n")
open("b.bin", "wb").write(b"\\xff" + token.encode())
sys.stdout.flush()
os.write(1, b"s3c")`;
  const run = await python(platform(), code, { ...masked, artifacts: ["a.txt", "b.bin"] });
  assert.equal(run.stdout, "out *** *** ******\ns3c");
  assert.equal(run.stderr, "err ***\n");
  const [text, binary] = run.artifacts.map((file) => Buffer.from(file.contentBase64, "base64"));
  assert.equal(text?.toString(), "file ***\n");
  assert.equal(binary?.toString("latin1"), "\xffs3cret-t0ken");
  const unmasked = await python(platform(), code, { secrets: masked.secrets });
  assert.equal(unmasked.stdout, "out s3cret-t0ken s3cret s3cret-t0kens3cret\ns3c");
});

/** What came in each event of a stream, as text. */
async function wordsOf(response: Response): Promise<string[]> {
  const lines = await Array.fromAsync(readLines(response));
  return lines
    .map((line) => parseEvent(JSON.parse(line)))
    .flatMap(({ stdout, stderr }) => stdout?.text ?? stderr?.text ?? []);
}

test("a stream is masked over its events, and what can be no secret does not wait", async () => {
  const pieces = ["name? ", "s3c", "ret-t0", "ken", "!", "s3cre", "ssed"];
  const code = pieces.map((piece) => `printf '${piece}'; sleep 0.1`).join("; ");
  const headers = { Accept: "application/x-ndjson" };
  const spec = { language: "bash", code, ...masked };
  const response = await post(platform(), "/api/v1/executions:stream", spec, { headers });
  const words = await wordsOf(response);
  assert.equal(words.join(""), "name? ***!s3cressed");
  assert.equal(words[0], "name? ");
  const plain = await post(
    platform(),
    "/api/v1/executions:stream",
    { ...spec, maskSecrets: false },
    { headers },
  );
  assert.equal((await wordsOf(plain)).join(""), pieces.join(""));
});

test("a secret that the output's limit or the end of time cuts in two is masked, and truncation told", async () => {
  const print = "import os; os.write(1, b'x' * 1000 + os.environ['TOKEN'].encode() * 100)";
  const limited = await python(platform(), print, { ...masked, limits: { outputBytes: 1006 } });
  assert.equal(limited.errorType, "output");
  assert.equal(limited.stdoutTruncated, true);
  assert.equal(limited.stdout, `${"x".repeat(1000)}***`);
  const late = await python(
    platform(),
    "import os, time; os.write(1, b'a s3cret-t'); time.sleep(60)",
    { ...masked, limits: { wallTime: "0.5s" } },
  );
  assert.deepEqual([late.errorType, late.stdout], ["timeout", "a ***"]);
});

test("bytes that are not text are masked too", async () => {
  const code = "import os; os.write(1, b'\\xff' + os.environ['TOKEN'].encode() + b'\\xfe')";
  const { stdout, stdoutBase64 } = await python(platform(), code, masked);
  assert.equal(stdout, "");
  assert.equal(Buffer.from(stdoutBase64, "base64").toString("latin1"), "\xff***\xfe");
});

test("syla run takes a secret from its environment and masks it", async () => {
  const cli = fileURLToPath(new URL("../../cli/bin/syla.js", import.meta.url));
  const env = { ...process.env, SYLA_URL: platform().url, TOKEN: fresh("secret") };
  const args = ["run", "-l", "bash", "--secret", "TOKEN", "--mask-secrets", "-"];
  const child = spawn(process.execPath, [cli, ...args], { env });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stdin.end('echo "<$TOKEN>"; echo "${#TOKEN}"');
  assert.equal(await new Promise((resolve) => child.once("close", resolve)), 0);
  assert.equal(stdout, `<***>\n${env.TOKEN.length}\n`);
});

/** A platform with one slot, which an endless program has, on a data folder that goes after the test. */
async function startBusy(data: string): Promise<Platform> {
  const environment = { SYLA_EXECUTION_SLOTS: "1", SYLA_SERVER_DRAIN: "1s" };
  const busy = await startPlatform({ data, environment });
  cleanUps.push(() => busy.stop());
  const { id } = await create(busy, {
    language: "bash",
    code: "echo up; sleep 600",
    limits: { wallTime: "600s" },
  });
  await eventually("it runs", async () => (await get(busy, id)).stdout === "up\n");
  return busy;
}

for (const [how, end] of [
  ["kill -9", (busy: Platform) => busy.kill()],
  ["a stop", (busy: Platform) => busy.stop()],
] as const) {
  test(`what waits with secrets is LOST after ${how} and says why; what has none runs`, async () => {
    const data = makeDataDirectory();
    cleanUps.push(() => rmSync(data, { recursive: true, force: true }));
    const secret = fresh("secret");
    const first = await startBusy(data);
    const spec = { language: "python", code: "print('ran')", secrets: { TOKEN: secret } };
    const { secrets: _, ...bare } = spec;
    const [having, without] = [await create(first, spec), await create(first, bare)];
    assert.equal((await get(first, having.id)).status, "PENDING");
    assert.deepEqual(filesWith(data, secret), []);
    await end(first);
    const second = await startPlatform({ data });
    cleanUps.push(() => second.stop());
    const watched = async ({ id }: Execution) =>
      readExecutionEvents(await fetch(`${second.url}/api/v1/executions/${id}/events`));
    const ran = await watched(without);
    assert.equal(stdoutOf(ran.events), "ran\n");
    const { events } = await watched(having);
    assertGapless(events);
    assert.deepEqual(
      events.map(({ status, finished }) => status?.status ?? finished?.status),
      ["PENDING", "LOST"],
    );
    const lost = await get(second, having.id);
    assert.deepEqual([lost.status, lost.errorType, lost.startedAt], ["LOST", "lost", undefined]);
    assert.match(lost.errorMessage ?? "", /its secrets were in memory only/);
    assert.deepEqual(filesWith(data, secret), []);
  });
}
