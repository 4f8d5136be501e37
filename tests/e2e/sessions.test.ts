// Sessions: interpreters that keep their state, through the whole platform.
import assert from "node:assert/strict";
import { test } from "node:test";
import { post, refusal } from "../api.ts";
import { assertHostUnchanged, observeHost } from "../host.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import {
  getOk,
  getSandbox,
  killSandbox,
  makeSandbox,
  pathOf,
  postOk,
  shell,
} from "../sandbox-api.ts";
import {
  answer,
  deleteSession,
  followSession,
  formOf,
  getCell,
  getSession,
  interrupt,
  makeSession,
  printed,
  restart,
  runCell,
  type Session,
  sessionPath,
  streamCell,
  valueOf,
  watchSession,
} from "../session-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

async function withSession(
  spec: object,
  use: (session: Session) => Promise<void>,
): Promise<Session> {
  const session = await makeSession(platform(), spec);
  try {
    await use(session);
  } finally {
    await deleteSession(platform(), session.id);
  }
  return session;
}

test("a session keeps its variables from cell to cell, and its sandbox ends with it", async () => {
  const before = await observeHost(platform());
  const { sandbox, id } = await withSession({ language: "python" }, async (session) => {
    assert.deepEqual(
      [session.status, session.directory, session.ownsSandbox],
      ["IDLE", "/work", true],
    );
    const first = await runCell(platform(), session.id, "x = 20\nprint('set')");
    assert.deepEqual([first.status, first.stdout, first.results], ["OK", "set\n", []]);
    const second = await runCell(platform(), session.id, "x * 2 + 2");
    assert.deepEqual([second.executionCount, valueOf(second)], [2, "42"]);
    assert.equal((await getSession(platform(), session.id)).executionCount, 2);
  });
  const ended = await getSession(platform(), id);
  assert.deepEqual([ended.status, ended.endReason], ["ENDED", "deleted"]);
  assert.equal((await getSandbox(platform(), sandbox)).status, "ENDED");
  await refusal(
    await post(platform(), sessionPath(id, "/cells:run"), { code: "1" }),
    410,
    "session_ended",
  );
  await assertHostUnchanged(platform(), before);
});

test("a session lives in a sandbox that is there, in a folder and with variables of its own", async () => {
  const sandbox = await makeSandbox(platform(), { language: "python", env: { A: "sandbox" } });
  await shell(platform(), sandbox.id, "mkdir -p deep && echo 'value = 7' > deep/own.py");
  const spec = { sandbox: sandbox.id, directory: "/work/deep", env: { B: "session" } };
  await withSession(spec, async ({ id, ownsSandbox }) => {
    assert.equal(ownsSandbox, false);
    const code = "import os, own; [own.value, os.getcwd(), os.environ['A'], os.environ['B']]";
    assert.equal(
      valueOf(await runCell(platform(), id, code)),
      "[7, '/work/deep', 'sandbox', 'session']",
    );
    const env = { C: "cell" };
    assert.equal(valueOf(await runCell(platform(), id, "os.environ.get('C')", { env })), "'cell'");
    assert.equal(valueOf(await runCell(platform(), id, "os.environ.get('C') is None")), "True");
  });
  assert.equal((await getSandbox(platform(), sandbox.id)).status, "RUNNING");
  const { id } = await makeSession(platform(), { sandbox: sandbox.id });
  await killSandbox(platform(), sandbox.id);
  await eventually("the session has ended with its sandbox", async () => {
    const { status, endReason } = await getSession(platform(), id);
    return status === "ENDED" && endReason === "sandbox";
  });
});

test("cells run one after another, those behind a failure only when it allows that", async () => {
  await withSession({}, async ({ id, sandbox }) => {
    const three = async (more: object) => {
      const codes = ["import time; time.sleep(0.2); 1 / 0", "1", "2"];
      const cells = await Promise.all(codes.map((code) => runCell(platform(), id, code, more)));
      return cells.map(({ status }) => status);
    };
    const skipped = await three({});
    assert.deepEqual(skipped.toSorted(), ["ERROR", "SKIPPED", "SKIPPED"]);
    assert.deepEqual((await three({ continueOnError: true })).toSorted(), ["ERROR", "OK", "OK"]);
    await postOk(platform(), pathOf(sandbox, ":pause"), {});
    const refused = await runCell(platform(), id, "3");
    assert.equal(refused.status, "ERROR");
    assert.match(refused.error?.message ?? "", /paused/);
    await postOk(platform(), pathOf(sandbox, ":resume"), {});
    assert.equal(valueOf(await runCell(platform(), id, "4")), "4");
  });
});

test("a caller of RunCell who leaves interrupts the cell, one who only follows does not", async () => {
  await withSession({}, async ({ id }) => {
    const leaving = new AbortController();
    const gone = post(
      platform(),
      sessionPath(id, "/cells:run"),
      { code: "import time; time.sleep(1000)" },
      { signal: leaving.signal },
    );
    await eventually("it runs", async () => {
      return (await getSession(platform(), id)).status === "BUSY";
    });
    leaving.abort();
    await assert.rejects(gone);
    await eventually("it was interrupted", async () => {
      return (await getCell(platform(), id, 1)).status === "INTERRUPTED";
    });
    const code = "import time; time.sleep(0.5); 'went on'";
    await followSession(
      await streamCell(platform(), id, code),
      ({ started }) => started !== undefined,
    );
    await eventually("it ended by itself", async () => {
      return valueOf(await getCell(platform(), id, 2)) === "'went on'";
    });
  });
});

test("what cannot be had is refused with the reason", async () => {
  const refuse = async (spec: object, status: number, code: string) =>
    refusal(await post(platform(), "/api/v1/sessions", spec), status, code);
  await refuse({ language: "nothing" }, 400, "unknown_language");
  await refuse({ directory: "/nowhere" }, 400, "process_not_started");
  await refuse({ sandbox: "0197a2c4-0000-7000-8000-000000000000" }, 404, "sandbox_not_found");
  await withSession({}, async ({ id }) => {
    const none = await fetch(`${platform().url}${sessionPath(id, "/cells/7")}`);
    await refusal(none, 404, "cell_not_found");
  });
});

test("a sandbox that was made for a language has no session of another whose tools it lacks", async () => {
  const [narrow, wide] = [
    await makeSandbox(platform(), { language: "python" }),
    await makeSandbox(platform()),
  ];
  const spec = { language: "javascript" };
  const made = await post(platform(), "/api/v1/sessions", { ...spec, sandbox: narrow.id });
  // Where Node is with the system's programs, every sandbox has it.
  if (!made.ok)
    assert.match(await made.text(), /made for python: one that is made for no language/);
  assert.equal(
    (await makeSession(platform(), { ...spec, sandbox: wide.id })).language,
    "javascript",
  );
  for (const { id } of [narrow, wide]) await killSandbox(platform(), id);
});

test("a cell's events tell its code, output, results and error in order, without gaps", async () => {
  await withSession({}, async ({ id }) => {
    const code = "print('one')\ndisplay({'text/html': '<b>'})\nprint('two')\n1 / 0";
    const events = await followSession(await streamCell(platform(), id, code));
    const kinds = events.map((event) =>
      Object.keys(event).filter((key) => !["number", "time", "cell"].includes(key)),
    );
    assert.deepEqual(kinds.flat(), [
      ...["queued", "started", "stdout", "result", "stdout", "error", "ended"],
    ]);
    assert.equal(printed(events), "one\ntwo\n");
    assert.equal(formOf(events[3]?.result, "text/html"), "<b>");
    const { name, message, traceback } = events[5]?.error ?? assert.fail("an error");
    assert.deepEqual([name, message], ["ZeroDivisionError", "division by zero"]);
    assert.ok(
      traceback.some((line) => line.includes("<cell 1>")) &&
        !traceback.some((line) => line.includes("kernel")),
    );
    assert.equal(events.at(-1)?.ended?.status, "ERROR");
    const whole = await getCell(platform(), id, 1);
    assert.deepEqual(
      [whole.status, whole.stdout, whole.error?.name],
      ["ERROR", "one\ntwo\n", name],
    );
  });
});

test("input() is answered over the stream, and is an error where nobody answers", async () => {
  await withSession({}, async ({ id }) => {
    const code =
      "import getpass\nname = input('Name? ')\nsecret = getpass.getpass('Secret? ')\n[name, secret]";
    const prompts: unknown[] = [];
    const response = await streamCell(platform(), id, code, { input: true });
    const events = await followSession(response, async ({ inputRequest, cell }) => {
      if (inputRequest === undefined) return;
      prompts.push(inputRequest);
      assert.deepEqual((await getCell(platform(), id, cell)).inputRequest, inputRequest);
      await answer(platform(), id, cell, { text: `answer ${prompts.length}` });
    });
    assert.deepEqual(prompts, [
      { prompt: "Name? ", password: false },
      { prompt: "Secret? ", password: true },
    ]);
    assert.equal(formOf(events.find(({ result }) => result)?.result), "['answer 1', 'answer 2']");
    const none = await runCell(platform(), id, "input()");
    assert.deepEqual([none.status, none.error?.name], ["ERROR", "EOFError"]);
    await refusal(
      await post(platform(), sessionPath(id, "/cells/2:answer"), { text: "late" }),
      409,
      "input_not_asked",
    );
  });
});

for (const code of [
  "while True: pass",
  "import time; time.sleep(1000)",
  "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
  "input('> ')",
  "import asyncio; await asyncio.sleep(1000)",
  "import subprocess; subprocess.run(['sleep', '1000'])",
]) {
  test(`an interrupt ends \`${code}\` and keeps the variables`, async () => {
    await withSession({}, async ({ id }) => {
      await runCell(platform(), id, "kept = 'still here'");
      const response = await streamCell(platform(), id, code, { input: true });
      const behind = runCell(platform(), id, "kept = 'gone'");
      const events = await followSession(response, async ({ started, inputRequest }) => {
        const waits = code.startsWith("input") ? inputRequest : started;
        if (waits !== undefined) await interrupt(platform(), id);
      });
      assert.equal(events.at(-1)?.ended?.status, "INTERRUPTED");
      assert.equal(events.find(({ error }) => error)?.error?.name, "KeyboardInterrupt");
      assert.ok(["SKIPPED", "OK"].includes((await behind).status));
      const { status } = await behind;
      const after = await runCell(platform(), id, "kept");
      assert.equal(valueOf(after), status === "SKIPPED" ? "'still here'" : "'gone'");
      assert.equal((await getSession(platform(), id)).restarts, 0);
    });
  });
}

test("an interrupt of one cell leaves the others alone", async () => {
  await withSession({}, async ({ id }) => {
    const more = { continueOnError: true };
    let waiting: ReturnType<typeof runCell> | undefined;
    const response = await streamCell(platform(), id, "import time; time.sleep(1000)", more);
    const events = await followSession(response, async ({ started }) => {
      if (started === undefined) return;
      const behind = await streamCell(platform(), id, "ran = True", more);
      await interrupt(platform(), id, 2);
      const told = await followSession(behind);
      assert.deepEqual(
        told.map(({ queued, ended }) => queued?.status ?? ended?.status),
        ["QUEUED", "SKIPPED"],
      );
      waiting = runCell(platform(), id, "'ran' in globals()");
      await interrupt(platform(), id, 1);
    });
    assert.equal(events.at(-1)?.ended?.status, "INTERRUPTED");
    assert.equal(valueOf((await waiting) ?? assert.fail("a cell")), "False");
    // What has ended stays as it is, and what is not there is told.
    await interrupt(platform(), id, 1);
    assert.equal((await getCell(platform(), id, 1)).status, "INTERRUPTED");
    const none = await post(platform(), sessionPath(id, ":interrupt"), { cell: 99 });
    await refusal(none, 404, "cell_not_found");
  });
});

test("what does not heed an interrupt is ended, and it is told what is lost", async () => {
  await withSession({}, async ({ id }) => {
    await runCell(platform(), id, "lost = 1\nopen('file', 'w').write('stays')");
    const cell = await runCell(platform(), id, "sum(range(10**12))", { timeout: "0.2s" });
    assert.deepEqual([cell.status, cell.error?.name], ["DIED", "InterpreterEnded"]);
    assert.match(cell.error?.message ?? "", /did not heed an interrupt.*variables are lost/);
    const after = await runCell(platform(), id, "'lost' in globals(), open('file').read()");
    assert.deepEqual([valueOf(after), after.executionCount], ["(False, 'stays')", 1]);
    assert.equal((await getSession(platform(), id)).restarts, 1);
  });
});

test("an interrupt between cells does nothing, and restart forgets variables and keeps files", async () => {
  await withSession({}, async ({ id }) => {
    await runCell(platform(), id, "x = 1\nopen('file', 'w').write('stays')");
    await interrupt(platform(), id);
    assert.equal(valueOf(await runCell(platform(), id, "x")), "1");
    const { status, restarts, executionCount } = await restart(platform(), id);
    assert.deepEqual([status, restarts, executionCount], ["IDLE", 1, 0]);
    assert.equal(
      valueOf(await runCell(platform(), id, "'x' in globals(), open('file').read()")),
      "(False, 'stays')",
    );
  });
});

test("exit() is an error of its cell, and an interpreter that ends is started anew", async () => {
  await withSession({}, async ({ id }) => {
    const exited = await runCell(platform(), id, "y = 5\nexit(3)");
    assert.deepEqual(
      [exited.status, exited.error?.name, exited.error?.message],
      ["ERROR", "SystemExit", "3"],
    );
    assert.equal(valueOf(await runCell(platform(), id, "y")), "5");
    const died = await runCell(
      platform(),
      id,
      "print('last words', flush=True)\nimport os\nos._exit(7)",
    );
    assert.deepEqual([died.status, died.stdout], ["DIED", "last words\n"]);
    assert.match(died.error?.message ?? "", /exited with 7/);
    assert.equal(valueOf(await runCell(platform(), id, "'y' in globals()")), "False");
  });
});

test("a client that goes away comes back to the running cell and misses nothing; others watch beside it", async () => {
  await withSession({}, async ({ id }) => {
    const code = "import time\nfor n in range(60):\n  print('line', n)\n  time.sleep(0.02)";
    const beside = followSession(
      await watchSession(platform(), id, -1),
      ({ ended }) => ended !== undefined,
    );
    const seen = await followSession(await streamCell(platform(), id, code), (event) => {
      return event.stdout?.text?.includes("line 9\n") === true;
    });
    const last = seen.at(-1) ?? assert.fail("events");
    const rest = await followSession(await watchSession(platform(), id, last.number, last.cell));
    const all = [...seen, ...rest];
    assert.equal(printed(all), Array.from({ length: 60 }, (_, n) => `line ${n}\n`).join(""));
    assert.equal(all.at(-1)?.ended?.status, "OK");
    assert.equal(printed(await beside), printed(all));
  });
});

test("a session's labels change, and the languages that sessions can be of are told", async () => {
  const { languages } = await getOk<{ languages: { name: string; version: string }[] }>(
    platform(),
    "/api/v1/session-languages",
  );
  assert.equal(languages[0]?.name, "python");
  assert.match(languages[0]?.version ?? "", /^3\.\d+/);
  await withSession({ metadata: { a: "1", b: "2" } }, async ({ id }) => {
    const patch = (body: object) =>
      fetch(`${platform().url}${sessionPath(id)}`, {
        method: "PATCH",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
    const changed = await patch({ metadata: { b: "3", c: "4" }, remove: ["a"] });
    const labels = { b: "3", c: "4" };
    assert.partialDeepStrictEqual(await changed.json(), { id, metadata: labels });
    const filter = encodeURIComponent('metadata.c = "4"');
    const listed = await getOk(platform(), `/api/v1/sessions?filter=${filter}`);
    assert.partialDeepStrictEqual(listed, { sessions: [{ id, metadata: labels }] });
    const many = Object.fromEntries(Array.from({ length: 63 }, (_, n) => [`n${n}`, ""]));
    await refusal(await patch({ metadata: many }), 400, "invalid_request");
  });
});

test("a session that nobody uses ends, and one whose platform was killed is LOST", async () => {
  const { id } = await makeSession(platform(), { idleTimeout: "0.3s" });
  await eventually("it has ended", async () => {
    const { status, endReason } = await getSession(platform(), id);
    return status === "ENDED" && endReason === "idle";
  });
  const data = makeDataDirectory();
  const first = await startPlatform({ data });
  const lost = await makeSession(first);
  await first.kill();
  const second = await startPlatform({ data });
  try {
    const { status, endReason } = await getSession(second, lost.id);
    assert.deepEqual([status, endReason], ["LOST", "lost"]);
  } finally {
    await second.stop();
  }
});
