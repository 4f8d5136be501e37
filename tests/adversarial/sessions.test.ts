// A tenant's cells work against what serves them: the interpreter they run in, what it says of them, and whoever reads
// that. What they do costs their own session, and the next one is well.
import assert from "node:assert/strict";
import { test } from "node:test";
import { killSandbox } from "../sandbox-api.ts";
import {
  type Cell,
  deleteSession,
  followSession,
  formOf,
  getCell,
  getSession,
  interrupt,
  makeSession,
  printed,
  runCell as run,
  streamCell,
  valueOf,
  watchSession,
} from "../session-api.ts";
import { unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

/** Runs a cell that ends, whatever it does. */
const runCell: typeof run = (server, id, code, more) => {
  return run(server, id, code, { timeout: "30s", ...more });
};

/** Descriptors on which the interpreter is told and says something, wherever they are. */
const find = `
import fcntl, os
def writes(n):
  try: return fcntl.fcntl(n, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
  except OSError: return False
words = [n for n in range(3, 1024) if writes(n)]
assert words
`;

async function inSession(work: (id: string) => Promise<void>): Promise<void> {
  const { id, sandbox } = await makeSession(platform());
  try {
    await work(id);
    assert.equal(valueOf(await runCell(platform(), id, "6 * 7")), "42", "it is well");
  } finally {
    await deleteSession(platform(), id);
    await killSandbox(platform(), sandbox);
  }
}

function assertDied(cell: Cell, reason: RegExp): void {
  assert.deepEqual([cell.status, cell.error?.name], ["DIED", "InterpreterEnded"]);
  assert.match(cell.error?.message ?? "", reason);
}

const say = (bytes: string) =>
  `${find}\nfor fd in words: os.write(fd, ${bytes})\nimport time; time.sleep(5)`;

for (const [what, bytes, reason] of [
  ["bytes", "bytes(range(128, 256)) + b'\\n'", /not UTF-8/],
  ["no JSON", "b'ended\\n'", /not JSON/],
  ["an unknown word", `b'{"say":"stop"}\\n'`, /no word/],
  [
    "another cell's end",
    `b'{"say":"ended","cell":99,"outcome":"ok"}\\n'`,
    /a cell that does not run/,
  ],
  ["a second start", `b'{"say":"started","cell":1}\\n'`, /started a cell twice/],
  ["a question to nobody", `b'{"say":"input","prompt":"?"}\\n'`, /asked where nobody answers/],
  ["a result with no type", `b'{"say":"result","forms":{"x":"y"}}\\n'`, /no media type/],
] as const) {
  test(`${what} as a word of a cell's own ends its interpreter, and says so`, () =>
    inSession(async (id) => assertDied(await runCell(platform(), id, say(bytes)), reason)));
}

test("a cell that says itself that it has ended has, and its interpreter with the lie", () =>
  inSession(async (id) => {
    const lie = `b'{"say":"ended","cell":1,"outcome":"ok"}\\n'`;
    assert.equal((await runCell(platform(), id, say(lie))).status, "OK");
    const next = await runCell(platform(), id, "1 + 1");
    assert.equal(next.status, "DIED");
    assert.equal(valueOf(await runCell(platform(), id, "2")), "2");
    assert.equal((await getSession(platform(), id)).restarts, 1);
  }));

test("a word without end is not waited for", () =>
  inSession(async (id) => {
    const code = `${find}\nwhile True:\n  for fd in words: os.write(fd, b'x' * 65536)`;
    assertDied(await runCell(platform(), id, code), /more at once than it may/);
  }));

test("an interpreter that closes its streams, or kills itself, is started anew", () =>
  inSession(async (id) => {
    for (const code of [
      "import os; os.closerange(3, 1024)",
      "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
      "import ctypes; ctypes.string_at(0)",
      "import os; os.kill(0, 9)",
    ]) {
      assert.equal((await runCell(platform(), id, code)).status, "DIED", code);
    }
    assert.equal(valueOf(await runCell(platform(), id, "1")), "1");
    assert.equal((await getSession(platform(), id)).restarts, 4);
  }));

test("a result of any size is shown, or told to be too large", () =>
  inSession(async (id) => {
    const text = await runCell(platform(), id, "'x' * 50_000_000");
    assert.match(valueOf(text) ?? "", /^'x{1000}.*and \d+ more\)$/s);
    const bytes = await runCell(platform(), id, "display({'image/png': bytes(30_000_000)})");
    assert.match(formOf(bytes.results[0]) ?? "", /bytes are more than can be shown/);
    const fits = await runCell(platform(), id, "display({'image/png': bytes(3_000_000)})");
    assert.equal(formOf(fits.results[0], "image/png")?.length, 4_000_000);
  }));

test("ten thousand results come in order, each of them", () =>
  inSession(async (id) => {
    const code = "for n in range(10_000): display({'text/plain': str(n)}, raw=True)";
    const events = await followSession(await streamCell(platform(), id, code));
    const shown = events.flatMap(({ result }) => (result === undefined ? [] : [formOf(result)]));
    assert.deepEqual(
      shown,
      Array.from({ length: 10_000 }, (_, n) => String(n)),
    );
    assert.equal(events.at(-1)?.ended?.status, "OK");
  }));

test("output without end is held up, cut and interrupted", () =>
  inSession(async (id) => {
    const cell = await runCell(platform(), id, "while True: print('x' * 1000)", { timeout: "1s" });
    assert.equal(cell.status, "INTERRUPTED");
    assert.ok(cell.stdoutTruncated && cell.stdout.length === 1024 ** 2);
  }));

test("a thread that prints without end holds up no cell", () =>
  inSession(async (id) => {
    const code = `import threading, os
going = True
def flood():
  while going: os.write(1, b'flood ' * 1000)
threading.Thread(target=flood, daemon=True).start()`;
    assert.equal((await runCell(platform(), id, code)).status, "OK");
    assert.equal(valueOf(await runCell(platform(), id, "1 + 1")), "2");
    assert.equal((await runCell(platform(), id, "going = False")).status, "OK");
  }));

test("two who watch see the same, one of them slowly, and nothing is lost", () =>
  inSession(async (id) => {
    const code = "for n in range(20_000): print('line', n)";
    const quick = followSession(
      await watchSession(platform(), id, -1),
      ({ ended }) => ended !== undefined,
    );
    let seen = 0;
    const slow = followSession(await watchSession(platform(), id, -1), async ({ ended }) => {
      if ((seen += 1) % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      return ended !== undefined;
    });
    await runCell(platform(), id, code);
    const whole = Array.from({ length: 20_000 }, (_, n) => `line ${n}\n`).join("");
    assert.equal(printed(await quick), whole);
    assert.equal(printed(await slow), whole);
  }));

test("one who watches and takes nothing does not keep an interrupt from being heeded", () =>
  inSession(async (id) => {
    const response = await streamCell(platform(), id, "while True: print('x' * 1000)");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await interrupt(platform(), id);
    let status = "";
    for (let turn = 0; turn < 100 && !/INTERRUPTED|DIED/.test(status); turn += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      ({ status } = await getCell(platform(), id, 1));
    }
    assert.equal(status, "INTERRUPTED");
    await response.body?.cancel();
    assert.equal((await getSession(platform(), id)).restarts, 0);
  }));
