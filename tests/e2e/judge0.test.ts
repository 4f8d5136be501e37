// Judge0 CE's API on a whole platform, by the requests of its documentation.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { list, post } from "../api.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({ environment: { SYLA_GATEWAY_JUDGE0_CALLBACKS: "private" } });

const python = 71;
const c = 50;
const bash = 46;

interface Answer {
  readonly token: string;
  readonly status: { readonly id: number; readonly description: string };
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly compile_output: string | null;
  readonly message: string | null;
  readonly time: string | null;
  readonly memory: number | null;
  readonly [field: string]: unknown;
}

function parseAnswer(json: unknown): Answer {
  return json as Answer;
}

async function submit(body: object, query = "?wait=true"): Promise<Answer> {
  const response = await post(platform(), `/submissions${query}`, body);
  const said = await response.text();
  assert.equal(response.status, 201, said);
  return parseAnswer(JSON.parse(said));
}

async function get(token: string, query = "", { url } = platform()): Promise<Answer> {
  const response = await fetch(`${url}/submissions/${token}${query}`);
  assert.equal(response.status, 200);
  return parseAnswer(await response.json());
}

async function getEnded(token: string, query = ""): Promise<Answer> {
  const isOver = async () => (await get(token)).status.id > 2;
  await eventually("the submission has ended", isOver);
  return get(token, query);
}

/** An archive of `zip -0`: stored files, with the attributes of regular ones. */
function zip(files: Readonly<Record<string, string>>): string {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const sizes = Buffer.alloc(16);
    sizes.writeUInt32LE(content.length, 4);
    sizes.writeUInt32LE(content.length, 8);
    sizes.writeUInt16LE(name.length, 12);
    const shared = Buffer.concat([Buffer.from([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]), sizes]);
    local.push(Buffer.from("PK\x03\x04"), shared, Buffer.from(name + content));
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    central.push(Buffer.from("PK\x01\x02\x14\x03"), shared, rest, Buffer.from(name));
    offset += 30 + name.length + content.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...local, directory, end]).toString("base64");
}

test("a submission is queued, and its token answers what became of it", async () => {
  const body = { source_code: "print('hello,', input())", language_id: python, stdin: "world" };
  const created = await submit(body, "/?base64_encoded=false&wait=false");
  assert.deepEqual(Object.keys(created), ["token"]);
  const ended = await getEnded(created.token);
  assert.deepEqual(Object.keys(ended), [
    ...["stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status"],
  ]);
  assert.equal(ended.stdout, "hello, world\n");
  assert.deepEqual(ended.status, { id: 3, description: "Accepted" });
  assert.deepEqual([ended.stderr, ended.compile_output, ended.message], [null, null, null]);
  assert.match(ended.time ?? "", /^\d+\.\d+$/);
  assert.ok((ended.memory ?? 0) > 100);
});

test("fields are those that were asked for, and texts come in base64 when that is asked for", async () => {
  const source = Buffer.from("import sys\nprint('ä' * 40)\nsys.exit(2)").toString("base64");
  const body = { source_code: source, language_id: `${python}`, expected_output: null };
  const answer = await submit(
    body,
    "?base64_encoded=true&wait=true&fields=stdout,status_id,message",
  );
  assert.deepEqual(Object.keys(answer), ["stdout", "status_id", "message"]);
  assert.equal(Buffer.from(answer.stdout ?? "", "base64").toString(), `${"ä".repeat(40)}\n`);
  assert.match(answer.stdout ?? "", /^.{60}\n.*\n$/s);
  assert.equal(answer["status_id"], 11);
  const message = Buffer.from(answer.message ?? "", "base64").toString();
  assert.equal(message, "Exited with error status 2");
  const all = await submit({ source_code: "print(1)", language_id: python }, "?wait=true&fields=*");
  assert.equal(all["source_code"], "print(1)");
  assert.equal(all["cpu_time_limit"], "5.0");
  assert.match(JSON.stringify(all["language"]), /"name":"Python \(3\.[\d.]+\)"/);
  const unknown = await fetch(`${platform().url}/submissions/${all.token}?fields=a,stdout,b`);
  assert.deepEqual(await unknown.json(), { error: "invalid fields: [a, b]" });
});

test("output that is not UTF-8 is refused without base64, with the token, and had with it", async () => {
  const body = { source_code: "import os; os.write(1, b'\\xfe')", language_id: python };
  const refused = await submit(body);
  assert.match(
    String(refused["error"]),
    /^some attributes for this submission cannot be converted/,
  );
  const plain = await fetch(`${platform().url}/submissions/${refused.token}`);
  assert.equal(plain.status, 400);
  assert.equal((await get(refused.token, "?base64_encoded=true")).stdout, "/g==\n");
});

test("the expected output decides, without white space at the end of lines", async () => {
  const source_code = "print('a  \\nb\\n\\n')";
  const status = async (expected_output: string) =>
    (await submit({ source_code, language_id: python, expected_output })).status.id;
  assert.equal(await status("a\nb"), 3);
  assert.equal(await status("a \nb\n\n\n"), 3);
  assert.equal(await status(" a\nb"), 4);
  assert.equal(await status(""), 4);
  const long = "x".repeat(100_000);
  const body = { source_code: "print('x' * 100_000)", language_id: python, expected_output: long };
  assert.equal((await submit(body)).status.id, 3);
});

test("every way to end has its status", async () => {
  const status = async (language_id: number, source_code: string, more: object = {}) => {
    const answer = await submit({ language_id, source_code, ...more }, "?wait=true&fields=*");
    return [answer.status.id, answer.message, answer["exit_signal"]];
  };
  const signalled = (id: number, number: number) => [id, `Caught fatal signal ${number}`, number];
  assert.deepEqual(await status(bash, "kill -SEGV $$"), signalled(7, 11));
  assert.deepEqual(await status(bash, "kill -FPE $$"), signalled(9, 8));
  assert.deepEqual(await status(bash, "kill -ABRT $$"), signalled(10, 6));
  assert.deepEqual(await status(bash, "kill -TERM $$"), signalled(12, 15));
  assert.deepEqual(await status(bash, "exit 7"), [11, "Exited with error status 7", null]);
  const loud = await status(bash, "yes", { max_file_size: 16 });
  assert.deepEqual(loud, signalled(8, 25));
  const busy = { cpu_time_limit: 0.3, cpu_extra_time: 0.1 };
  assert.deepEqual(await status(python, "while True: pass", busy), [
    5,
    "Time limit exceeded",
    null,
  ]);
  const idle = await status(bash, "sleep 5", { wall_time_limit: 1 });
  assert.deepEqual(idle, [5, "Time limit exceeded (wall clock)", null]);
  const big = await status(python, "x = bytearray(10**9)", { memory_limit: 64_000 });
  assert.equal(big[0], 12);
});

test("a compiler's words are told apart, and a compiled program has its own time", async () => {
  const bad = await submit({ source_code: "int main( {", language_id: c }, "?wait=true&fields=*");
  assert.deepEqual([bad.status.id, bad.stdout, bad.time], [6, null, null]);
  assert.match(bad.compile_output ?? "", /error: expected/);
  const source_code = "#include <time.h>\nint main(void) { while (clock() < 5 * CLOCKS_PER_SEC); }";
  const slow = await submit({ source_code, language_id: c, cpu_time_limit: 0.1 });
  assert.equal(slow.status.description, "Time Limit Exceeded");
  const cpp =
    "#include <bits/stdc++.h>\nint main() { std::vector v{3, 1}; std::ranges::sort(v); std::cout << v[0]; }";
  const large = await submit({ source_code: cpp, language_id: 54 });
  assert.equal(large.stdout, "1", large.compile_output ?? "");
});

test("arguments are split as a shell does, and none of their characters is lost", async () => {
  const source_code = "import sys, json; print(json.dumps(sys.argv[1:]))";
  const command_line_arguments = "a 'b  c' \"d\\\"e\" f\\ g $HOME & ; < > | `id` '' *";
  const { stdout } = await submit({ source_code, language_id: python, command_line_arguments });
  assert.equal(
    stdout,
    '["a", "b  c", "d\\"e", "f g", "$HOME", "&", ";", "<", ">", "|", "`id`", "", "*"]\n',
  );
});

test("standard error can go where standard output goes, in its order", async () => {
  const source_code = "echo out; sleep 0.05; echo err >&2; sleep 0.05; echo out";
  const body = { source_code, language_id: bash, redirect_stderr_to_stdout: true };
  const answer = await submit(body);
  assert.deepEqual([answer.stdout, answer.stderr], ["out\nerr\nout\n", null]);
});

test("additional files are beside the program; a program of several files says how it is run", async () => {
  const additional_files = zip({ "lib.py": "x = 7", "data/in.txt": "hello" });
  const source_code = "import lib; print(lib.x, open('data/in.txt').read())";
  const beside = await submit({ source_code, language_id: python, additional_files });
  assert.equal(beside.stdout, "7 hello\n", beside.stderr ?? "");
  const files = {
    "src/main.c": '#include <stdio.h>\nint main(void) { puts("built"); return 0; }',
    compile: "echo compiling; gcc -o prog src/main.c",
    run: 'read line; echo "$line"; ./prog',
  };
  const project = { language_id: 89, additional_files: zip(files), stdin: "in" };
  const built = await submit(project);
  assert.deepEqual([built.stdout, built.compile_output], ["in\nbuilt\n", "compiling\n"]);
  const broken = { ...files, compile: "echo no >&2; false" };
  const failed = await submit({ language_id: 89, additional_files: zip(broken) });
  assert.deepEqual([failed.status.id, failed.compile_output], [6, "no\n"]);
});

test("a program is run as often as was asked for, and its time is the mean", async () => {
  const source_code = "import time; print(7)";
  const body = { source_code, language_id: python, number_of_runs: 3, expected_output: "7" };
  const answer = await submit(body, "?wait=true&fields=*");
  assert.deepEqual([answer.status.id, answer["number_of_runs"]], [3, 3]);
  const { executions } = await list(platform(), { pageSize: "3" });
  assert.deepEqual(
    executions.map(({ metadata }) => (metadata["judge0.earlier"] ?? "").split(",").length),
    [2, 1, 1],
  );
  const unsteady = "import os, sys; sys.exit(1)";
  const failed = await submit({ ...body, source_code: unsteady });
  assert.equal(failed.status.id, 11);
});

test("what cannot be done is refused field by field, in Judge0's words", async () => {
  const refusal = async (body: object) => {
    const response = await post(platform(), "/submissions", body);
    assert.equal(response.status, 422);
    return response.json();
  };
  const good = { source_code: "1", language_id: python };
  assert.deepEqual(await refusal({}), {
    language_id: ["can't be blank", "language with id  doesn't exist"],
    source_code: ["can't be blank"],
  });
  assert.deepEqual(await refusal({ ...good, language_id: 12_345 }), {
    language_id: ["language with id 12345 doesn't exist"],
  });
  assert.deepEqual(await refusal({ ...good, enable_network: true }), {
    enable_network: ["enabling network is not allowed"],
  });
  assert.deepEqual(await refusal({ ...good, compiler_options: "-O3" }), {
    compiler_options: ["setting compiler options is not allowed"],
  });
  assert.deepEqual(await refusal({ ...good, wall_time_limit: 100, memory_limit: 1, stdin: 1 }), {
    wall_time_limit: ["must be less than or equal to 20.0"],
    memory_limit: ["must be greater than or equal to 2048"],
  });
  const escape = await refusal({ ...good, additional_files: zip({ "../up": "x" }) });
  assert.match(JSON.stringify(escape), /additional_files.*a name in it leaves its folder/);
});

test("a batch has a token or the faults of each, and is answered in its order", async () => {
  const submissions = [
    { source_code: "echo 1", language_id: bash },
    { source_code: "x", language_id: 9999 },
    { source_code: "print(2)", language_id: python },
  ];
  const response = await post(platform(), "/submissions/batch", { submissions });
  assert.equal(response.status, 201);
  const answers = JSON.stringify(await response.json());
  assert.match(
    answers,
    /^\[\{"token":"[^"]+"\},\{"language_id":\[[^\]]+\]\},\{"token":"[^"]+"\}\]$/,
  );
  const tokens = [...answers.matchAll(/"token":"([^"]+)"/g)].map(([, token = ""]) => token);
  for (const token of tokens) await getEnded(token);
  const nobody = "01890a5d-ac96-774b-bcce-000000000000";
  const query = `tokens=${tokens[1]},${nobody},x,${tokens[0]}&fields=stdout`;
  const batch = await fetch(`${platform().url}/submissions/batch?${query}`);
  assert.deepEqual(await batch.json(), {
    submissions: [{ stdout: "2\n" }, null, null, { stdout: "1\n" }],
  });
  const many = { submissions: Array.from({ length: 21 }, () => submissions[0]) };
  const tooMany = await post(platform(), "/submissions/batch", many);
  assert.equal(tooMany.status, 400);
  assert.match(await tooMany.text(), /should be less than or equal to 20/);
  assert.equal((await post(platform(), "/submissions/batch", {})).status, 400);
});

test("a result is put to the callback that was given, in base64", async (t) => {
  const receiver = createServer();
  t.after(() => receiver.close());
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const address = receiver.address();
  const port = typeof address === "object" ? address?.port : 0;
  const called = once(receiver, "request");
  const callback_url = `http://127.0.0.1:${port}/done?x=1`;
  const body = { source_code: "print(6 * 7)", language_id: python, callback_url };
  const { token } = await submit(body, "");
  const [request, response]: [IncomingMessage, { end(): void }] = parseCall(await called);
  assert.deepEqual([request.method, request.url], ["PUT", "/done?x=1"]);
  const answer = parseAnswer(JSON.parse(await text(request)));
  response.end();
  assert.deepEqual([answer.token, answer.stdout, answer.status.id], [token, "NDIK\n", 3]);
});

function parseCall(given: unknown[]): [IncomingMessage, { end(): void }] {
  return given as [IncomingMessage, { end(): void }];
}

test("what it tells of itself", async () => {
  const page = async (path: string) => (await fetch(platform().url + path)).text();
  assert.equal(await page("/version"), "1.13.1");
  assert.match(await page("/about"), /"version":"1\.13\.1"/);
  assert.match(await page("/statuses"), /\{"id":3,"description":"Accepted"\}/);
  assert.match(await page("/languages"), /\{"id":71,"name":"Python \(3\.[\d.]+\)"\}/);
  assert.match(await page("/languages/all"), /"is_archived":false/);
  assert.match(await page("/languages/71"), /"source_file":"script\.py"/);
  assert.match(await page("/config_info"), /"max_submission_batch_size":20/);
  assert.match(await page("/system_info"), /"CPU\(s\)":"\d+"/);
  assert.match(await page("/workers"), /"idle":1,"working":0/);
  assert.match(await page("/statistics"), /"submissions":\{"total":\d+/);
  assert.equal((await fetch(`${platform().url}/languages/9999`)).status, 404);
  assert.equal((await fetch(`${platform().url}/submissions/nothing`)).status, 404);
  assert.equal((await fetch(`${platform().url}/submissions`)).status, 403);
  const deleted = await fetch(`${platform().url}/submissions/x`, { method: "DELETE" });
  assert.deepEqual(await deleted.json(), { error: "delete not allowed" });
});

test("an execution that is no submission has no token", async () => {
  const created = await post(platform(), "/api/v1/executions", { language: "bash", code: "true" });
  const { id }: { id: string } = JSON.parse(await created.text());
  assert.equal((await fetch(`${platform().url}/submissions/${id}`)).status, 404);
});

test("a client that leaves while it waits ends its submission", async () => {
  const leaving = new AbortController();
  const body = { source_code: "sleep 9", language_id: bash };
  const call = post(platform(), "/submissions?wait=true", body, { signal: leaving.signal });
  const count = async (status: string) =>
    (await list(platform(), { filter: `status = "${status}"` })).executions.length;
  await eventually("it runs", async () => (await count("RUNNING")) === 1);
  leaving.abort();
  await assert.rejects(call);
  await eventually("it is cancelled", async () => (await count("CANCELLED")) === 1);
});

test("a token is answered after a crash, its verdict with it; callbacks are refused unless allowed", async (t) => {
  const data = makeDataDirectory();
  const first = await startPlatform({ data });
  const body = { source_code: "print('right')", language_id: python, expected_output: "wrong" };
  const refused = { ...body, callback_url: "http://example.com" };
  const refusal = await post(first, "/submissions", refused);
  assert.deepEqual(await refusal.json(), { callback_url: ["setting callback is not allowed"] });
  const response = await post(first, "/submissions", body);
  const { token } = parseAnswer(await response.json());
  await eventually("it is recorded", async () => {
    const page = await list(first, { filter: 'status = "SUCCEEDED"' });
    return page.executions.length === 1;
  });
  await first.kill();
  const second = await startPlatform({ data });
  t.after(() => second.stop());
  const answer = await get(token, "?fields=stdout,status,expected_output", second);
  assert.deepEqual(answer, {
    stdout: "right\n",
    status: { id: 4, description: "Wrong Answer" },
    expected_output: "wrong",
  });
});
