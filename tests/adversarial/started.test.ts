// Programs that are run by interpreters which were there before them: nothing passes from one to the next, or between
// two that come from one interpreter, and the end of what they come from is survived.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cancel, create, execute, get, python } from "../api.ts";
import { eventually } from "../e2e/shared.ts";
import { descendants, type Process } from "../host.ts";
import { assertFailed, assertSucceeded, unharmedPlatform } from "./unharmed.ts";

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

// Interpreters that wait where they are about to read their program.
const waiting = {
  ruby: {
    bend: "class String; def upcase = 'bent'; end\nENV['POISON'] = '1'; $poison = 1; $: << '/tmp'; puts 1",
    straight: "p 'a'.upcase, ENV['POISON'], $poison, $:.include?('/tmp')",
    unbent: '"A"\nnil\nnil\nfalse\n',
    draw: "require 'securerandom'; print Random.rand(2**64), ' ', SecureRandom.uuid, ' ', ''.hash, ' ', rand",
    other: { name: "other.rb", content: "print $0, ARGV, $VERBOSE, ENV['GIVEN']" },
    variables: { RUBYOPT: "-w" },
    shown: 'other.rb["a b"]trueyes',
    burn: "loop {}",
  },
  r: {
    bend: "assign('poison', 1, baseenv()[['.GlobalEnv']]); Sys.setenv(POISON = 1); options(digits = 3); setwd('/tmp'); cat(1)",
    straight: "exists('poison'); Sys.getenv('POISON'); getOption('digits'); getwd()",
    unbent: '[1] FALSE\n[1] ""\n[1] 7\n[1] "/work"\n',
    draw: "cat(sample(.Machine$integer.max, 1), runif(1), basename(tempdir()), format(as.numeric(Sys.time()), digits = 20))",
    other: {
      name: "other.r",
      content:
        "cat(commandArgs(TRUE), getOption('defaultPackages'), Sys.getenv('GIVEN'), sep = ',')",
    },
    variables: { R_DEFAULT_PACKAGES: "stats" },
    shown: "a b,stats,yes",
    burn: "repeat 1",
  },
  php: {
    bend: '<?php putenv("POISON=1"); ini_set("precision", "3"); $poison = 1; echo 1;',
    straight: '<?php var_dump(getenv("POISON"), isset($poison), ini_get("precision"));',
    unbent: 'bool(false)\nbool(false)\nstring(2) "14"\n',
    draw: '<?php echo mt_rand(), " ", bin2hex(random_bytes(8)), " ", lcg_value(), " ", uniqid("", true);',
    other: {
      name: "other.php",
      content: '<?php echo join(",", $argv), getenv("PHPRC"), getenv("GIVEN");',
    },
    variables: { PHPRC: "/tmp" },
    shown: "other.php,a b/tmpyes",
    burn: "<?php while (true) {}",
  },
};

for (const [language, { bend, straight, unbent, draw, ...given }] of Object.entries(waiting)) {
  test(`${language} that waited for its program is its program's alone`, async (context) => {
    const languages = await (await fetch(`${platform().url}/api/v1/languages`)).text();
    if (!languages.includes(`"name":"${language}"`))
      return context.skip(`${language} is not on this host`);
    const run = async (code: string) =>
      assertSucceeded(await execute(platform(), { language, code }));
    for (let round = 0; round < 3; round += 1) {
      await run(bend);
      assert.equal(await run(straight), unbent);
    }
    const rows = (await Promise.all(Array.from({ length: 6 }, () => run(draw)))).map((row) =>
      row.split(" "),
    );
    for (const column of rows[0]?.keys() ?? []) {
      assert.equal(new Set(rows.map((row) => row[column])).size, 6, `column ${column}`);
    }
    const env = { ...given.variables, GIVEN: "yes" };
    const other = { language, files: [given.other], args: ["a b"], env };
    assert.equal(assertSucceeded(await execute(platform(), other)), given.shown);
    const limits = { cpuTime: "0.5s", wallTime: "20s" };
    const burnt = await execute(platform(), { language, code: given.burn, limits });
    assertFailed(burnt, "cpu_time");
    return undefined;
  });
}

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
