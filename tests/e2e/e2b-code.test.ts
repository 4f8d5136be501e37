// E2B's official code interpreter SDK, unmodified, against the whole platform.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  type Execution,
  NotFoundError,
  type Result,
  Sandbox,
  SandboxError,
  TimeoutError,
} from "@e2b/code-interpreter";
import {
  parseObject,
  pointAt,
  tokenOf,
  trafficTokenOf,
  withInterpreter,
  withSandbox,
} from "../e2b-sdk.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
beforeEach(() => pointAt(platform()));

const outOf = ({ logs }: Execution): string => logs.stdout.join("");

test("code runs, its value is the text, and what it leaves is there for the next", async () => {
  await withInterpreter(async (sandbox) => {
    const hello = await sandbox.runCode("print('Hello, world!')");
    assert.deepEqual(
      [hello.logs, hello.text, hello.error, hello.executionCount],
      [{ stdout: ["Hello, world!\n"], stderr: [] }, undefined, undefined, 1],
    );
    await sandbox.runCode("x = 20");
    const value = await sandbox.runCode("x += 1; x * 2");
    assert.deepEqual([value.text, value.executionCount], ["42", 3]);
    assert.equal(value.results[0]?.isMainResult, true);
    assert.equal((await sandbox.runCode("'it is ' + str(x)")).text, "it is 21");
    assert.deepEqual((await sandbox.runCode("")).results, []);
    assert.deepEqual(await sandbox.commands.list(), []);
    await sandbox.files.write("own.py", "value = 7");
    assert.equal((await sandbox.runCode("import own; own.value")).text, "7");
  });
});

test("output, results and the error are told as they come, in order", async () => {
  await withInterpreter(async (sandbox) => {
    const told: string[] = [];
    const code = [
      "import sys, time",
      "print('one'); time.sleep(0.3)",
      "print('two', file=sys.stderr); time.sleep(0.3)",
      "display({'text/html': '<b>three</b>'}); time.sleep(0.3)",
      "1 / 0",
    ].join("\n");
    let over = false;
    const running = sandbox.runCode(code, {
      onStdout: ({ line, error }) => void told.push(`out ${line} ${error} ${over}`),
      onStderr: ({ line, error }) => void told.push(`err ${line} ${error} ${over}`),
      onResult: ({ html }) => void told.push(`result ${html}`),
      onError: ({ name, value }) => void told.push(`error ${name} ${value}`),
    });
    const execution = await running.finally(() => (over = true));
    assert.deepEqual(told, [
      ...["out one\n false false", "err two\n true false", "result <b>three</b>"],
      "error ZeroDivisionError division by zero",
    ]);
    const { name, value, traceback } = execution.error ?? assert.fail("an error");
    assert.deepEqual([name, value], ["ZeroDivisionError", "division by zero"]);
    assert.match(traceback, /Traceback[^]*line 5[^]*ZeroDivisionError: division by zero$/);
    assert.equal((await sandbox.runCode("'on'")).text, "on");
  });
});

test("results have the forms that they are shown in", async () => {
  await withInterpreter(async (sandbox) => {
    const code = `
class Shown:
    def __repr__(self): return "shown"
    def _repr_html_(self): return "<i>€</i>"
    def _repr_markdown_(self): return "*m*"
    def _repr_latex_(self): return "$x$"
    def _repr_svg_(self): return "<svg/>"
    def _repr_png_(self): return b"\\x89PNG"
    def _repr_jpeg_(self): return b"\\xff\\xd8"
    def _repr_pdf_(self): return b"%PDF"
    def _repr_json_(self): return {"a": [1, None]}
    def _repr_javascript_(self): return "f()"
    def _repr_mimebundle_(self, **_):
        return {"e2b/chart": {"type": "line"}, "e2b/data": {"x": [1]}, "application/vnd.x+json": {"y": 2}}
display(Shown())
Shown()`;
    const { results } = await sandbox.runCode(code);
    assert.deepEqual(
      results.map(({ isMainResult }) => isMainResult),
      [false, true],
    );
    for (const result of results) {
      const { text, html, markdown, latex, svg, png, jpeg, pdf, json, javascript } = result;
      assert.deepEqual(
        { text, html, markdown, latex, svg, png, jpeg, pdf, json, javascript },
        {
          ...{ text: "shown", html: "<i>€</i>", markdown: "*m*", latex: "$x$", svg: "<svg/>" },
          ...{ png: "iVBORw==", jpeg: "/9g=", pdf: "JVBERg==" },
          ...{ json: { a: [1, null] }, javascript: "f()" },
        },
      );
      const { data, chart, extra } = result;
      assert.deepEqual(
        { data, chart, extra },
        {
          data: { x: [1] },
          chart: { type: "line" },
          extra: { "application/vnd.x+json": { y: 2 } },
        },
      );
      assert.ok(formatsOf(result).includes("application/vnd.x+json"));
    }
  });
});

function formatsOf(result: Result): readonly string[] {
  return [...result.formats()];
}

test("no character is broken, however the stream is cut", async () => {
  await withInterpreter(async (sandbox) => {
    const { logs, text } = await sandbox.runCode("print('€😀' * 200000, end=''); '€😀' * 100000");
    assert.equal(logs.stdout.join(""), "€😀".repeat(200_000));
    assert.equal(text, "€😀".repeat(100_000));
  });
});

test("code is of every language that sessions are of, beside one another", async () => {
  await withInterpreter(async (sandbox) => {
    assert.equal((await sandbox.runCode("6 * 7")).text, "42");
    const languages = { js: "6 * 7", typescript: "const n: number = 42; n" };
    for (const [language, code] of Object.entries(languages)) {
      assert.equal((await sandbox.runCode(code, { language })).text, "42", language);
    }
    const { logs } = await sandbox.runCode("echo $((6 * 7))", { language: "bash" });
    assert.deepEqual(logs.stdout, ["42\n"]);
  });
});

test("contexts keep their own variables and folders; they are listed, restarted and removed", async () => {
  await withInterpreter(async (sandbox) => {
    await sandbox.commands.run("mkdir -p deep/er");
    const deep = await sandbox.createCodeContext({ cwd: "deep/er", language: "Python " });
    assert.deepEqual([deep.language, deep.cwd], ["python", "/home/user/deep/er"]);
    const other = await sandbox.createCodeContext();
    assert.equal(other.cwd, "/home/user");
    const [own, ...made] = await sandbox.listCodeContexts();
    assert.deepEqual([own?.language, own?.cwd, made], ["python", "/home/user", [deep, other]]);
    await sandbox.runCode("x = 'deep'", { context: deep });
    await sandbox.runCode("x = 'other'", { context: other });
    assert.equal((await sandbox.runCode("x", { context: deep })).text, "deep");
    assert.equal((await sandbox.runCode("x", { context: other })).text, "other");
    const places = "import os; print(os.getcwd(), os.environ['PWD'], os.environ['HOME'])";
    const place = await sandbox.runCode(places, { context: deep });
    assert.equal(outOf(place), "/work/deep/er /home/user/deep/er /home/user\n");
    assert.equal((await sandbox.runCode("x")).error?.name, "NameError");
    assert.equal((await sandbox.listCodeContexts()).length, 3);
    await sandbox.restartCodeContext(deep);
    const forgotten = await sandbox.runCode("x", { context: deep });
    assert.equal(forgotten.error?.value, "name 'x' is not defined");
    assert.equal(outOf(await sandbox.runCode(places, { context: deep })), outOf(place));
    await sandbox.removeCodeContext(other.id);
    const ids = (await sandbox.listCodeContexts()).map(({ id }) => id);
    assert.ok(ids.length === 2 && !ids.includes(other.id));
    const message = `Context ${other.id} not found`;
    const gone = { name: "NotFoundError", message };
    await assert.rejects(sandbox.runCode("1", { context: other }), gone);
    await assert.rejects(sandbox.restartCodeContext(other), gone);
    await assert.rejects(sandbox.removeCodeContext(other), gone);
    await assert.rejects(sandbox.removeCodeContext("none"), NotFoundError);
    const none = sandbox.createCodeContext({ cwd: "/home/user/none" });
    await assert.rejects(none, SandboxError);
  });
});

test("the default context is one, however many come for it first, and another after it was removed", async () => {
  await withInterpreter(async (sandbox) => {
    const code = "n = globals().get('n', 0) + 1; n";
    const runs = ["python", "", "Python"].map((language) =>
      sandbox.runCode(code, language === "" ? {} : { language }),
    );
    const values = (await Promise.all(runs)).map(({ text }) => text);
    assert.deepEqual(new Set(values), new Set(["1", "2", "3"]));
    const [only, ...more] = await sandbox.listCodeContexts();
    assert.deepEqual([only?.language, only?.cwd, more.length], ["python", "/home/user", 0]);
    await sandbox.removeCodeContext(only?.id ?? "");
    assert.equal((await sandbox.runCode(code)).text, "1");
  });
});

test("what a sandbox has is no context of another", async () => {
  await withInterpreter(async (one) => {
    await withInterpreter(async (other) => {
      const context = await one.createCodeContext();
      await assert.rejects(other.runCode("1", { context }), NotFoundError);
      await assert.rejects(other.removeCodeContext(context), NotFoundError);
      const ids = (await other.listCodeContexts()).map(({ id }) => id);
      assert.ok(ids.length === 1 && !ids.includes(context.id));
      assert.equal((await one.runCode("1", { context })).text, "1");
    });
  });
});

test("two contexts run at the same time", async () => {
  await withInterpreter(async (sandbox) => {
    const [first, second] = [await sandbox.createCodeContext(), await sandbox.createCodeContext()];
    // Each waits for what the other writes.
    const meet = (mine: string, theirs: string) =>
      `import os, time\nopen('${mine}', 'w').close()\nwhile not os.path.exists('${theirs}'): time.sleep(0.01)\n'met'`;
    const [one, two] = await Promise.all([
      sandbox.runCode(meet("a", "b"), { context: first }),
      sandbox.runCode(meet("b", "a"), { context: second }),
    ]);
    assert.deepEqual([one.text, two.text], ["met", "met"]);
  });
});

test("variables of one execution are values, whatever is in them, and gone after it", async () => {
  const envs = { QUOTED: `it's "q" \\ $(id)`, LINES: "a\nb'; raise SystemExit #\n", EMPTY: "" };
  const code =
    "import json, os; print(json.dumps({k: os.environ.get(k) for k in " +
    "['QUOTED', 'LINES', 'EMPTY', 'GIVEN']}))";
  await withInterpreter(
    async (sandbox) => {
      const given = await sandbox.runCode(code, { envs: { ...envs, GIVEN: "mine" } });
      assert.deepEqual(parseObject(JSON.parse(outOf(given))), { ...envs, GIVEN: "mine" });
      const after = await sandbox.runCode(code);
      assert.deepEqual(parseObject(JSON.parse(outOf(after))), {
        ...{ QUOTED: null, LINES: null, EMPTY: null, GIVEN: "sandbox's" },
      });
      const odd = sandbox.runCode("1", { envs: { "A'] = 1; print('in'); x['": "" } });
      await assert.rejects(odd, /400 Bad Request/);
    },
    { envs: { GIVEN: "sandbox's" } },
  );
});

test("code whose client leaves is interrupted, and what waits behind it runs", async () => {
  await withInterpreter(async (sandbox) => {
    await sandbox.runCode("kept = 'still here'");
    const sleeper = sandbox.runCode("import time; time.sleep(1000)", { timeoutMs: 500 });
    await assert.rejects(sleeper, TimeoutError);
    assert.equal((await sandbox.runCode("kept")).text, "still here");

    // One that waits for its turn never gets it, and the one that runs is left alone.
    let hasStarted = false;
    const running = sandbox.runCode(
      "import os, time\nprint('on')\nwhile not os.path.exists('go'): time.sleep(0.01)\n'to its end'",
      { onStdout: () => void (hasStarted = true) },
    );
    await eventually("it runs", async () => hasStarted);
    const waiting = sandbox.runCode("open('ran', 'w')", { timeoutMs: 300 });
    await assert.rejects(waiting, TimeoutError);
    await sandbox.files.write("go", "");
    assert.equal((await running).text, "to its end");
    assert.equal((await sandbox.runCode("import os; os.path.exists('ran')")).text, "False");
  });
});

test("an error does not keep from running what was sent meanwhile", async () => {
  await withInterpreter(async (sandbox) => {
    const first = sandbox.runCode("import time; time.sleep(0.3); fail");
    const second = sandbox.runCode("1 + 1");
    assert.equal((await first).error?.name, "NameError");
    assert.equal((await second).text, "2");
  });
});

test("an interpreter that is ended says so, and the context goes on with a new one", async () => {
  await withInterpreter(async (sandbox) => {
    const died = await sandbox.runCode("import os; os.kill(os.getpid(), 9)");
    assert.equal(died.error?.name, "InterpreterEnded");
    assert.equal((await sandbox.runCode("1 + 1")).text, "2");
    const asks = await sandbox.runCode("input()");
    assert.equal(asks.error?.name, "EOFError");
  });
});

test("a sandbox that has ended or is paused is told as E2B does", async () => {
  const sandbox = await Sandbox.create();
  assert.equal((await sandbox.runCode("x = 6; x * 7")).text, "42");
  await sandbox.pause();
  await assert.rejects(sandbox.runCode("1"), TimeoutError);
  await assert.rejects(sandbox.listCodeContexts(), TimeoutError);
  const again = await Sandbox.connect(sandbox.sandboxId);
  assert.equal((await again.runCode("x * 7")).text, "42");
  let hasStarted = false;
  const running = again.runCode("print('on')\nimport time; time.sleep(1000)", {
    onStdout: () => void (hasStarted = true),
  });
  const killed = assert.rejects(running, {
    name: "TimeoutError",
    message: /The sandbox was killed while the request was in progress/,
  });
  await eventually("it runs", async () => hasStarted);
  await sandbox.kill();
  await killed;
  await assert.rejects(sandbox.runCode("1"), /sandbox timeout/);
  await assert.rejects(sandbox.createCodeContext(), TimeoutError);
});

test("any sandbox has contexts; a language that is not there is refused", async () => {
  await withSandbox(async ({ sandboxId }) => {
    const sandbox = await Sandbox.connect(sandboxId);
    assert.deepEqual(await sandbox.listCodeContexts(), []);
    assert.equal((await sandbox.runCode("6 * 7")).text, "42");
    assert.equal((await sandbox.listCodeContexts()).length, 1);
    await assert.rejects(sandbox.runCode("1", { language: "cobol" }), SandboxError);
    await assert.rejects(sandbox.createCodeContext({ language: "x' OR 1" }), SandboxError);
    const context = await sandbox.createCodeContext();
    const call = async (path: string, body: unknown, token = tokenOf(sandbox), port = "49999") => {
      const headers = {
        ...{ "content-type": "application/json", "X-Access-Token": token },
        ...{ "E2b-Sandbox-Id": sandboxId, "E2b-Sandbox-Port": port },
      };
      const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
      const response = await fetch(platform().url + path, { ...request, headers });
      return { status: response.status, text: await response.text() };
    };
    assert.deepEqual(await call("/health", undefined), { status: 200, text: '"OK"' });
    assert.deepEqual(
      await call("/execute", { code: "1", context_id: context.id, language: "python" }),
      {
        status: 400,
        text: "Only one of context_id or language can be provided",
      },
    );
    assert.equal((await call("/execute", { code: 1 })).status, 400);
    // Any other port is a server's in the sandbox, for which there is another token.
    assert.equal((await call("/execute", { code: "1" }, tokenOf(sandbox), "8000")).status, 401);
    for (const path of ["/execute", "/contexts", `/contexts/${context.id}/restart`]) {
      assert.equal((await call(path, { code: "1" }, "wrong")).status, 401);
    }
    // The token for its ports is no token to run code.
    assert.notEqual(trafficTokenOf(sandbox), tokenOf(sandbox));
    assert.equal((await call("/execute", { code: "1" }, trafficTokenOf(sandbox))).status, 401);
    const lines = (await call("/execute", { code: "print('a'); 'b'" })).text.trim().split("\n");
    const said = lines.map((line) => parseObject(JSON.parse(line)));
    assert.deepEqual(
      said.map(({ type }) => type),
      ["number_of_executions", "stdout", "result"],
    );
    assert.match(String(said[1]?.["timestamp"]), /^\d{4}-\d\d-\d\dT/);
  });
});

test("a silence is told every few seconds", async () => {
  await withInterpreter(async (sandbox) => {
    const headers = {
      ...{ "content-type": "application/json", "X-Access-Token": tokenOf(sandbox) },
      ...{ "E2b-Sandbox-Id": sandbox.sandboxId, "E2b-Sandbox-Port": "49999" },
    };
    const body = JSON.stringify({ code: "import time; time.sleep(5.5)" });
    const response = await fetch(`${platform().url}/execute`, { method: "POST", headers, body });
    assert.equal(response.headers.get("content-type"), "application/x-ndjson");
    const lines = (await response.text()).trim().split("\n");
    assert.ok(lines.includes('{"type":"keepalive"}'));
  });
});
