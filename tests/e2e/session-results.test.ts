// What cells show: values and figures by media type, as libraries and notebooks have it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { postOk } from "../sandbox-api.ts";
import {
  answer,
  deleteSession,
  followSession,
  formOf,
  interrupt,
  makeSession,
  type Result,
  runCell,
  sessionPath,
  streamCell,
  valueOf,
} from "../session-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

async function inSession(work: (id: string) => Promise<void>, spec: object = {}): Promise<void> {
  const { id } = await makeSession(platform(), spec);
  try {
    await work(id);
  } finally {
    await deleteSession(platform(), id);
  }
}

const types = ({ parts }: Result) => parts.map(({ mimeType }) => mimeType).toSorted();

test("a value has every form that its class gives, and several results have one main", () =>
  inSession(async (id) => {
    const code = `class Everything:
  def _repr_html_(self): return '<b>html</b>'
  def _repr_png_(self): return b'png'
  def _repr_svg_(self): return '<svg/>'
  def _repr_latex_(self): return '$x^2$'
  def _repr_json_(self): return {'a': [1, 2]}
  def _repr_markdown_(self): return '# md'
  def __repr__(self): return 'everything'
display('first')
Everything()`;
    const { results } = await runCell(platform(), id, code);
    assert.deepEqual(
      results.map(({ main }) => main),
      [false, true],
    );
    const main = results[1] ?? assert.fail("two results");
    assert.deepEqual(types(main), [
      ...["application/json", "image/png", "image/svg+xml", "text/html", "text/latex"],
      ...["text/markdown", "text/plain"],
    ]);
    assert.equal(formOf(main), "everything");
    assert.equal(formOf(main, "image/png"), Buffer.from("png").toString("base64"));
    assert.equal(formOf(main, "application/json"), '{"a": [1, 2]}');
    const bundle = `class Bundle:
  def _repr_mimebundle_(self, include=None, exclude=None):
    return {'text/plain': 'b', 'text/html': '<i>'}, {'text/html': {'wide': True}}
Bundle()`;
    const [own] = (await runCell(platform(), id, bundle)).results;
    assert.deepEqual(
      [formOf(own, "text/html"), own?.metadataJson],
      ["<i>", '{"text/html":{"wide":true}}'],
    );
  }));

test("the display functions and classes of IPython are there, whether it is or not", () =>
  inSession(async (id) => {
    const code = `from IPython.display import HTML, JSON, Latex, Markdown, Image
from IPython.display import display, clear_output, update_display
display(HTML('<b>'), Latex('$x$'), Markdown('# m'), JSON({'a': 1}), Image(b'\\x89PNG'))
handle = display('before', display_id='shown')
update_display('after', display_id='shown')`;
    const { results, status } = await runCell(platform(), id, code);
    assert.equal(status, "OK");
    const forms = ["text/html", "text/latex", "text/markdown", "application/json", "image/png"];
    for (const [at, mimeType] of forms.entries())
      assert.ok(formOf(results[at], mimeType), mimeType);
    assert.equal(formOf(results.at(-1)), "'after'");
    const cleared = await runCell(
      platform(),
      id,
      "print('a'); display(1); clear_output(); display(2)",
    );
    assert.deepEqual([cleared.stdout, cleared.results.map((one) => formOf(one))], ["", ["2"]]);
  }));

test("a figure of matplotlib is an image, with no set-up, and pandas has tables", async (t) => {
  await inSession(async (id) => {
    const found = valueOf(
      await runCell(
        platform(),
        id,
        "import importlib.util as u; [n for n in ('matplotlib', 'pandas') if u.find_spec(n)]",
      ),
    );
    t.diagnostic(`of matplotlib and pandas the interpreter has ${found}`);
    if (found?.includes("matplotlib")) {
      const { results } = await runCell(
        platform(),
        id,
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
      );
      assert.deepEqual(results.map(types), [["image/png", "text/plain"]]);
      assert.ok(formOf(results[0], "image/png")?.startsWith("iVBOR"));
      // It then asks the shell to be told of the ends of cells, and for windows.
      const late =
        "import IPython\nfrom IPython.core.display import HTML\n%matplotlib inline\nplt.ion()\n";
      const drawn = await runCell(platform(), id, `${late}plt.plot([2, 1]);`);
      assert.deepEqual(
        [drawn.status, drawn.results.map(types)],
        ["OK", [["image/png", "text/plain"]]],
      );
    } else {
      // What stands in for it has the same functions; that the hook is called is what is shown.
      const stand = `import os
os.makedirs('matplotlib', exist_ok=True)
open('matplotlib/__init__.py', 'w').close()
open('matplotlib/figure.py', 'w').write('''
class Figure:
  def savefig(self, file, format, bbox_inches): file.write(('<' + format + '>').encode())
''')
open('matplotlib/pyplot.py', 'w').write('''
from matplotlib.figure import Figure
figures = {}
def plot(*_): figures[len(figures) + 1] = Figure()
def get_fignums(): return list(figures)
def figure(number): return figures[number]
def close(one):
  for number, known in list(figures.items()):
    if known is one: del figures[number]
''')
import matplotlib.pyplot as plt
plt.plot([1]); plt.plot([2]);
os.environ['MPLBACKEND']`;
      const { results } = await runCell(platform(), id, stand);
      assert.deepEqual(results.map(types), [
        ["text/plain"],
        ["image/png", "text/plain"],
        ["image/png", "text/plain"],
      ]);
      assert.equal(formOf(results[1], "image/png"), Buffer.from("<png>").toString("base64"));
      const env = { SYLA_FIGURES: "svg" };
      const drawn = await runCell(platform(), id, "plt.plot([3])\nplt.show()", { env });
      assert.equal(formOf(drawn.results[0], "image/svg+xml"), "<svg>");
    }
    if (found?.includes("pandas")) {
      const { results } = await runCell(
        platform(),
        id,
        "import pandas as pd; pd.DataFrame({'a': [1]})",
      );
      assert.match(formOf(results[0], "text/html") ?? "", /<table/);
    }
  });
});

test("names are left clean, and what is displayed last is _", () =>
  inSession(async (id) => {
    const names = "' '.join(sorted(globals())), __import__('sys').argv, __name__";
    const clean = "__builtins__ __doc__ __loader__ __name__ __package__ __spec__";
    const value = valueOf(await runCell(platform(), id, names));
    assert.equal(value?.replaceAll(/\s+/g, " "), `('${clean}', [''], '__main__')`);
    await runCell(platform(), id, "40");
    assert.equal(valueOf(await runCell(platform(), id, "_ + 2")), "42");
    assert.equal(valueOf(await runCell(platform(), id, "Out[2] + _3")), "82");
    assert.deepEqual((await runCell(platform(), id, "5;")).results, []);
    assert.deepEqual((await runCell(platform(), id, "6", { silent: true })).results, []);
  }));

test("await works at the top, on one loop, and what was started on it goes on", () =>
  inSession(async (id) => {
    const code = `import asyncio
seen = []
async def later():
  await asyncio.sleep(0.05)
  seen.append('later')
async def begin():
  global task, loop
  loop, task = asyncio.get_running_loop(), asyncio.create_task(later())
await begin()`;
    assert.equal((await runCell(platform(), id, code)).status, "OK");
    assert.equal(
      valueOf(
        await runCell(
          platform(),
          id,
          "import time; time.sleep(0.1); await task; seen, loop is asyncio.get_event_loop()",
        ),
      ),
      "(['later'], True)",
    );
  }));

test("magics, shell lines and children are as in a notebook", () =>
  inSession(async (id) => {
    const lines = await runCell(
      platform(),
      id,
      "%cd /tmp\n!echo from the shell\nx = !echo caught\nx",
    );
    assert.deepEqual([lines.stdout, valueOf(lines)], ["/tmp\nfrom the shell\n", "['caught']"]);
    const cell = await runCell(platform(), id, "%%bash\necho $((6 * 7))");
    assert.equal(cell.stdout, "42\n");
    assert.equal((await runCell(platform(), id, "%matplotlib inline")).status, "OK");
    const names = await runCell(platform(), id, "_hidden = 1\nnames = %who_ls\n'_hidden' in names");
    assert.equal(valueOf(names), "False");
    const unknown = await runCell(platform(), id, "%nothing");
    assert.equal(unknown.error?.name, "UsageError");
    const forked =
      "import os, sys\nif os.fork() == 0:\n  print('child')\nelse:\n  os.wait(); print('parent')";
    const fork = await runCell(platform(), id, forked);
    assert.deepEqual([fork.stdout, fork.status], ["child\nparent\n", "OK"]);
    const c = "import ctypes; libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None);";
    assert.equal((await runCell(platform(), id, c)).stdout, "from C\n");
  }));

test("what a thread prints after its cell is that cell's", () =>
  inSession(async (id) => {
    const code = "import threading\nthreading.Timer(0.2, lambda: print('late')).start()";
    await runCell(platform(), id, code);
    const events = await followSession(
      await fetch(`${platform().url}${sessionPath(id, "/events")}`, {
        headers: { Accept: "text/event-stream" },
      }),
      ({ stdout }) => stdout !== undefined,
    );
    assert.deepEqual([events.at(-1)?.stdout?.text, events.at(-1)?.cell], ["late\n", 1]);
  }));

test("code can be completed, inspected and checked, and not while a cell runs", () =>
  inSession(async (id) => {
    await runCell(
      platform(),
      id,
      "variable = 5\ndef doubled(n: int) -> int:\n  '''Twice.'''\n  return 2 * n",
    );
    const ask = <T>(what: string, body: object) =>
      postOk<T>(platform(), sessionPath(id, `:${what}`), body);
    const completed = await ask("complete", { code: "1 + varia", cursor: 9 });
    assert.deepEqual(completed, { matches: ["variable"], start: 4, end: 9 });
    const { parts } = await ask<Result>("inspect", { code: "doubled(1)", cursor: 3 });
    assert.match(parts[0]?.text ?? "", /doubled\(n: int\) -> int[^]*Twice\./);
    for (const [code, verdict] of [
      ["1 + 1", "COMPLETE"],
      ["for x in y:", "INCOMPLETE"],
      ["await x", "COMPLETE"],
      ["1 +* 1", "INVALID"],
    ]) {
      assert.equal((await ask<{ verdict: string }>("check", { code })).verdict, verdict, code);
    }
  }));

const languages: Readonly<
  Record<string, readonly (readonly [code: string, value: string | undefined, stdout: string])[]>
> = {
  javascript: [
    ["const a = 1; let b = 2;", undefined, ""],
    ["const a = 40; a + b", "42", ""],
    ["import { sep, join as put } from 'node:path'; put('a', 'b') + sep", "'a/b/'", ""],
    [
      "const { EOL } = await import('node:os'); console.log(`${EOL.length} import x from 'y'`)",
      undefined,
      "1 import x from 'y'\n",
    ],
    ["class C { #x = 1; get x() { return this.#x } }; new C().x", "1", ""],
    [
      "require('node:child_process').execSync('echo child', { stdio: 'inherit' }); console.table([{ a: 1 }])",
      undefined,
      "child\n┌─────────┬───┐\n│ (index) │ a │\n├─────────┼───┤\n│ 0       │ 1 │\n└─────────┴───┘\n",
    ],
  ],
  typescript: [
    ["interface Point { x: number }\nconst p: Point = { x: 4 };\np.x as number", "4", ""],
    ["enum Colour { Red, Green }\nColour.Green", "1", ""],
  ],
  bash: [
    ['x=5; cd /tmp; f() { echo "f $1"; }', undefined, ""],
    ["f $x; pwd; false", "exit status 1", "f 5\n/tmp\n"],
    ["echo $?; cat", undefined, "1\n"],
    ["exit 3", "exit status 3", ""],
    ["echo still $x", undefined, "still 5\n"],
  ],
  ruby: [
    ["x = 5\ndef twice(n) = 2 * n", ":twice", ""],
    ["puts 'said'; twice(x)", "10", "said\n"],
    ["[1, { a: 2 }]", "[1, {:a=>2}]", ""],
  ],
};

for (const [language, cells] of Object.entries(languages)) {
  test(`a session of ${language} keeps its state, tells errors and is interrupted`, () =>
    inSession(
      async (id) => {
        for (const [code, value, stdout] of cells) {
          const cell = await runCell(platform(), id, code);
          assert.deepEqual([cell.status, valueOf(cell), cell.stdout], ["OK", value, stdout], code);
        }
        const loops = { bash: ["while :; do :; done", "sleep 1000"], ruby: ["loop {}", "sleep"] };
        const own = Object.entries(loops).find(([name]) => name === language)?.[1];
        for (const code of own ?? ["while (true) {}", "await new Promise(() => {})"]) {
          const { status } = await runCell(platform(), id, code, { timeout: "0.2s" });
          assert.equal(status, "INTERRUPTED", code);
        }
        if (language === "bash") return;
        const wrong =
          language === "ruby" ? "raise TypeError, 'wrong'" : "throw new TypeError('wrong')";
        const { error } = await runCell(platform(), id, wrong);
        assert.deepEqual([error?.name, error?.message], ["TypeError", "wrong"]);
        assert.ok(!error?.traceback.join("\n").includes("kernel"));
        const exit = language === "ruby" ? "exit 2" : "process.exit(2)";
        assert.equal((await runCell(platform(), id, exit)).status, "ERROR");
        assert.equal(valueOf(await runCell(platform(), id, "6 * 7")), "42");
      },
      { language },
    ));
}

for (const [language, code, sum] of [
  ["javascript", "const x = 41", "42"],
  ["typescript", "const x: number = 41", "42"],
  ["ruby", "x = 41", "42"],
  ["bash", "x=41", undefined],
] as const) {
  test(`expressions after a cell of ${language}, and cells that are not counted`, () =>
    inSession(
      async (id) => {
        const expressions = { sum: "x + 1", bad: "nothing.there" };
        const cell = await runCell(platform(), id, code, { uncounted: true, expressions });
        assert.deepEqual([cell.status, cell.executionCount], ["OK", undefined]);
        const [value, bad] = cell.expressions;
        assert.deepEqual(
          [value?.parts[0]?.text, bad?.error !== undefined],
          [sum, sum !== undefined],
        );
        assert.equal((await runCell(platform(), id, "1", { silent: true })).results.length, 0);
        assert.equal((await runCell(platform(), id, code)).executionCount, 1);
      },
      { language },
    ));
}

const asked: readonly (readonly [code: string, answers: readonly string[], stdout: string])[] = [
  [`read x; echo "[$x]"`, [" Ada  L "], "[Ada  L]\n"],
  [`read -rp 'Who? ' a b; echo "$a|$b"`, ["one two\\three 'x'"], "one|two\\three 'x'\n"],
  [`IFS=, read -ra all; echo \${#all[@]} "\${all[1]}"`, ["a,b c,d"], "3 b c\n"],
  [`while read -r l; do echo "<$l>"; done; echo end`, ["ü", "", "END"], "<ü>\n<>\nend\n"],
  [
    `read -n1 c; read rest; echo "$c+$rest"; read -N3 n; echo "$n"`,
    ["yes", "a", "b"],
    "y+es\na\nb\n",
  ],
  [`read -d . s; echo "$s"; read -t 9 t; echo $t`, ["a", "b.c"], "a\nb\nc\n"],
  [`read; v=$(read q; echo $q); (read k; echo "$REPLY $v $k")`, ["a ", "b", "c"], "a  b c\n"],
  [`set -eu; if read a && ! read b; then echo "$a"; fi; set +eu`, ["a", "END"], "a\n"],
  [
    `mapfile -t all; echo "\${all[*]}"; cat > f; wc -l < f`,
    ["a", "b", "END", "c", "END"],
    "a b\n1\n",
  ],
  [`select s in red blue; do [ -n "$s" ] && break; done; echo $s`, ["9", "", "2"], "blue\n"],
  [`f() { select s; do echo $s; break; done; }; f u v`, ["1"], "u\n"],
  // Nobody is asked for what comes from elsewhere.
  [`echo a | { read x; echo $x; }; read y <<<b; read z </dev/null; echo "$y$z$?"`, [], "a\nb1\n"],
  [`read -t 0; echo $?; echo x | cat; head -1; exec 7<<<c; read -u 7 w; echo $w`, [], "1\nx\nc\n"],
];

test("what bash reads is answered over the stream, in each form, and is at its end where nobody answers", () =>
  inSession(
    async (id) => {
      for (const [code, answers, stdout] of asked) {
        const left = [...answers];
        const prompts: string[] = [];
        const response = await streamCell(platform(), id, code, { input: true });
        const events = await followSession(response, async ({ inputRequest, cell }) => {
          if (inputRequest === undefined) return;
          prompts.push(inputRequest.prompt);
          const text = left.shift();
          const body = text === undefined || text === "END" ? { end: true } : { text };
          await answer(platform(), id, cell, body);
        });
        const printed = events.map((event) => event.stdout?.text ?? "").join("");
        assert.deepEqual([printed, left], [stdout, []], code);
        const prompt = code.includes("Who?") ? "Who? " : code.includes("select") ? "#? " : "";
        assert.deepEqual(prompts, Array(answers.length).fill(prompt), code);
      }
      const secret = await streamCell(platform(), id, "read -sp 'Päss \"?\" ' s; echo $s", {
        input: true,
      });
      const events = await followSession(secret, async ({ inputRequest, cell }) => {
        if (inputRequest === undefined) return;
        assert.deepEqual(inputRequest, { prompt: 'Päss "?" ', password: true });
        await interrupt(platform(), id);
        await answer(platform(), id, cell, { text: "late" }).catch(() => undefined);
      });
      assert.equal(events.at(-1)?.ended?.status, "INTERRUPTED");
      const none = await runCell(platform(), id, 'read x; echo "$? [$x]"; cat; echo $?');
      assert.deepEqual([none.status, none.stdout], ["OK", "1 []\n0\n"]);
    },
    { language: "bash" },
  ));

test("JavaScript shows forms, answers and rejected promises are heard", () =>
  inSession(
    async (id) => {
      const shown = await runCell(
        platform(),
        id,
        "display({ 'text/html': '<b>' }); ({ deep: [1, { b: 2n }] })",
      );
      assert.deepEqual(shown.results.map(types), [["text/html", "text/plain"], ["text/plain"]]);
      assert.equal(valueOf(shown), "{ deep: [ 1, { b: 2n } ] }");
      const last = await runCell(platform(), id, "const first = display('x')");
      const alone = await runCell(platform(), id, "display({ 'text/html': '<i>' })");
      assert.deepEqual(
        [last, alone].map(({ results }) => results.map(types)),
        [[["text/plain"]], [["text/html", "text/plain"]]],
      );
      const response = await streamCell(platform(), id, "`hello ${await input('Who? ')}`", {
        input: true,
      });
      const events = await followSession(response, async ({ inputRequest, cell }) => {
        if (inputRequest === undefined) return;
        await postOk(platform(), sessionPath(id, `/cells/${cell}:answer`), { text: "Ada" });
      });
      assert.equal(formOf(events.find(({ result }) => result)?.result), "'hello Ada'");
      await runCell(platform(), id, "Promise.reject(new Error('nobody listens')); 1");
      const after = await runCell(
        platform(),
        id,
        "await new Promise((done) => setTimeout(done, 50)); 2",
      );
      assert.equal(valueOf(after), "2");
      const cells = [4, 5, 6].map((cell) =>
        fetch(`${platform().url}${sessionPath(id, `/cells/${cell}`)}`),
      );
      const texts = await Promise.all(cells.map(async (one) => (await one).text()));
      assert.ok(texts.some((text) => text.includes("nobody listens")));
    },
    { language: "javascript" },
  ));
