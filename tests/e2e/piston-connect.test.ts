// Piston's interactive WebSocket on a whole platform. Its own known faults are tests here: signals that never reach the
// job, output without a bound, an input that never ends, characters that are cut in two.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { getOk, type Sandbox } from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({ environment: { SYLA_GATEWAY_PISTON_OUTPUT: "100000" } });

interface Frame {
  readonly type: string;
  readonly stage?: string;
  readonly stream?: string;
  readonly data?: string;
  readonly code?: number | null;
  readonly signal?: string | null;
  readonly error?: string;
  readonly message?: string;
  readonly language?: string;
  readonly version?: string;
}

function parseFrame(text: string): Frame {
  return JSON.parse(text) as Frame;
}

class Connection {
  readonly frames: Frame[] = [];
  readonly closed: Promise<readonly [code: number, reason: string]>;
  readonly #socket: WebSocket;
  readonly #opened: Promise<unknown>;

  constructor(path = "/api/v2/connect") {
    this.#socket = new WebSocket(`${platform().url.replace("http", "ws")}${path}`);
    this.#opened = once(this.#socket, "open");
    this.#socket.on("message", (data: Buffer) => this.frames.push(parseFrame(data.toString())));
    this.closed = new Promise((resolve) => {
      this.#socket.once("close", (code, reason) => resolve([code, reason.toString()]));
    });
  }

  async send(frame: unknown): Promise<void> {
    await this.#opened;
    this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  init(language: string, content: string, more: object = {}): Promise<void> {
    return this.send({ type: "init", language, version: "*", files: [{ content }], ...more });
  }

  stdin(data: string, more: object = {}): Promise<void> {
    return this.send({ type: "data", stream: "stdin", data, ...more });
  }

  text(stream = "stdout"): string {
    return this.frames.map((frame) => (frame.stream === stream ? frame.data : "")).join("");
  }

  /** What is not output, in order. */
  told(): Frame[] {
    return this.frames.filter(({ type }) => type !== "data");
  }

  async until(text: string): Promise<void> {
    await eventually(`it prints ${text}`, async () => this.text().includes(text));
  }

  leave(): void {
    this.#socket.terminate();
  }
}

const completed = [4999, "Job Completed"];

async function running(): Promise<number> {
  const filter = encodeURIComponent('status = "RUNNING"');
  const path = `/api/v1/sandboxes?filter=${filter}`;
  const { sandboxes } = await getOk<{ sandboxes: Sandbox[] }>(platform(), path);
  return sandboxes.length;
}

test("a job answers what is typed, tells its stages and its end, and its sandbox is gone", async () => {
  const connection = new Connection();
  const code =
    'import sys\nprint("ready", flush=True)\nfor l in sys.stdin: print("got", l, end="", flush=True)';
  await connection.init("py3", code);
  await connection.until("ready");
  await connection.stdin("one\n");
  await connection.until("got one");
  await connection.stdin("two\n", { end: true });
  assert.deepEqual(await connection.closed, completed);
  assert.equal(connection.text(), "ready\ngot one\ngot two\n");
  const [runtime, ...rest] = connection.told();
  assert.deepEqual([runtime?.type, runtime?.language], ["runtime", "python"]);
  assert.match(runtime?.version ?? "", /^3\.\d+\.\d+$/);
  assert.deepEqual(rest, [
    { type: "stage", stage: "run" },
    { type: "exit", stage: "run", code: 0, signal: null },
  ]);
  await eventually("its sandbox is gone", async () => (await running()) === 0);
});

test("a compiled job has two stages, and one that does not compile has one", async () => {
  const good = new Connection("/api/v2/piston/connect");
  await good.init("c", '#include <stdio.h>\nint main(void) { puts("ran"); return 3; }');
  assert.deepEqual(await good.closed, completed);
  assert.deepEqual(good.told().slice(1), [
    { type: "stage", stage: "compile" },
    { type: "exit", stage: "compile", code: 0, signal: null },
    { type: "stage", stage: "run" },
    { type: "exit", stage: "run", code: 3, signal: null },
  ]);
  assert.equal(good.text(), "ran\n");
  const bad = new Connection();
  await bad.init("c", "int main(void) { return x; }");
  assert.deepEqual(await bad.closed, completed);
  assert.match(bad.text("stderr"), /undeclared/);
  const last = bad.told().at(-1);
  assert.deepEqual([last?.stage, last?.code], ["compile", 1]);
});

test("a signal reaches the job, which may take it as it likes", async () => {
  const connection = new Connection();
  await connection.init(
    "bash",
    'trap "echo caught; exit 5" TERM\necho ready\nwhile :; do sleep 0.02; done',
  );
  await connection.until("ready");
  await connection.send({ type: "signal", signal: "SIGTERM" });
  assert.deepEqual(await connection.closed, completed);
  assert.equal(connection.text(), "ready\ncaught\n");
  assert.equal(connection.told().at(-1)?.code, 5);
  const killed = new Connection();
  await killed.init("bash", "echo ready; cat");
  await killed.until("ready");
  await killed.send({ type: "signal", signal: "SIGKILL" });
  await killed.closed;
  assert.deepEqual(killed.told().at(-1), {
    type: "exit",
    stage: "run",
    code: null,
    signal: "SIGKILL",
  });
});

test("output is bounded", async () => {
  const connection = new Connection();
  await connection.init("python", "while True: print('ä' * 999)");
  assert.deepEqual(await connection.closed, completed);
  const bytes = Buffer.byteLength(connection.text());
  assert.ok(bytes > 99_990 && bytes <= 100_000, String(bytes));
  const last = connection.told().at(-1);
  assert.deepEqual([last?.signal, last?.error], ["SIGKILL", "stdout length exceeded"]);
});

test("a character that is written in two parts comes as one", async () => {
  const connection = new Connection();
  const code = [
    "import os, time",
    "for byte in '€'.encode() * 3: os.write(1, bytes([byte])); time.sleep(0.02)",
  ].join("\n");
  await connection.init("python", code);
  await connection.closed;
  assert.equal(connection.text(), "€€€");
});

test("a job is ended at its time, and its client's leaving ends it", async () => {
  const late = new Connection();
  await late.init("bash", "sleep 60", { run_timeout: 300 });
  assert.deepEqual(await late.closed, completed);
  const last = late.told().at(-1);
  assert.deepEqual([last?.signal, last?.error], ["SIGKILL", "Time limit exceeded (wall clock)"]);
  const left = new Connection();
  await left.init("bash", "echo ready; sleep 60");
  await left.until("ready");
  assert.equal(await running(), 1);
  left.leave();
  await eventually("its sandbox is gone", async () => (await running()) === 0);
});

test("a job that takes too much processor time is ended, in each stage, and one that waits is not", async () => {
  const limits = { run_timeout: 3000, run_cpu_time: 200 };
  const busy = new Connection();
  await busy.init("bash", "(while :; do :; done) & while :; do :; done", limits);
  const waits = new Connection();
  await waits.init("bash", "sleep 1; echo awake", limits);
  assert.deepEqual([await busy.closed, await waits.closed], [completed, completed]);
  const last = busy.told().at(-1);
  const ended = { type: "exit", stage: "run", code: null, signal: "SIGKILL" };
  assert.deepEqual(last, { ...ended, error: "Time limit exceeded" });
  assert.equal(waits.text(), "awake\n");
  const slow = new Connection();
  const code = "#include <bits/stdc++.h>\nint main() {}";
  await slow.init("c++", code, { compile_cpu_time: 50 });
  assert.deepEqual(await slow.closed, completed);
  const { stage, error } = slow.told().at(-1) ?? {};
  assert.deepEqual([stage, error], ["compile", "Time limit exceeded"]);
});

test("what a job is given at its beginning is there: input, arguments, files and variables", async () => {
  const connection = new Connection();
  const files = [
    { name: "main.sh", content: 'read -r l; echo "$l $1 $HOME $PISTON_LANGUAGE"; cat data/x' },
    { name: "data/x", content: "eA==", encoding: "base64" },
  ];
  await connection.init("bash", "", { files, stdin: "line\n", args: ["$a"] });
  assert.deepEqual(await connection.closed, completed);
  assert.equal(connection.text(), "line $a /tmp bash\nx");
});

test("what is wrong closes with Piston's codes", async () => {
  const quiet = new Connection();
  assert.deepEqual(await quiet.closed, [4001, "Initialization Timeout"]);
  const early = new Connection();
  await early.stdin("x");
  assert.deepEqual(await early.closed, [4003, "Not yet initialized"]);
  const refused = new Connection();
  await refused.send({ type: "init" });
  assert.deepEqual(await refused.closed, [4002, "Notified Error"]);
  assert.deepEqual(refused.frames, [
    { type: "error", message: "language is required as a string" },
  ]);
  const broken = new Connection();
  await broken.send("{");
  assert.deepEqual(await broken.closed, [4002, "Notified Error"]);
  const up = new Connection();
  await up.init("bash", "", { files: [{ name: "../up", content: "x" }] });
  assert.deepEqual(await up.closed, [4002, "Notified Error"]);
  for (const [frame, close] of [
    [{ type: "init" }, [4000, "Already Initialized"]],
    [{ type: "data", stream: "stdout", data: "x" }, [4004, "Can only write to stdin"]],
    [{ type: "signal", signal: "SIGNONE" }, [4005, "Invalid signal"]],
  ] as const) {
    const connection = new Connection();
    await connection.init("bash", "echo ready; sleep 60");
    await connection.until("ready");
    await connection.send(frame);
    assert.deepEqual(await connection.closed, close);
  }
  await eventually("no sandbox is left", async () => (await running()) === 0);
});

test("input that nobody reads is bounded", async () => {
  const connection = new Connection();
  await connection.init("bash", "echo ready; sleep 60");
  await connection.until("ready");
  const much = "x".repeat(1024 ** 2);
  for (let count = 0; count < 6; count += 1) await connection.stdin(much).catch(() => undefined);
  assert.deepEqual(await connection.closed, [4002, "Notified Error"]);
  assert.match(connection.frames.at(-1)?.message ?? "", /stdin cannot hold/);
});
