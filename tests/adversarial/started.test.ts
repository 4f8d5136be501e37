// Programs that are run by interpreters which were there before them: nothing passes from one to the next, or between
// two that come from one interpreter, and the end of what they come from is survived.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cancel, create, execute, get, python } from "../api.ts";
import { eventually } from "../e2e/shared.ts";
import { descendants, type Process } from "../host.ts";
import { assertSucceeded, unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

test("what one program changes in its interpreter, the next does not find", async () => {
  const poison = [
    "import builtins, sys, os, random, json, gc",
    "builtins.print = lambda *a: None",
    "sys.path.insert(0, '/tmp'); sys.modules['json'] = None; sys.setrecursionlimit(77)",
    "os.environ['POISON'] = '1'; random.seed(1); builtins.poisoned = True",
    "sys.stdout.write('done')",
  ].join("\n");
  const look = [
    "import builtins, sys, os, json",
    "print(hasattr(builtins, 'poisoned'), 'POISON' in os.environ, '/tmp' in sys.path, sys.getrecursionlimit())",
  ].join("\n");
  assert.equal(assertSucceeded(await python(platform(), poison)), "done");
  for (let round = 0; round < 6; round += 1) {
    assert.equal(assertSucceeded(await python(platform(), look)), "False False False 1000\n");
  }
  const bend =
    "globalThis.poisoned = 1; Object.prototype.bent = 1; process.env.POISON = 1; require('fs').readFile = 1; console.log(1)";
  const straight =
    "console.log(globalThis.poisoned, {}.bent, process.env.POISON, typeof require('fs').readFile)";
  assertSucceeded(await execute(platform(), { language: "javascript", code: bend }));
  const next = await execute(platform(), { language: "javascript", code: straight });
  assert.equal(assertSucceeded(next), "undefined undefined undefined function\n");
});

test("programs at one time draw different keys, names and numbers of every kind", async () => {
  const code = [
    "import os, random, secrets, ssl, tempfile, uuid, multiprocessing, xml.parsers.expat",
    "key = multiprocessing.current_process().authkey.hex()",
    "name = next(tempfile._get_candidate_names())",
    "drawn = [os.urandom(8).hex(), random.random(), secrets.token_hex(8), ssl.RAND_bytes(8).hex()]",
    "print(*drawn, uuid.uuid4(), uuid.uuid1(), name, key, hash('this is' + ' new here'))",
  ].join("\n");
  const runs = await Promise.all(Array.from({ length: 6 }, () => python(platform(), code)));
  const rows = runs.map((run) => assertSucceeded(run).trim().split(" "));
  for (const column of rows[0]?.keys() ?? []) {
    const drawn = rows.map((row) => row[column]);
    assert.equal(new Set(drawn).size, 6, `column ${column}: ${drawn.join()}`);
  }
  const inNode =
    "console.log(Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint32Array(1))[0])";
  const others = await Promise.all(
    Array.from({ length: 3 }, () => execute(platform(), { language: "javascript", code: inNode })),
  );
  const numbers = others.map((run) => assertSucceeded(run).trim().split(" "));
  for (const column of [0, 1, 2]) {
    assert.equal(new Set(numbers.map((row) => row[column])).size, 3, `column ${column}`);
  }
});

test("a program finds no process but its own, and its first process tells it nothing", async () => {
  const code = [
    "import os",
    "pids = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())",
    "def reads(path):",
    "  try: return open(path, 'rb').read(1) is not None",
    "  except OSError as error: return type(error).__name__",
    "first = [reads('/proc/1/' + name) for name in ('mem', 'environ', 'maps', 'auxv')]",
    "print(pids == [1, os.getpid()], set(first), os.getppid())",
  ].join("\n");
  assert.equal(assertSucceeded(await python(platform(), code)), "True {'PermissionError'} 1\n");
});

for (const [what, choose] of [
  ["what jails are forked from", ({ command }: Process) => command.includes("zygote")],
  ["the spawner of jails", ({ command }: Process) => / spawn \//.test(command)],
  ["a program's own jail", ({ command }: Process) => command.includes("main.py")],
] as const) {
  test(`kill -9 of ${what} ends a run with one state, and the next run is well`, async () => {
    const code = "import time; print('here', flush=True); time.sleep(60)";
    const { id } = await create(platform(), { language: "python", code });
    await eventually("it runs", async () => (await get(platform(), id)).stdout === "here\n");
    const chosen = descendants(platform().pid).filter(choose);
    for (const { pid } of chosen) killIfThere(pid);
    // Jails that are opened one by one are forked from nothing.
    if (chosen.length === 0) return void (await cancel(platform(), id));
    await eventually("it has ended", async () => {
      const { status, errorType } = await get(platform(), id);
      return status === "FAILED" && ["internal", "signal"].includes(errorType ?? "");
    });
  });
}

/** The end of one may have been the end of the next already. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
