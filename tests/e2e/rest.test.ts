// Executions over REST: what is asked is what is run, and what was run is found again.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cancel,
  create,
  execute,
  get,
  list,
  parseExecution,
  post,
  python,
  refusal,
} from "../api.ts";
import { readExecutionEvents, readSentEvents } from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const slots = 8;
const platform = sharedPlatform({ environment: { SYLA_EXECUTION_SLOTS: `${slots}` } });

async function untilOver(id: string): Promise<void> {
  const { events } = await readExecutionEvents(
    await fetch(`${platform().url}/api/v1/executions/${id}/events`),
  );
  assert.ok(events.at(-1)?.finished, "a watch ends with the end of its execution");
}

/** Queues a program that runs until it is ended, and resolves when it runs. */
async function createRunning(): Promise<string> {
  const code = "echo up; while :; do sleep 1; done";
  const { id } = await create(platform(), { language: "bash", code, limits: { wallTime: "600s" } });
  const events = await fetch(`${platform().url}/api/v1/executions/${id}/events`);
  for await (const { data } of readSentEvents(events)) if (data.includes('"stdout"')) return id;
  return assert.fail("it never began to run");
}

test("creating an execution answers 201, where it is, and that it waits; it then runs", async () => {
  const spec = { language: "python", code: "print('queued')", metadata: { owner: "ada" } };
  const response = await post(platform(), "/api/v1/executions", spec);
  assert.equal(response.status, 201);
  const created = parseExecution(await response.json());
  assert.equal(response.headers.get("location"), `/api/v1/executions/${created.id}`);
  assert.equal(created.status, "PENDING");
  assert.equal(created.stdout, "");
  await untilOver(created.id);
  const found = await get(platform(), created.id);
  assert.deepEqual([found.status, found.stdout, found.exitCode], ["SUCCEEDED", "queued\n", 0]);
  assert.deepEqual(found.metadata, { owner: "ada" });
  assert.equal(found.createdAt, created.createdAt);
});

test("executing answers the finished execution, and the same is found by its id", async () => {
  const answer = await python(
    platform(),
    "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
  );
  assert.equal(answer.status, "FAILED");
  assert.equal(answer.errorType, "exit_code");
  assert.deepEqual([answer.stdout, answer.stderr, answer.exitCode], ["out\n", "err\n", 3]);
  await eventually("the history has it", async () => {
    const found = await list(platform(), { filter: 'errorType = "exit_code"' });
    return found.executions.some(({ id }) => id === answer.id);
  });
  assert.deepEqual(await get(platform(), answer.id), answer);
});

test("the metrics of a run add up", async () => {
  const { metrics, createdAt, startedAt, finishedAt } = await python(
    platform(),
    "n = 0\nfor i in range(3_000_000): n += i\nopen('f', 'w').write('x' * 100_000)",
  );
  const number = (name: string) => Number(metrics?.[name]);
  assert.equal(metrics?.["success"], true);
  assert.equal(metrics["errorType"], undefined);
  for (const name of [
    "startupDurationMs",
    "executionDurationMs",
    "cpuUsageMillicores",
    "memoryPeakMb",
  ]) {
    assert.ok(number(name) > 0, `${name} is ${number(name)}`);
  }
  assert.ok(number("queueDurationMs") >= 0);
  assert.ok(number("diskIoBytes") >= 100_000, "its files are counted");
  const parts =
    number("queueDurationMs") + number("startupDurationMs") + number("executionDurationMs");
  assert.ok(Math.abs(number("totalDurationMs") - parts) < 250, "the parts make up the whole");
  assert.ok(createdAt <= (startedAt ?? "") && (startedAt ?? "") <= (finishedAt ?? ""));
});

test("arguments, standard input and environment reach the program byte for byte", async () => {
  const odd = ["", " ", "a b", "'\"`$(x)\\", "line\nbreak", "tab\t", "ünï😀", "-x", "--", "*"];
  const env = Object.fromEntries(odd.map((value, index) => [`ODD_${index}`, value]));
  const code = `
import json, os, sys
print(json.dumps([sys.argv[1:], [os.environ[f"ODD_{n}"] for n in range(10)], sys.stdin.read()]))`;
  const stdin = "first\r\n\0last without an end ☃";
  const { stdout } = await python(platform(), code, { args: odd, env, stdin });
  assert.deepEqual(JSON.parse(stdout), [odd, odd, stdin]);
});

test("a program without input reads an empty one", async () => {
  const { stdout } = await python(platform(), "import sys; print(repr(sys.stdin.read()))");
  assert.equal(stdout, "''\n");
});

test("several files go in by their names, text and bytes alike, and the first is run", async () => {
  const bytes = Buffer.from([0, 255, 10, 128]);
  const files = [
    {
      name: "app.py",
      content: "from lib.words import word; print(word, list(open('data/b', 'rb').read()))",
    },
    { name: "lib/words.py", content: "word = 'found'" },
    { name: "data/b", contentBase64: bytes.toString("base64") },
    { name: "empty" },
  ];
  const { stdout } = await execute(platform(), { language: "python", files });
  assert.equal(stdout, "found [0, 255, 10, 128]\n");
});

test("artifacts come back in the order asked, with their bytes, or with why not", async () => {
  const code =
    "import os; os.mkdir('d'); open('d/b', 'wb').write(bytes(range(256))); open('a', 'w').close()";
  const { artifacts } = await python(platform(), code, { artifacts: ["d/b", "absent", "a"] });
  assert.deepEqual(
    artifacts.map(({ name, error, sizeBytes }) => [name, error, sizeBytes]),
    [
      ...[
        ["d/b", undefined, 256],
        ["absent", "not_found", 0],
      ],
      ["a", undefined, 0],
    ],
  );
  assert.equal(Buffer.from(artifacts[0]?.contentBase64 ?? "", "base64").readUInt8(255), 255);
});

test("artifacts come back from a run that failed too", async () => {
  const code = "open('report', 'w').write('partial'); raise SystemExit(1)";
  const { artifacts, status } = await python(platform(), code, { artifacts: ["report"] });
  assert.equal(status, "FAILED");
  assert.equal(Buffer.from(artifacts[0]?.contentBase64 ?? "", "base64").toString(), "partial");
});

test("each limit ends a run by its own name", async () => {
  const cases = [
    ["timeout", "import time; time.sleep(60)", { wallTime: "0.5s" }],
    ["cpu_time", "while True: pass", { cpuTime: "0.5s", wallTime: "60s" }],
    ["memory", "x = [bytearray(1 << 20) for _ in range(999)]", { memoryBytes: "50331648" }],
    ["pids", "import os\nwhile True: os.fork()", { pids: 8 }],
    ["disk", "open('f', 'wb').write(bytes(1 << 20))", { diskBytes: 131_072 }],
    ["output", "print('x' * 5000)", { outputBytes: 4096 }],
  ] as const;
  const ends = await Promise.all(
    cases.map(([, code, limits]) => python(platform(), code, { limits })),
  );
  assert.deepEqual(
    ends.map(({ errorType }) => errorType),
    cases.map(([errorType]) => errorType),
  );
});

test("a language answers to its aliases, and to a version or the beginning of one", async () => {
  const { version } = await python(platform(), "pass");
  const [major, minor] = version.split(".");
  for (const wanted of [version, `${major}.${minor}`, `${major}`]) {
    const spec = {
      language: "py",
      version: wanted,
      code: "import sys; print(sys.version_info[:2])",
    };
    const { stdout, language } = await execute(platform(), spec);
    assert.deepEqual([language, stdout], ["python", `(${major}, ${minor})\n`]);
  }
});

test("cancelling ends a running execution, and again and afterwards changes nothing", async () => {
  const id = await createRunning();
  const [one, two] = await Promise.all([cancel(platform(), id), cancel(platform(), id)]);
  assert.deepEqual(one, two);
  assert.deepEqual([one.status, one.errorType, one.stdout], ["CANCELLED", "cancelled", "up\n"]);
  assert.deepEqual(await cancel(platform(), id), one);
  assert.deepEqual(await get(platform(), id), one);
  const over = await python(platform(), "print(1)");
  assert.equal((await cancel(platform(), over.id)).status, "SUCCEEDED");
});

test("cancelling one that waits ends it before it runs", async () => {
  const blockers = await Promise.all(Array.from({ length: slots }, createRunning));
  const spec = { language: "bash", code: "echo ran", metadata: { label: "waits" } };
  const { id } = await create(platform(), spec);
  assert.equal((await get(platform(), id)).status, "PENDING");
  const cancelled = await cancel(platform(), id);
  assert.deepEqual(
    [cancelled.status, cancelled.startedAt, cancelled.stdout],
    ["CANCELLED", undefined, ""],
  );
  await Promise.all(blockers.map((blocker) => cancel(platform(), blocker)));
});

test("lists are newest first, without output, and page without a gap or a repetition", async () => {
  const label = "paged";
  const ids: string[] = [];
  for (let count = 0; count < 7; count += 1) {
    const { id } = await create(platform(), {
      language: "bash",
      code: "echo out",
      metadata: { label },
    });
    ids.unshift(id);
  }
  await Promise.all(ids.map(untilOver));
  const filter = `metadata.label = "${label}"`;
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await list(platform(), { filter, pageSize: "3", pageToken });
    assert.ok(page.executions.length <= 3);
    seen.push(...page.executions.map(({ id }) => id));
    assert.ok(page.executions.every(({ stdout }) => stdout === ""));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(seen, ids);
});

test("filters select by status, language, error and label, and combine", async () => {
  const label = `it's "quoted" \\ 100%`;
  await execute(platform(), { language: "bash", code: "exit 1", metadata: { label } });
  await execute(platform(), { language: "bash", code: "exit 0", metadata: { label } });
  const quoted = `metadata.label = ${JSON.stringify(label)}`;
  await eventually("the history has both", async () => {
    return (await list(platform(), { filter: quoted })).executions.length === 2;
  });
  const count = async (filter: string) => (await list(platform(), { filter })).executions.length;
  assert.equal(await count(`${quoted} AND status = "FAILED"`), 1);
  assert.equal(await count(`${quoted} AND errorType = exit_code AND language = bash`), 1);
  assert.equal(await count(`${quoted} AND status != FAILED`), 1);
  assert.equal(await count(`${quoted} AND language = python`), 0);
  assert.equal(await count(`status = "x' OR '1'='1"`), 0);
});

test("a page token is of no use with another filter, or when it was tampered with", async () => {
  await create(platform(), { language: "bash", code: "echo" });
  const { nextPageToken } = await list(platform(), { pageSize: "1" });
  assert.notEqual(nextPageToken, "");
  const tampered = `${nextPageToken.slice(0, -2)}${nextPageToken.endsWith("AA") ? "BB" : "AA"}`;
  for (const query of [
    new URLSearchParams({ pageToken: nextPageToken, filter: "language = bash" }),
    new URLSearchParams({ pageToken: tampered }),
    new URLSearchParams({ pageToken: "nonsense" }),
  ]) {
    const response = await fetch(`${platform().url}/api/v1/executions?${query.toString()}`);
    await refusal(response, 400, "invalid_page_token");
  }
});

test("an execution that is not there is 404 for every method that names one", async () => {
  const path = "/api/v1/executions/00000000-0000-7000-8000-000000000000";
  await refusal(await fetch(`${platform().url}${path}`), 404, "execution_not_found");
  await refusal(await fetch(`${platform().url}${path}/events`), 404, "execution_not_found");
  await refusal(await post(platform(), `${path}:cancel`, {}), 404, "execution_not_found");
});

test("64 runs at once all come back, each with its own answer", async () => {
  const runs = await Promise.all(
    Array.from({ length: 64 }, (_, index) =>
      execute(platform(), { language: "bash", code: `echo ${index}` }),
    ),
  );
  assert.deepEqual(
    runs.map(({ stdout }) => stdout),
    runs.map((_, index) => `${index}\n`),
  );
  assert.equal(new Set(runs.map(({ id }) => id)).size, 64);
});
