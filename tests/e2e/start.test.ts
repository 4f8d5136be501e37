// What a person sees who types the README's first command: the platform as a program in the foreground.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { makeDataDirectory } from "../platform.ts";

const main = fileURLToPath(new URL("../../services/platform/src/main.ts", import.meta.url));

function environment(data: string): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env;
  const cache = fileURLToPath(new URL("../../.cache/test/languages", import.meta.url));
  const own = { SYLA_DATA: data, SYLA_SANDBOX_CACHE_DIRECTORY: cache, LOG_LEVEL: "warn" };
  return { PATH, HOME, ...own, REST_PORT: "0", GRPC_PORT: "0" };
}

test("the platform greets with its languages, serves, and Ctrl-C leaves nothing of it", async () => {
  const data = makeDataDirectory();
  const child = spawn(process.execPath, [main], { env: environment(data) });
  let said = "";
  child.stdout.setEncoding("utf8");
  for await (const text of child.stdout) {
    said += String(text);
    if (said.includes("Ctrl-C stops it.")) break;
  }
  assert.match(said, /Syla .* runs code you do not trust/);
  assert.match(said, /^ {4}python +3\.\S+ \(\d/m);
  assert.match(said, /npx syla run/);
  const url = /(http:\/\/127\.0\.0\.1:\d+)\/docs/.exec(said)?.[1];
  assert.equal((await fetch(`${url}/health`)).status, 200);
  assert.ok(existsSync(join(data, "platform.json")));
  const exit = once(child, "exit");
  child.kill("SIGINT");
  assert.deepEqual(await exit, [0, null]);
  assert.ok(!existsSync(join(data, "platform.json")));
  assert.ok(!existsSync(join(data, "postgres", "postmaster.pid")));
  await assert.rejects(fetch(`${url}/health`));
  rmSync(data, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly stderr: string;
}

function run(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env }, (error, _stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stderr });
    });
  });
}

test("a setting that is wrong, and one that does not exist, are told at once and nothing starts", async () => {
  const data = makeDataDirectory();
  const file = join(data, "syla.toml");
  writeFileSync(file, "[server]\nrest_prot = 1\n");
  const env = { ...environment(data), SYLA_CONFIG: file, GRPC_PORT: "many" };
  const { code, stderr } = await run(env);
  assert.equal(code, 1);
  assert.match(stderr, /server\.rest_prot.*Did you mean server\.rest_port\?/);
  assert.match(stderr, /GRPC_PORT: expected a whole number/);
  assert.ok(!existsSync(join(data, "postgres")));
  rmSync(data, { recursive: true, force: true });
});
