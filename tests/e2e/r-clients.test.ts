// R as the clients of other products name it, and what the jail lets an R program see of its host's.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { KernelSpecAPI } from "@jupyterlab/services";
import { startOnTerminal } from "../../cli/src/terminal/fixture.ts";
import { execute as executeProgram } from "../api.ts";
import { pointAt, withInterpreter } from "../e2b-sdk.ts";
import { dataOf, execute, firstOf, Front, settingsFor } from "../jupyter-client.ts";
import { getOk, postOk } from "../sandbox-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const home = mkdtempSync(join(tmpdir(), "syla-r-"));
after(() => rmSync(home, { recursive: true, force: true }));

interface Offered {
  readonly languages: readonly { readonly name: string }[];
}

function withR(name: string, work: () => Promise<void>): void {
  test(name, async (context: TestContext) => {
    const { languages } = await getOk<Offered>(platform(), "/api/v1/languages");
    if (!languages.some((language) => language.name === "r")) {
      return context.skip("R is not on this host");
    }
    await work();
  });
}

withR("a program draws with the host's fonts, and leaves no files but its own", async () => {
  const code = [
    "png('plot.png', type = 'cairo'); plot(1, main = 'text'); invisible(dev.off())",
    "cat(list.files(all.files = TRUE, no.. = TRUE), '\\n')",
    "cat(file.exists(c('/etc/R/Renviron', '/etc/R/Renviron.site')), nchar(Sys.getenv('R_LIBS')), '\\n')",
  ].join("\n");
  const { status, stdout } = await executeProgram(platform(), { language: "Rscript", code });
  assert.deepEqual([status, stdout], ["SUCCEEDED", "main.r plot.png \nTRUE FALSE 0 \n"]);
});

withR("Piston's rscript and Judge0's 80 run R", async () => {
  const code = "words <- readLines('stdin')\ncat(rev(words), sep = '\\n')";
  for (const language of ["rscript", "r"]) {
    const body = { language, version: "4.x", files: [{ content: code }], stdin: "a\nb\n" };
    const { run, ...answer } = await postOk<{
      language: string;
      run: { stdout: string };
    }>(platform(), "/api/v2/execute", body);
    assert.deepEqual([answer.language, run.stdout], ["rscript", "b\na\n"]);
  }
  const submission = { source_code: code, language_id: 80, stdin: "a\nb\n" };
  const path = "/submissions?base64_encoded=false&wait=true";
  assert.equal((await postOk<{ stdout: string }>(platform(), path, submission)).stdout, "b\na\n");
});

withR("E2B's interpreter has contexts of R, with its charts as images", async () => {
  pointAt(platform());
  await withInterpreter(async (sandbox) => {
    const context = await sandbox.createCodeContext({ language: "r" });
    await sandbox.runCode("x <- data.frame(n = 1:3)", { context });
    const { results, text } = await sandbox.runCode("barplot(x$n)\nx", { context });
    assert.match(text ?? "", /^ {2}n\n1 1/);
    assert.match(results.find(({ isMainResult }) => isMainResult)?.html ?? "", /^<table>/);
    const chart = results.find(({ png }) => png !== undefined);
    assert.match(chart?.svg ?? "", /<svg/);
    const { error } = await sandbox.runCode("stop('wrong')", { language: "r" });
    assert.deepEqual([error?.name, error?.value], ["simpleError", "wrong"]);
  });
});

withR("Jupyter's kernelspec ir is R", async () => {
  const specs = await KernelSpecAPI.getSpecs(settingsFor(platform()));
  assert.match(specs.kernelspecs["ir"]?.display_name ?? "", /^R 4\.\d+\.\d+ \(Syla\)$/);
  const front = new Front(platform());
  try {
    await front.kernels.ready;
    const kernel = await front.kernels.startNew({ name: "ir" });
    assert.equal((await kernel.info).language_info.name, "r");
    const outcome = await execute(kernel, "plot(1); cat('out\\n'); matrix(1:4, 2)");
    assert.equal(outcome.stdout, "out\n");
    assert.match(String(dataOf(outcome)["text/html"]), /^<table>/);
    assert.match(String(dataOf(outcome, "display_data")["image/png"]), /^iVBOR/);
    const failed = await execute(kernel, "nowhere");
    assert.equal(firstOf(failed, "error")["evalue"], "object 'nowhere' not found");
    const whole = await kernel.requestIsComplete({ code: "f <- function(x) {" });
    assert.equal(whole.content.status, "incomplete");
    await kernel.shutdown();
  } finally {
    front.dispose();
  }
});

withR("syla repl r asks for more until a cell is whole, and keeps its variables", async () => {
  const env = { SYLA_URL: platform().url, XDG_STATE_HOME: home };
  const { saw, type, ended } = startOnTerminal(["repl", "r"], { env, cwd: home });
  await saw(">>> ");
  type("double <- function(n) {\r");
  await saw("... ");
  type("2 * n }\r");
  await saw(">>> ");
  type("double(readline(paste('How', 'many? ')))\r");
  await saw("How many? ");
  type("21\r");
  await saw("non-numeric argument");
  await saw(">>> ");
  type("repeat 1\r");
  await new Promise((resolve) => setTimeout(resolve, 300));
  type("\u0003");
  await saw("interrupt");
  await saw(">>> ");
  type("double(21)\r");
  await saw("[1] 42\r\n");
  type("\u0004");
  assert.equal((await ended).code, 0);
});
