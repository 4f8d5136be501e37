// JupyterLab's own client (@jupyterlab/services), unmodified, against the whole platform.
import assert from "node:assert/strict";
import { test } from "node:test";
import { KernelAPI, KernelSpecAPI, ServerConnection, SessionAPI } from "@jupyterlab/services";
import {
  dataOf,
  execute,
  firstOf,
  Front,
  parseContent,
  settingsFor,
  withKernel,
} from "../jupyter-client.ts";
import { getSession, makeSession, runCell } from "../session-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

test("kernelspecs are the languages of sessions, under the names that notebooks have for them", async () => {
  const settings = settingsFor(platform());
  const specs = await KernelSpecAPI.getSpecs(settings);
  assert.equal(specs.default, "python3");
  const python = specs.kernelspecs["python3"];
  assert.equal(python?.language, "python");
  assert.match(python?.display_name ?? "", /^Python 3\.\d+\.\d+ \(Syla\)$/);
  const icon = await ServerConnection.makeRequest(
    `${settings.baseUrl}kernelspecs/python3/logo-64x64.png`,
    {},
    settings,
  );
  assert.equal(icon.status, 404);
  const one = await ServerConnection.makeRequest(
    `${settings.baseUrl}api/kernelspecs/python3`,
    {},
    settings,
  );
  assert.equal(parseContent(await one.json())["name"], "python3");
});

test("a kernel runs code, and tells what comes of it in the order of Jupyter", async () => {
  await withKernel(platform(), async (kernel) => {
    const info = await kernel.info;
    assert.deepEqual([info.language_info.name, info.status], ["python", "ok"]);
    const first = await execute(
      kernel,
      "import sys\nx = 20\nprint('out')\nsys.stderr.write('err');",
    );
    assert.deepEqual(first.reply["status"], "ok");
    assert.deepEqual([first.stdout, first.stderr], ["out\n", "err"]);
    const others = first.types.filter((type) => type !== "stream");
    assert.deepEqual(others, ["status", "execute_input", "status"]);
    assert.equal(first.types.at(-1), "status");
    assert.equal(firstOf(first, "execute_input")["execution_count"], 1);
    const second = await execute(kernel, "x * 2 + 2");
    assert.equal(dataOf(second)["text/plain"], "42");
    assert.equal(firstOf(second, "execute_result")["execution_count"], 2);
    assert.equal(second.reply["execution_count"], 2);
    await eventually("the kernel is idle", async () => kernel.status === "idle");
  });
});

test("results have all their forms, are shown anew under their name, and are cleared", async () => {
  const code = `
from IPython.display import clear_output
class Picture:
    def _repr_png_(self): return b"\\x89PNG"
    def _repr_json_(self): return {"a": [1, None]}
handle = display(Picture(), display_id="one")
handle.update({"text/html": "<b>"})
clear_output(wait=True)
Picture()`;
  await withKernel(platform(), async (kernel) => {
    const outcome = await execute(kernel, code);
    const shown = firstOf(outcome, "display_data");
    assert.equal(dataOf(outcome, "display_data")["image/png"], "iVBORw==");
    assert.deepEqual(dataOf(outcome)["application/json"], { a: [1, null] });
    assert.deepEqual(shown["transient"], { display_id: "one" });
    assert.deepEqual(firstOf(outcome, "update_display_data")["transient"], { display_id: "one" });
    assert.equal(dataOf(outcome, "update_display_data")["text/html"], "<b>");
    assert.deepEqual(firstOf(outcome, "clear_output"), { wait: true });
  });
});

test("an error has its traceback, and what waited behind it is aborted unless it is to go on", async () => {
  await withKernel(platform(), async (kernel) => {
    const slow = "import time; time.sleep(0.5); 1 / 0";
    const [failed, behind] = await Promise.all([execute(kernel, slow), execute(kernel, "1")]);
    assert.equal(failed.reply["status"], "error");
    assert.equal(failed.reply["ename"], "ZeroDivisionError");
    const { ename, evalue, traceback } = firstOf(failed, "error");
    assert.deepEqual([ename, evalue], ["ZeroDivisionError", "division by zero"]);
    assert.match(String(traceback), /line 1.*ZeroDivisionError: division by zero/s);
    assert.equal(behind.reply["status"], "aborted");
    const request = { stop_on_error: false };
    const both = [execute(kernel, slow, { request }), execute(kernel, "1")] as const;
    const statuses = (await Promise.all(both)).map(({ reply }) => reply["status"]);
    assert.deepEqual(statuses, ["error", "ok"]);
  });
});

test("input() asks the one who ran the cell, and is an error where nobody answers", async () => {
  await withKernel(platform(), async (kernel) => {
    const code = "import getpass; [input('Name? '), getpass.getpass('Secret? ')]";
    const outcome = await execute(kernel, code, { answers: ["ada", "s3cret"] });
    assert.equal(dataOf(outcome)["text/plain"], "['ada', 's3cret']");
    const asked = outcome.published.filter(({ type }) => type === "input_request");
    assert.deepEqual(
      asked.map(({ content }) => content),
      [
        { prompt: "Name? ", password: false },
        { prompt: "Secret? ", password: true },
      ],
    );
    const none = await execute(kernel, "input()", { request: { allow_stdin: false } });
    assert.equal(none.reply["ename"], "EOFError");
  });
});

test("an interrupt keeps variables, a restart does not, and the client goes on", async () => {
  await withKernel(platform(), async (kernel) => {
    await execute(kernel, "kept = 1");
    const endless = await execute(kernel, "while True: pass", {
      onPublished: (type) => {
        if (type === "execute_input") void kernel.interrupt();
      },
    });
    assert.deepEqual(endless.reply["ename"], "KeyboardInterrupt");
    assert.equal(dataOf(await execute(kernel, "kept"))["text/plain"], "1");
    await kernel.restart();
    const after = await execute(kernel, "'kept' in globals()");
    assert.equal(dataOf(after)["text/plain"], "False");
    assert.equal(after.reply["execution_count"], 1);
    assert.equal((await getSession(platform(), kernel.id)).restarts, 1);
  });
});

test("an interpreter that ends tells its client, which begins anew by itself", async () => {
  await withKernel(platform(), async (kernel) => {
    const seen: string[] = [];
    kernel.statusChanged.connect((_, status) => void seen.push(status));
    const cell = kernel.requestExecute({ code: "import os; os._exit(3)" });
    const replied = new Promise<string>((resolve) => {
      cell.onReply = ({ content }) => resolve(content.status);
    });
    cell.done.catch(() => undefined);
    assert.equal(await replied, "error");
    await eventually("it is told", async () => seen.includes("autorestarting"));
    await eventually("it is connected", async () => kernel.connectionStatus === "connected");
    assert.equal((await execute(kernel, "print('new')")).stdout, "new\n");
  });
});

test("clients of one kernel see one another's cells, and so does who has none", async () => {
  await withKernel(platform(), async (kernel, front) => {
    const other = front.connect(kernel);
    await other.info;
    const seen: { type: string; content: unknown; parent: string | undefined }[] = [];
    other.iopubMessage.connect((_, { header, content, parent_header: parent }) => {
      const id = "msg_id" in parent ? parent.msg_id : undefined;
      seen.push({ type: header.msg_type, content, parent: id });
    });
    const streamed = (text: string) =>
      seen.find(({ type, content }) => type === "stream" && parseContent(content)["text"] === text);
    const future = kernel.requestExecute({ code: "print('shared')" });
    await future.done;
    await eventually("the other saw it", async () => streamed("shared\n") !== undefined);
    assert.equal(streamed("shared\n")?.parent, future.msg.header.msg_id);
    await runCell(platform(), kernel.id, "print('by REST')");
    await eventually("it saw a cell of neither", async () => streamed("by REST\n") !== undefined);
    assert.match(streamed("by REST\n")?.parent ?? "", new RegExp(`^${kernel.id}`));
    await eventually("it was told the code", async () =>
      seen.some(({ type, content }) => {
        return type === "execute_input" && parseContent(content)["code"] === "print('by REST')";
      }),
    );
    other.dispose();
  });
});

test("a client that comes back goes on where it was, its cell still running", async () => {
  await withKernel(platform(), async (kernel) => {
    const code = "import time\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.05)";
    const texts: string[] = [];
    let broken: Promise<void> | undefined;
    const outcome = await execute(kernel, code, {
      onPublished: (type, content) => {
        if (type !== "stream") return;
        texts.push(String(content["text"]));
        broken ??= kernel.reconnect();
      },
    });
    await broken;
    assert.equal(outcome.reply["status"], "ok");
    assert.equal(texts.join(""), Array.from({ length: 20 }, (_, n) => `${n}\n`).join(""));
  });
});

test("code is completed, explained and checked, and what was run is remembered", async () => {
  await withKernel(platform(), async (kernel) => {
    await execute(kernel, "a_long_name = 7");
    const code = "# ü 😀\na_long_n";
    const completed = await kernel.requestComplete({ code, cursor_pos: Array.from(code).length });
    assert.deepEqual(completed.content, {
      ...{ status: "ok", matches: ["a_long_name"], metadata: {} },
      ...{ cursor_start: 6, cursor_end: 14 },
    });
    const inspected = await kernel.requestInspect({ code: "len", cursor_pos: 3, detail_level: 0 });
    assert.ok(inspected.content.status === "ok" && inspected.content.found);
    assert.match(
      JSON.stringify(inspected.content.data["text/plain"]),
      /Return the number of items/,
    );
    const checks = ["1 + 1", "for n in x:", "1 +* 1"].map(async (text) => {
      return (await kernel.requestIsComplete({ code: text })).content;
    });
    assert.deepEqual(await Promise.all(checks), [
      { status: "complete" },
      { status: "incomplete", indent: "    " },
      { status: "invalid" },
    ]);
    await execute(kernel, "2");
    const search = { output: false, raw: true, pattern: "a_*7", n: 10, unique: false } as const;
    const { content } = await kernel.requestHistory({ hist_access_type: "search", ...search });
    assert.deepEqual(parseContent(content)["history"], [[0, 1, "a_long_name = 7"]]);
    const comms = await kernel.requestCommInfo({});
    assert.deepEqual(parseContent(comms.content)["comms"], {});
    const comm = kernel.createComm("nobody");
    const closed = new Promise<void>((resolve) => {
      comm.onClose = () => resolve();
    });
    await comm.open({}).done;
    await closed;
  });
});

test("what a session of Jupyter ties together lasts with its kernel, and can be changed", async () => {
  const front = new Front(platform());
  try {
    await front.sessions.ready;
    const options = { path: "work/ä.ipynb", name: "ä.ipynb", type: "notebook" };
    const session = await front.sessions.startNew({ ...options, kernel: { name: "python3" } });
    const { kernel } = session;
    assert.ok(kernel !== null);
    assert.equal((await execute(kernel, "print(1)")).stdout, "1\n");
    const again = await SessionAPI.startSession(
      { ...options, kernel: { name: "python3" } },
      front.settings,
    );
    assert.equal(again.id, session.id);
    await session.setPath("work/b.ipynb");
    await session.setName("b.ipynb");
    const [listed] = await SessionAPI.listRunning(front.settings);
    assert.deepEqual(
      [listed?.id, listed?.path, listed?.name, listed?.kernel?.id],
      [session.id, "work/b.ipynb", "b.ipynb", kernel.id],
    );
    const next = await session.changeKernel({ name: "python3" });
    assert.ok(next !== null && next.id !== kernel.id);
    assert.equal((await execute(next, "print(2)")).stdout, "2\n");
    assert.equal((await getSession(platform(), kernel.id)).status, "ENDED");
    await session.shutdown();
    assert.equal((await getSession(platform(), next.id)).status, "ENDED");
    assert.deepEqual(await SessionAPI.listRunning(front.settings), []);
  } finally {
    front.dispose();
  }
});

test("a session that was made by Syla's own API is a kernel, and its end is the kernel's", async () => {
  const front = new Front(platform());
  const { id } = await makeSession(platform());
  try {
    await runCell(platform(), id, "x = 5");
    const models = await KernelAPI.listRunning(front.settings);
    const model = models.find((one) => one.id === id);
    assert.ok(model !== undefined && model.execution_state === "idle");
    const sessions = await SessionAPI.listRunning(front.settings);
    const session = sessions.find((one) => one.kernel?.id === id);
    assert.deepEqual([session?.id, session?.path, session?.type], [id, `syla-${id}`, "console"]);
    assert.equal((await SessionAPI.getSessionModel(id, front.settings)).id, id);
    const kernel = front.kernels.connectTo({ model });
    assert.equal(dataOf(await execute(kernel, "x"))["text/plain"], "5");
    const dead = new Promise<void>((resolve) => {
      kernel.disposed.connect(() => resolve());
    });
    await KernelAPI.shutdownKernel(id, front.settings);
    await dead;
    assert.equal(await KernelAPI.getKernelModel(id, front.settings), undefined);
    assert.equal((await getSession(platform(), id)).endReason, "deleted");
  } finally {
    front.dispose();
  }
});

test("who has no token, or a wrong one, gets nothing", async () => {
  for (const token of ["", "wrong", `syla_${"0".repeat(64)}`]) {
    const settings = settingsFor(platform(), token);
    await assert.rejects(KernelAPI.listRunning(settings), ({ response, message }) => {
      assert.equal(response.status, 403);
      assert.match(message, /token is missing or wrong/);
      return true;
    });
  }
});
