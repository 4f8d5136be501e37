// Every example is run through the CLI, in a process of its own, against one running platform: what it prints is in
// the file beside it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Platform, startPlatform } from "../platform.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const cli = join(root, "cli", "bin", "syla.js");
const examples = join(root, "examples", "languages");

// A compiler that starts on an empty cache takes its time, and this machine may have other work.
const limits = ["--timeout", "120s", "--cpu-time", "120s", "--memory", "1GiB", "--pids", "256"];

let platform: Platform;

before(async () => {
  // Version managers keep their tools below the home folder.
  platform = await startPlatform({ environment: { HOME: homedir() } });
});

after(async () => {
  await platform.stop();
});

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function syla(args: readonly string[], input = ""): Promise<Result> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, SYLA_URL: platform.url };
    const child = spawn(process.execPath, [cli, ...args], { cwd: root, env });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

test("syla run runs the README's example", async () => {
  const { code, stdout, stderr } = await syla(["run", "examples/primes.py"]);
  assert.equal(stderr, "");
  assert.match(stdout, /25 primes below 100/);
  assert.equal(code, 0);
});

test("syla run reads a program from its standard input", async () => {
  const { code, stdout } = await syla(["run", "-l", "python", "-"], "print(6*7)\n");
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "42\n" });
});

for (const language of readdirSync(examples)) {
  test(`syla run prints what the ${language} example promises`, async (context) => {
    const folder = join(examples, language);
    const program = readdirSync(folder).find((name) => name !== "expected.txt");
    assert.ok(program !== undefined);
    const { code, stdout, stderr } = await syla(["run", ...limits, join(folder, program)]);
    if (/its ending says nothing|is not one of/.test(stderr)) {
      return context.skip(`${language} is not on this host`);
    }
    assert.equal(stderr, "");
    assert.equal(stdout, readFileSync(join(folder, "expected.txt"), "utf8"));
    assert.equal(code, 0);
    return undefined;
  });
}
