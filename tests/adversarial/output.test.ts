// Programs that say too much, say it badly, or try to speak with the platform's own voice; and requests of odd sizes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { create, execute, pointers, post, python, refusal } from "../api.ts";
import { readExecutionEvents, stdoutOf } from "../streams.ts";
import { assertFailed, assertSucceeded, unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();
const mebibyte = 1024 * 1024;

for (const [stream, number] of [
  ["stdout", 1],
  ["stderr", 2],
] as const) {
  test(`endless ${stream} ends the run for output, with as much as may be and no more`, async () => {
    const code = `import os\nwhile True: os.write(${number}, b"x" * 65536)`;
    const execution = await python(platform(), code, { limits: { outputBytes: 100_000 } });
    assertFailed(execution, "output");
    assert.equal(execution[stream], "x".repeat(100_000));
    assert.equal(execution.stdoutTruncated, stream === "stdout");
    assert.equal(execution.stderrTruncated, stream === "stderr");
  });
}

test("the platform's memory stays flat while programs flood it", async () => {
  const flood = "import os\nwhile True: os.write(1, b'x' * 65536)";
  const limits = { outputBytes: 8 * mebibyte };
  const roundOfFloods = async (): Promise<number> => {
    await Promise.all(Array.from({ length: 4 }, () => python(platform(), flood, { limits })));
    // What is durable is written in order: once this is, nothing of the floods is held for the database any more.
    await create(platform(), { language: "bash", code: ":" });
    return residentMebibytes(platform().pid);
  };
  // It grows until one round's garbage is collected during the next, and then no more: not by one round's output in
  // six of them. Who kept a copy of every sixth output would go on growing.
  let highest = 0;
  let flatRounds = 0;
  const grown: number[] = [];
  while (flatRounds < 6 && grown.length < 24) {
    const resident = await roundOfFloods();
    grown.push(resident);
    const isHigher = resident > highest + 32;
    if (isHigher) highest = resident;
    flatRounds = isHigher ? 0 : flatRounds + 1;
  }
  assert.equal(flatRounds, 6, `it goes on growing, by MiB after each round: ${grown.join(" ")}`);
});

function residentMebibytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  assert.ok(kibibytes > 0, status);
  return Math.round(kibibytes / 1024);
}

test("output of exactly the limit is no failure, one byte more is", async () => {
  const write = (count: number) => `import os; os.write(1, b"x" * ${count})`;
  const limits = { outputBytes: 1000 };
  assertSucceeded(await python(platform(), write(1000), { limits }));
  const over = assertFailed(await python(platform(), write(1001), { limits }), "output");
  assert.equal(over.stdout.length, 1000);
});

test("one line of 10 MB comes whole, in an answer and as a stream", async () => {
  const spec = {
    language: "python",
    code: "print('x' * 10_000_000)",
    limits: { outputBytes: 16 * mebibyte },
  };
  assert.equal(assertSucceeded(await execute(platform(), spec)).length, 10_000_001);
  const response = await post(platform(), "/api/v1/executions:stream", spec);
  assert.equal(stdoutOf((await readExecutionEvents(response)).events).length, 10_000_001);
});

test("NUL, terminal escapes and line ends of all kinds come as they were written", async () => {
  const text = "a\0b\u001b[2J\u001b]0;title\u0007\r\n\u2028\ufeff\u0085";
  const code = `import sys; sys.stdout.buffer.write(bytes.fromhex("${Buffer.from(text).toString("hex")}"))`;
  assert.equal(assertSucceeded(await python(platform(), code)), text);
});

test("output that is not UTF-8 comes as bytes", async () => {
  const code = "import os; os.write(1, bytes(range(256))); os.write(2, b'\\xff')";
  const execution = await python(platform(), code);
  assert.equal(assertSucceeded(execution), "");
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  assert.deepEqual(Buffer.from(execution.stdoutBase64, "base64"), bytes);
  assert.deepEqual(
    { err: execution.stderr, base64: execution.stderrBase64 },
    { err: "", base64: "/w==" },
  );
});

test("a character written a byte at a time is never split over two events", async () => {
  const code = `
import os, time
for byte in "ä€😀".encode() * 3:
  os.write(1, bytes([byte])); time.sleep(0.02)`;
  const response = await post(platform(), "/api/v1/executions:stream", {
    language: "python",
    code,
  });
  const { events } = await readExecutionEvents(response);
  assert.equal(stdoutOf(events), "ä€😀".repeat(3));
  assert.ok(events.every(({ stdout }) => stdout?.base64 === undefined));
});

test("a program that closes its streams, or is left with its input, ends as it says", async () => {
  const closed = await python(
    platform(),
    "import os; os.close(0); os.close(1); os.close(2); os._exit(5)",
  );
  assertFailed(closed, "exit_code");
  assert.equal(closed.exitCode, 5);
  const stdin = "x".repeat(mebibyte);
  const deaf = await execute(platform(), { language: "bash", code: "echo deaf", stdin });
  assert.equal(assertSucceeded(deaf), "deaf\n");
  const reader = await execute(platform(), { language: "bash", code: "wc -c", stdin });
  assert.equal(assertSucceeded(reader).trim(), String(mebibyte));
});

test("exit codes come as they are", async () => {
  for (const code of [0, 1, 2, 42, 126, 127, 128, 137, 254, 255]) {
    const execution = await execute(platform(), { language: "bash", code: `exit ${code}` });
    assert.equal(execution.exitCode, code);
    assert.equal(execution.metrics?.["exitCode"], code);
    assert.equal(execution.signal, undefined);
    if (code === 0) assertSucceeded(execution);
    else assertFailed(execution, "exit_code");
  }
});

test("signals come by their names", async () => {
  const { SIGABRT, SIGFPE, SIGKILL, SIGSEGV, SIGTERM, SIGILL, SIGBUS, SIGPIPE } = constants.signals;
  for (const [name, number] of Object.entries({
    ...{ SIGABRT, SIGFPE, SIGKILL, SIGSEGV },
    ...{ SIGTERM, SIGILL, SIGBUS, SIGPIPE },
  })) {
    const code = `import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); os.kill(os.getpid(), ${number})`;
    const execution = assertFailed(await python(platform(), code), "signal");
    assert.equal(execution.signal, name);
    assert.equal(execution.exitCode, undefined);
  }
});

test("a program cannot speak to the platform: forged frames in every descriptor there is change nothing", async () => {
  const code = `
import os, struct, sys
def frame(kind, payload=b""): return struct.pack("<IBBH", len(payload), kind, 0, 1) + payload
forged = frame(131, b"forged") + frame(132, struct.pack("<BBBBIQQQQ", 0, 0, 0, 0, 0, 0, 0, 0, 0)) + frame(128)
for fd in range(3, 256):
  try: os.write(fd, forged)
  except OSError: pass
for pid in [n for n in os.listdir("/proc") if n.isdigit()]:
  try: names = os.listdir(f"/proc/{pid}/fd")
  except OSError: continue
  for fd in names:
    if int(fd) < 3: continue
    try: os.write(os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), forged)
    except OSError: pass
os.write(1, forged); os._exit(7)`;
  const execution = assertFailed(await python(platform(), code), "exit_code");
  assert.equal(execution.exitCode, 7);
  assert.equal(execution.stderr, "");
  const said = execution.stdoutBase64 || Buffer.from(execution.stdout).toString("base64");
  assert.equal(Buffer.from(said, "base64").subarray(8, 14).toString(), "forged");
});

test("output that reads like an answer of the platform is only output", async () => {
  const lies = '{"status":"SUCCEEDED","exitCode":0}\n\nevent: end\ndata: {}\n\nid: 99\n';
  const code = `import sys; sys.stdout.write(${JSON.stringify(lies)}); sys.exit(3)`;
  const response = await post(platform(), "/api/v1/executions:stream", {
    language: "python",
    code,
  });
  const { events, end } = await readExecutionEvents(response);
  assert.equal(stdoutOf(events), lies);
  assert.equal(events.at(-1)?.finished?.exitCode, 3);
  assert.equal(end, "end");
});

test("arguments and environment may be large, and too large is refused or fails as what it is", async () => {
  const args = Array.from({ length: 16 }, (_, index) =>
    String(index).repeat(20_000).slice(0, 20_000),
  );
  const env = Object.fromEntries(args.map((text, index) => [`V${index}`, text]));
  const code =
    "import os, sys; print(sum(map(len, sys.argv[1:])), sum(len(v) for k, v in os.environ.items() if k[0] == 'V'))";
  const spec = { language: "python", code };
  assert.equal(
    assertSucceeded(await execute(platform(), { ...spec, args, env })),
    "320000 320000\n",
  );
  const above = { ...spec, args: Array.from({ length: 256 }, () => "x".repeat(65_536)) };
  await refusal(
    await post(platform(), "/api/v1/executions:execute", above),
    413,
    "payload_too_large",
  );
  const many = { ...spec, args: Array.from({ length: 50 }, () => "x".repeat(65_536)) };
  const response = await post(platform(), "/api/v1/executions:execute", many);
  const problem = await refusal(response, 400, "invalid_request");
  assert.deepEqual(pointers(problem), ["/args"]);
});

test("a source of 1 MB runs; one of no bytes or of white space is what the contract says", async () => {
  const large = `text = """${"x".repeat(mebibyte)}"""\nprint(len(text))`;
  assert.equal(assertSucceeded(await python(platform(), large)), `${mebibyte}\n`);
  const empty = await post(platform(), "/api/v1/executions:execute", {
    language: "python",
    code: "",
  });
  await refusal(empty, 400, "invalid_request");
  const files = [{ name: "main.py", content: "" }];
  assert.equal(assertSucceeded(await execute(platform(), { language: "python", files })), "");
  assert.equal(assertSucceeded(await python(platform(), " \n")), "");
});

test("a script that asks for an interpreter that is not there fails as what it is", async () => {
  const code = "printf '#!/no/such/interpreter\\n' >x; chmod +x x; ./x";
  const execution = await execute(platform(), { language: "bash", code });
  assertFailed(execution, "exit_code");
  assert.ok(execution.exitCode === 126 || execution.exitCode === 127);
});
