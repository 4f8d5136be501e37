// Sessions of R: what R itself has at its prompt, and what notebooks add: tables, figures, input.
import assert from "node:assert/strict";
import { test } from "node:test";
import { getOk, postOk } from "../sandbox-api.ts";
import {
  deleteSession,
  followSession,
  formOf,
  makeSession,
  restart,
  type Result,
  runCell,
  sessionPath,
  streamCell,
  valueOf,
} from "../session-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

interface Offered {
  readonly languages: readonly { readonly name: string }[];
}

async function isHere(): Promise<boolean> {
  const { languages } = await getOk<Offered>(platform(), "/api/v1/languages");
  return languages.some(({ name }) => name === "r");
}

async function inSession(work: (id: string) => Promise<void>): Promise<void> {
  const { id } = await makeSession(platform(), { language: "R" });
  try {
    await work(id);
  } finally {
    await deleteSession(platform(), id);
  }
}

const png = "iVBORw0KGgo";
const images = (results: readonly Result[]) =>
  results.filter((one) => formOf(one, "image/png") !== undefined);

const cases: Readonly<Record<string, (id: string) => Promise<void>>> = {
  "R keeps its variables, prints what is visible, and the last value is the cell's": async (id) => {
    const run = (code: string) => runCell(platform(), id, code);
    assert.deepEqual((await run("x <- 20\ndouble <- function(n) 2 * n")).results, []);
    const cell = await run("x; cat('é\\n'); message('told'); double(x) + 2");
    assert.deepEqual(
      [cell.status, cell.stdout, cell.stderr, valueOf(cell)],
      ["OK", "[1] 20\né\n", "told\n", "[1] 42"],
    );
    assert.equal(valueOf(await run(".Last.value")), "[1] 42");
    assert.deepEqual((await run("invisible(7)")).results, []);
    assert.equal(valueOf(await run("double")), "function(n) 2 * n");
    assert.equal(valueOf(await run("ls()")), '[1] "double" "x"     ');
    assert.equal(valueOf(await run("getwd()")), '[1] "/work"');
    const env = { GIVEN: 'é "quoted" \\ text' };
    const given = await runCell(platform(), id, "cat(Sys.getenv('GIVEN'))", { env });
    assert.equal(given.stdout, env.GIVEN);
    assert.equal((await run("cat(Sys.getenv('GIVEN'))")).stdout, "");
  },

  "R shows data frames and matrices as tables too, with their text escaped": async (id) => {
    const code = "data.frame(n = 1:2, text = c('<b>&\"', NA), row.names = c('a', '<i>'))";
    const { results } = await runCell(platform(), id, code);
    assert.equal(formOf(results[0], "text/plain")?.split("\n").length, 3);
    const rows = [
      "<thead><tr><th></th><th>n</th><th>text</th></tr></thead>",
      "<tbody>",
      "<tr><th>a</th><td>1</td><td>&lt;b&gt;&amp;&quot;</td></tr>",
      "<tr><th>&lt;i&gt;</th><td>2</td><td>NA</td></tr>",
    ];
    assert.ok(formOf(results[0], "text/html")?.includes(rows.join("\n")));
    const matrix = await runCell(platform(), id, "matrix(1:20000, 200)");
    const html = formOf(matrix.results[0], "text/html") ?? "";
    assert.equal(html.split("<tr>").length - 1, 61, "60 rows, and one for those left out");
  },

  "R shows each page that is drawn as PNG and SVG, when it is finished": async (id) => {
    const code =
      "plot(1:3)\nlines(3:1)\nplot(2)\npar(mfrow = c(1, 2)); plot(1); hist(c(1, 2, 3))\n'done'";
    const { results, status } = await runCell(platform(), id, code);
    assert.equal(status, "OK");
    const pages = images(results);
    assert.equal(pages.length, 3);
    for (const page of pages) {
      assert.ok(formOf(page, "image/png")?.startsWith(png));
      assert.match(formOf(page, "image/svg+xml") ?? "", /^<\?xml[^]*<svg[^]*<\/svg>\s*$/);
    }
    assert.equal(formOf(results.find(({ main }) => main)), '[1] "done"');
    const grid = "library(grid); grid.newpage(); grid.rect(); grid.newpage(); grid.circle()";
    assert.equal(images((await runCell(platform(), id, grid)).results).length, 2);
    const own = await runCell(platform(), id, "png('own.png'); plot(1); invisible(dev.off())");
    assert.deepEqual(own.results, [], "a device of the cell's own is its own");
    const env = { SYLA_FIGURES: "svg" };
    const alone = (await runCell(platform(), id, "plot(1); dev.off()", { env })).results;
    assert.deepEqual(
      alone.flatMap(({ parts }) => parts.map(({ mimeType }) => mimeType)).toSorted(),
      ["image/svg+xml", "text/plain", "text/plain"],
    );
  },

  "R tells errors by class with their calls, and warnings as it does at its prompt": async (id) => {
    await runCell(platform(), id, "f <- function(x) {\n  g(x)\n}\ng <- function(x) stop('wrong')");
    const { error, status } = await runCell(platform(), id, "f(1)");
    assert.equal(status, "ERROR");
    assert.deepEqual(
      [error?.name, error?.message, error?.traceback],
      [
        "simpleError",
        "wrong",
        [
          "Error in g(x) : wrong",
          '3: stop("wrong") at <cell 1>#4',
          "2: g(x) at <cell 1>#2",
          "1: f(1) at <cell 2>#1",
        ],
      ],
    );
    const own =
      "stop(structure(list(message = 'm', call = NULL), class = c('mine', 'error', 'condition')))";
    assert.equal((await runCell(platform(), id, own)).error?.name, "mine");
    const parse = (await runCell(platform(), id, "1\na b")).error;
    assert.match(parse?.message ?? "", /^<cell 4>:2:3: unexpected symbol/);
    const warned = await runCell(platform(), id, "as.integer('x')\nwarning('of its own')");
    assert.deepEqual(
      [warned.status, warned.stderr],
      ["OK", "Warning message:\nNAs introduced by coercion\nWarning message:\nof its own\n"],
    );
    const deep = await runCell(platform(), id, "h <- function(n) h(n + 1); h(1)");
    assert.equal(deep.status, "ERROR");
    assert.equal(valueOf(await runCell(platform(), id, "class(f)")), '[1] "function"');
  },

  "R evaluates expressions after a cell, and does not count one that is not to be": async (id) => {
    const expressions = { sum: "x + 1", ünï: "c(1, 2)", bad: "nowhere" };
    const cell = await runCell(platform(), id, "x <- 41", { uncounted: true, expressions });
    assert.deepEqual([cell.status, cell.executionCount], ["OK", undefined]);
    const values = Object.fromEntries(
      cell.expressions.map(({ name, parts, error }) => [name, parts[0]?.text ?? error?.message]),
    );
    const bad = "object 'nowhere' not found";
    assert.deepEqual(values, { sum: "[1] 42", ünï: "[1] 1 2", bad });
    assert.equal((await runCell(platform(), id, "x", { silent: true })).results.length, 0);
    assert.equal((await runCell(platform(), id, "x")).executionCount, 1);
  },

  "R is interrupted in a loop, in a pause and while it asks, and keeps its state": async (id) => {
    await runCell(platform(), id, "kept <- 1");
    for (const code of ["repeat kept <- kept + 1", "Sys.sleep(1000)", "readline()"]) {
      const cell = await runCell(platform(), id, code, { timeout: "0.3s", input: true });
      assert.deepEqual([cell.status, cell.error?.name], ["INTERRUPTED", "interrupt"], code);
    }
    assert.equal(valueOf(await runCell(platform(), id, "kept > 1")), "[1] TRUE");
  },

  "R asks whoever runs the cell, by all that reads standard input": async (id) => {
    const code = [
      "name <- readline('Name? ')",
      "more <- readLines(file('stdin'), n = 1)",
      "numbers <- scan(quiet = TRUE)",
      "paste(name, more, sum(numbers))",
    ].join("\n");
    const answers = ['Ada "é" \\', "Lovelace", "1 2", "3", ""];
    const response = await streamCell(platform(), id, code, { input: true });
    const prompts: string[] = [];
    const events = await followSession(response, async ({ inputRequest, cell }) => {
      if (inputRequest === undefined) return;
      prompts.push(inputRequest.prompt);
      const text = answers.shift() ?? "";
      await postOk(platform(), sessionPath(id, `/cells/${cell}:answer`), { text });
    });
    const { result } = events.find((event) => event.result !== undefined) ?? {};
    assert.deepEqual(
      [formOf(result), prompts],
      ['[1] "Ada \\"é\\" \\\\ Lovelace 6"', ["Name? ", "", "", "", ""]],
    );
    const { error } = await runCell(platform(), id, "readline('Anybody? ')");
    assert.match(error?.message ?? "", /nobody answers/);
    assert.equal(valueOf(await runCell(platform(), id, "readLines(stdin())")), "character(0)");
  },

  "R can be completed, inspected and checked, and restarts without what was there": async (id) => {
    await runCell(platform(), id, "own_variable <- 5");
    const ask = <T>(what: string, body: object) =>
      postOk<T>(platform(), sessionPath(id, `:${what}`), body);
    const completed = await ask("complete", { code: "é\n1 + own_v", cursor: 11 });
    assert.deepEqual(completed, { matches: ["own_variable"], start: 6, end: 11 });
    const { parts } = await ask<Result>("inspect", { code: "mean(1)", cursor: 2 });
    assert.match(parts[0]?.text ?? "", /mean\(x, \.\.\.\)[^]*Arithmetic Mean/);
    for (const [code, verdict] of [
      ["1 + 1", "COMPLETE"],
      ["f <- function(x) {", "INCOMPLETE"],
      ["x <- 'text", "INCOMPLETE"],
      ["1 +", "INCOMPLETE"],
      ["a b", "INVALID"],
    ]) {
      assert.equal((await ask<{ verdict: string }>("check", { code })).verdict, verdict, code);
    }
    await restart(platform(), id);
    assert.equal(valueOf(await runCell(platform(), id, "exists('own_variable')")), "[1] FALSE");
  },

  "R ends a cell that quits, and no cell loses what the session needs": async (id) => {
    await runCell(platform(), id, "kept <- 1");
    const quit = await runCell(platform(), id, "quit(status = 3)");
    assert.deepEqual([quit.status, quit.error?.message], ["ERROR", "quit(status = 3)"]);
    const codes = [
      "closeAllConnections()",
      "rm(list = ls(all.names = TRUE)[0])",
      "unlist(parallel::mclapply(1:2, function(n) { plot(n); n }))",
      "Sys.setlocale('LC_ALL', 'C')",
      "system('cat; exit 0')",
      "print <- function(...) stop('mine'); rm(print)",
    ];
    for (const code of codes)
      assert.equal((await runCell(platform(), id, code)).status, "OK", code);
    assert.equal(valueOf(await runCell(platform(), id, "kept; nchar('é')")), "[1] 1");
    assert.equal(
      (await runCell(platform(), id, "display(list(`text/html` = '<b>'))")).status,
      "OK",
    );
  },
};

for (const [name, work] of Object.entries(cases)) {
  test(name, async (context) => {
    if (!(await isHere())) return context.skip("R is not on this host");
    await inSession(work);
  });
}
