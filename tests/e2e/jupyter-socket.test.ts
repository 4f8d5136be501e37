// The channels of Jupyter's kernels as other clients than JupyterLab's use them: JSON in text frames, any number of
// cells at once, reading slowly or not at all, without a token, or saying what is no message.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { tokenOf } from "../jupyter-client.ts";
import { getSandbox, killSandbox, makeSandbox } from "../sandbox-api.ts";
import { deleteSession, getSession, makeSession, restart, runCell } from "../session-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

interface Message {
  readonly channel: string;
  readonly header: { readonly msg_type: string; readonly session: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly content: Readonly<Record<string, unknown>>;
}

function parseMessage(text: string): Message {
  return JSON.parse(text) as Message;
}

class Client {
  readonly messages: Message[] = [];
  readonly socket: WebSocket;
  readonly closed: Promise<number>;

  constructor(kernel: string, query = `&session_id=${Math.random()}`, token = tokenOf(platform())) {
    const base = platform().url.replace("http", "ws");
    this.socket = new WebSocket(
      `${base}/jupyter/api/kernels/${kernel}/channels?token=${token}${query}`,
    );
    this.socket.on("message", (data: Buffer) => this.messages.push(parseMessage(data.toString())));
    this.closed = new Promise((resolve) => {
      this.socket.once("close", (code) => resolve(code));
    });
  }

  async opened(): Promise<this> {
    await once(this.socket, "open");
    return this;
  }

  send(id: string, type: string, content: object, channel = "shell"): void {
    const header = { msg_id: id, msg_type: type, session: "me", username: "", version: "5.3" };
    const rest = { parent_header: {}, metadata: {}, content };
    this.socket.send(JSON.stringify({ header, channel, ...rest }));
  }

  /** What came for a message, of a type. */
  of(id: string, type: string): Message[] {
    return this.messages.filter(({ header, parent_header: parent }) => {
      return header.msg_type === type && parent.msg_id === id;
    });
  }

  async reply(id: string, type = "execute_reply"): Promise<Message["content"]> {
    await eventually(`${id} has ${type}`, async () => this.of(id, type).length > 0);
    return this.of(id, type)[0]?.content ?? assert.fail("a reply");
  }
}

async function withSession(use: (id: string) => Promise<void>): Promise<void> {
  const { id } = await makeSession(platform());
  try {
    await use(id);
  } finally {
    await deleteSession(platform(), id);
  }
}

test("a handshake with a wrong token is refused, whatever the kernel", async () => {
  const { id } = await makeSession(platform());
  for (const token of ["", "wrong"]) {
    const client = new Client(id, "", token);
    assert.match(String(await once(client.socket, "error")), /403/);
  }
  // As nbclient connects, which cannot bring one: where nothing else needs the key, either.
  const base = platform().url.replace("http", "ws");
  const without = new WebSocket(`${base}/jupyter/api/kernels/${id}/channels`);
  await once(without, "open");
  without.close();
  await deleteSession(platform(), id);
  const late = await new Client(id).opened();
  assert.equal(await late.closed, 1000);
  assert.deepEqual(late.messages.at(-1)?.content, { execution_state: "dead" });
});

test("all cells of a long notebook can be given at once, and are aborted together", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    const numbers = Array.from({ length: 150 }, (_, n) => n);
    for (const n of numbers) client.send(`a${n}`, "execute_request", { code: `print(${n})` });
    assert.equal((await client.reply("a149"))["status"], "ok");
    const printed = client.messages.filter(({ header }) => header.msg_type === "stream");
    assert.equal(
      printed.map(({ content }) => String(content["text"])).join(""),
      numbers.map((n) => `${n}\n`).join(""),
    );
    client.send("b0", "execute_request", { code: "import time; time.sleep(0.5); oops" });
    for (const n of numbers.slice(1)) client.send(`b${n}`, "execute_request", { code: "x = 1" });
    for (const n of numbers.slice(1)) {
      assert.equal((await client.reply(`b${n}`))["status"], "aborted");
    }
    assert.ok(numbers.every((n) => client.of(`b${n}`, "execute_reply").length === 1));
    client.send("c", "execute_request", { code: "'x' in globals()" });
    await client.reply("c");
    assert.match(JSON.stringify(client.of("c", "execute_result")[0]?.content), /"False"/);
    client.socket.close();
  });
});

test("a cell that is not stored is shown and not counted, a silent one is neither", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    const counts = async (name: string, content: object) => {
      client.send(name, "execute_request", content);
      const reply = await client.reply(name);
      const told = (type: string) =>
        client.of(name, type).map((one) => one.content["execution_count"]);
      return [reply["execution_count"], told("execute_input"), told("execute_result")];
    };
    assert.deepEqual(await counts("one", { code: "'one'" }), [1, [1], [1]]);
    const unstored = { code: "print('said'); 'two'", store_history: false };
    assert.deepEqual(await counts("two", unstored), [1, [2], [2]]);
    assert.deepEqual(await counts("quiet", { code: "print(6); 'x'", silent: true }), [1, [], []]);
    assert.equal(client.of("quiet", "stream").length, 1);
    assert.deepEqual(await counts("three", { code: "_, In, Out" }), [2, [2], [2]]);
    const known = JSON.stringify(client.of("three", "execute_result")[0]?.content["data"]);
    assert.match(known, /\('one', \{1: \\"'one'\\",\s*2: [^}]*\},\s*\{1: 'one'/);
    client.send("past", "history_request", { hist_access_type: "tail", n: 10 });
    const { history } = await client.reply("past", "history_reply");
    assert.deepEqual(history, [
      [0, 1, "'one'"],
      [0, 2, "_, In, Out"],
    ]);
    client.socket.close();
  });
});

test("a failing cell aborts those behind it, unless it is silent or told not to", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    for (const [content, status] of [
      [{}, "aborted"],
      [{ stop_on_error: true }, "aborted"],
      [{ stop_on_error: false }, "ok"],
      [{ silent: true }, "ok"],
    ] as const) {
      const name = JSON.stringify(content);
      const code = "import time; time.sleep(0.3); oops";
      client.send(`fails ${name}`, "execute_request", { code, ...content });
      client.send(`behind ${name}`, "execute_request", { code: "1" });
      assert.equal((await client.reply(`fails ${name}`))["ename"], "NameError");
      assert.equal((await client.reply(`behind ${name}`))["status"], status, name);
    }
    client.socket.close();
  });
});

test("a cell's expressions are evaluated when it has run, each on its own", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    const user_expressions = { sum: " x + 1", none: "None", bad: "y", broken: "1 +", odd: 7 };
    client.send("a", "execute_request", { code: "x = 41", user_expressions, silent: true });
    const { status, user_expressions: values } = await client.reply("a");
    const { bad, broken, ...good } = parseValues(values);
    const value = (text: string) => ({ status: "ok", data: { "text/plain": text }, metadata: {} });
    assert.deepEqual([status, good], ["ok", { sum: value("42"), none: value("None") }]);
    assert.deepEqual([bad?.["ename"], broken?.["ename"]], ["NameError", "SyntaxError"]);
    client.send("b", "execute_request", { code: "oops", user_expressions: { x: "x" } });
    assert.equal((await client.reply("b"))["user_expressions"], undefined);
    client.socket.close();
  });
});

function parseValues(values: unknown) {
  return values as Readonly<Record<string, Message["content"] | undefined>>;
}

test("an interrupt and a shutdown come by the control channel, what is not known is refused", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    client.send("run", "execute_request", { code: "while True: pass" });
    await eventually("it runs", async () => client.of("run", "execute_input").length > 0);
    client.send("ask", "complete_request", { code: "pri", cursor_pos: 3 });
    assert.deepEqual((await client.reply("ask", "complete_reply"))["matches"], []);
    client.send("stop", "interrupt_request", {}, "control");
    assert.equal((await client.reply("stop", "interrupt_reply"))["status"], "ok");
    assert.equal((await client.reply("run"))["ename"], "KeyboardInterrupt");
    client.send("odd", "debug_request", {}, "control");
    assert.equal((await client.reply("odd", "debug_reply"))["ename"], "NotSupported");
    client.send("anew", "shutdown_request", { restart: true }, "control");
    assert.equal((await client.reply("anew", "shutdown_reply"))["restart"], true);
    const states = client.messages.map(({ content }) => content["execution_state"]);
    assert.ok(states.includes("starting") && !states.includes("restarting"));
    await restart(platform(), id);
    await eventually("it is told of a restart that it did not ask for", async () =>
      client.messages.some(({ content }) => content["execution_state"] === "restarting"),
    );
    client.send("end", "shutdown_request", { restart: false }, "control");
    assert.equal(await client.closed, 1000);
    assert.equal((await getSession(platform(), id)).endReason, "deleted");
  });
});

test("a client that does not read holds nobody up for long, and is told what it lost", async () => {
  await withSession(async (id) => {
    const client = await new Client(id).opened();
    client.socket.pause();
    const code = "for n in range(600): print('x' * 65536)";
    client.send("flood", "execute_request", { code });
    await eventually("the cell has begun", async () => {
      return (await getSession(platform(), id)).executionCount === 1;
    });
    const beside = await runCell(platform(), id, "1 + 1");
    assert.equal(beside.status, "OK");
    client.socket.resume();
    assert.equal((await client.reply("flood"))["status"], "ok");
    await eventually("it is idle again", async () => {
      return client
        .of("flood", "status")
        .some(({ content }) => content["execution_state"] === "idle");
    });
    assert.match(
      JSON.stringify(client.messages),
      /bytes of output came faster than they were read/,
    );
    client.socket.close();
  });
});

test("what is no message ends the connection, and so do too many connections", async () => {
  await withSession(async (id) => {
    for (const frame of ["x", "{}", "[]", Buffer.from([0, 0, 0, 9, 1])]) {
      const client = await new Client(id).opened();
      client.socket.send(frame);
      assert.equal(await client.closed, 1007);
    }
    const clients: Client[] = [];
    for (let n = 0; n < 32; n += 1) {
      const client = await new Client(id).opened();
      client.send("hello", "kernel_info_request", {});
      await client.reply("hello", "kernel_info_reply");
      clients.push(client);
    }
    assert.match(String(await once(new Client(id).socket, "error")), /429/);
    for (const { socket } of clients) socket.close();
  });
});

test("a kernel that nobody runs a cell in, and its sandbox, are kept while somebody is connected", async () => {
  const sandbox = await makeSandbox(platform(), { language: "python", lifetime: "60s" });
  const { id } = await makeSession(platform(), { sandbox: sandbox.id, idleTimeout: "1.5s" });
  const client = await new Client(id).opened();
  client.send("hello", "kernel_info_request", {});
  await client.reply("hello", "kernel_info_reply");
  await sleep(3500);
  assert.equal((await getSession(platform(), id)).status, "IDLE");
  const { expiresAt } = await getSandbox(platform(), sandbox.id);
  assert.ok(Date.parse(expiresAt) - Date.now() > 120_000);
  client.socket.close();
  await eventually("it ends without a client", async () => {
    return (await getSession(platform(), id)).endReason === "idle";
  });
  await killSandbox(platform(), sandbox.id);
});

test("a client that connects anew under its name takes its own place", async () => {
  await withSession(async (id) => {
    const first = await new Client(id, "&session_id=me").opened();
    first.send("hello", "kernel_info_request", {});
    await first.reply("hello", "kernel_info_reply");
    const second = await new Client(id, "&session_id=me").opened();
    assert.equal(await first.closed, 1000);
    second.send("x", "execute_request", { code: "print(1)" });
    assert.equal((await second.reply("x"))["status"], "ok");
    second.socket.close();
  });
});
