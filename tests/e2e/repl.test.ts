// `syla repl` against a whole platform, at a real terminal and with what is piped in.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startOnTerminal, syla } from "../../cli/src/terminal/fixture.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const home = mkdtempSync(join(tmpdir(), "syla-repl-"));
after(() => rmSync(home, { recursive: true, force: true }));

function here() {
  return { env: { SYLA_URL: platform().url, XDG_STATE_HOME: home }, cwd: home };
}

interface Told {
  readonly status: string;
  readonly endReason?: string;
}

function parseSessions(text: string): readonly Told[] {
  return (JSON.parse(text) as { sessions: Told[] }).sessions;
}

test("variables stay from cell to cell, a block goes on until it is whole, and leaving ends it", async () => {
  const { saw, type, ended } = startOnTerminal(["repl"], here());
  await saw(">>> ");
  type("x = 41\r");
  await saw(">>> ");
  type("x + 1\r");
  await saw("42\r\n");
  await saw(">>> ");
  type("for i in range(2):\r");
  await saw("... ");
  type("print('line', i)\r");
  await saw("... ");
  type("\u0015\r");
  await saw("line 0\r\nline 1\r\n");
  await saw(">>> ");
  // Pasted at once: one cell, indented as it is.
  type("def f(n):\r    if n == 0:\r        return 'bottom'\r    return f(n - 1)\r\r");
  await saw(">>> ");
  type("f(3)\r");
  await saw("'bottom'\r\n");
  await saw(">>> ");
  type("\u0004");
  const { code, clean } = await ended;
  assert.deepEqual([code, clean], [0, true]);
  const answer = await fetch(`${platform().url}/api/v1/sessions`);
  const [newest] = parseSessions(await answer.text());
  assert.deepEqual([newest?.status, newest?.endReason], ["ENDED", "deleted"]);
});

test("errors are told, Ctrl-C interrupts a cell and takes back a line, variables stay", async () => {
  const { saw, type, ended } = startOnTerminal(["repl", "python"], here());
  await saw(">>> ");
  type("kept = 'still here'\r");
  await saw(">>> ");
  type("1/0\r");
  await saw("ZeroDivisionError: division by zero");
  await saw(">>> ");
  type("print('run' + 'ning', flush=True); import time; time.sleep(1000)\r");
  await saw("running");
  type("\u0003");
  await saw("KeyboardInterrupt");
  await saw(">>> ");
  type("garbage(");
  await saw("garbage(");
  type("\u0003");
  await saw("^C");
  await saw(">>> ");
  type("kept\r");
  await saw("'still here'");
  type("exit()\r");
  assert.equal((await ended).code, 0);
});

test("input() asks here, what is typed is completed, and both are remembered but the answers", async () => {
  const { saw, type, ended } = startOnTerminal(["repl"], here());
  await saw(">>> ");
  type("name = input('who' + '? ')\r");
  await saw("who? ");
  type("ada\r");
  await saw(">>> ");
  type("import getpass; word = getpass.getpass('word' + '? ')\r");
  await saw("word? ");
  type("hush-hush\r");
  await saw(">>> ");
  type("(name, len(word))\r");
  await saw("('ada', 9)");
  await saw(">>> ");
  type("name.capit\t");
  await saw("name.capitalize");
  type("\u0015'done'\r");
  await saw("'done'");
  type("\u0004");
  const { code, shown } = await ended;
  assert.equal(code, 0);
  assert.ok(!shown.includes("hush-hush"), "a password is not shown");
  const history = readFileSync(join(home, "syla", "history-python"), "utf8").split("\n");
  assert.ok(history.includes("(name, len(word))"));
  assert.ok(!history.includes("hush-hush") && !history.includes("ada"));
  assert.equal(statSync(join(home, "syla", "history-python")).mode & 0o077, 0);
  const again = startOnTerminal(["repl"], here());
  await again.saw(">>> ");
  again.type("\u001B[A");
  await again.saw("'done'");
  again.type("\r\u0004");
  assert.equal((await again.ended).code, 0);
});

test("a picture is saved under a name of its own, over no other", async () => {
  const { saw, type, ended } = startOnTerminal(["repl"], here());
  await saw(">>> ");
  type("Picture = type('Picture', (), {'_repr_png_': lambda self: b'\\x89PNG' + bytes(4)})\r");
  await saw(">>> ");
  type("display(Picture(), Picture())\r");
  await saw("saved syla-2.png");
  await saw("saved syla-2-2.png");
  type("\u0004");
  await ended;
  assert.deepEqual(
    readdirSync(home)
      .filter((name) => name.endsWith(".png"))
      .toSorted(),
    ["syla-2-2.png", "syla-2.png"],
  );
  assert.deepEqual(
    readFileSync(join(home, "syla-2.png")),
    Buffer.from("\u0089PNG\0\0\0\0", "latin1"),
  );
});

test("a session that is kept is there to come back to", async () => {
  const first = startOnTerminal(["repl", "--keep"], here());
  await first.saw(">>> ");
  first.type("treasure = 'gold'\r");
  await first.saw(">>> ");
  first.type("\u0004");
  const { shown } = await first.ended;
  const id = /repl --session ([0-9a-f-]{36})/.exec(shown)?.[1] ?? "";
  const second = startOnTerminal(["repl", "--session", id], here());
  await second.saw(">>> ");
  second.type("treasure\r");
  await second.saw("'gold'");
  const answer = await fetch(`${platform().url}/api/v1/sessions/${id}`, { method: "DELETE" });
  assert.equal(answer.status, 200);
  const { code, clean } = await second.ended;
  assert.deepEqual([code, clean], [125, true]);
});

test("what is piped in is one cell, and its failing is the exit code", async () => {
  const input = "for i in range(3):\n    print(i)\nprint('end')\n7\n";
  const good = await syla(["repl", "python"], { ...here(), input });
  assert.deepEqual([good.code, good.stdout], [0, "0\n1\n2\nend\n"]);
  const bad = await syla(["repl", "python"], { ...here(), input: "print('before'); oops" });
  assert.deepEqual([bad.code, bad.stdout], [1, "before\n"]);
  assert.match(bad.stderr, /NameError: name 'oops' is not defined/);
});

test("a language that is not there, and flags that do not go together, are refused in a sentence", async () => {
  const unknown = await syla(["repl", "klingon"], here());
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /klingon/);
  const mixed = await syla(["repl", "--session", crypto.randomUUID(), "--keep"], here());
  assert.equal(mixed.code, 2);
});
