import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type FakePlatform, startFakePlatform } from "@syla/sdk/fake-platform";
import { freshFolder, start, syla } from "./terminal/fixture.ts";

let platform: FakePlatform;
let env: Record<string, string>;
let id: string;
before(async () => {
  const hello = Promise.withResolvers<void>();
  platform = await startFakePlatform({
    programs: {
      "x = 1": async ({ stdout, cancelled }) => {
        stdout("begun\n");
        hello.resolve();
        await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
      },
    },
  });
  env = { SYLA_URL: platform.url };
  start(["run", "-l", "python", "-"], { env, input: "x = 1" }).child.unref();
  await hello.promise;
  id = [...platform.executions.keys()][0] ?? "";
});
after(() => platform.close());

test("syla --version prints the version", async () => {
  const { code, stdout } = await syla(["--version"]);
  assert.equal(code, 0);
  assert.match(stdout, /^syla \d+\.\d+\.\d+\n$/);
});

const names = [
  "run",
  "up",
  "doctor",
  "languages",
  "ps",
  "logs",
  "get",
  "shell",
  "sandbox",
  "cancel",
];

test("syla help lists every command, and each has a page with an example", async () => {
  const { stdout } = await syla(["help"]);
  for (const name of names) {
    assert.match(stdout, new RegExp(`^  ${name} `, "m"));
    const page = await syla([name, "--help"]);
    assert.equal(page.code, 0);
    assert.match(page.stdout, new RegExp(`^syla ${name}[^]*Examples:\n  [^]*syla ${name}`));
    assert.equal((await syla(["help", name])).stdout, page.stdout);
  }
});

test("an unknown command suggests the nearest", async () => {
  const { code, stderr } = await syla(["rnu"]);
  assert.equal(code, 2);
  assert.equal(stderr, "syla: There is no command 'rnu'. Did you mean 'run'? See 'syla help'.\n");
});

test("syla languages lists what the platform offers", async () => {
  const { stdout } = await syla(["languages"], { env });
  assert.match(stdout, /^python +3\.11\.2 +py +\.py +interpreted +21 ms$/m);
  const json = await syla(["languages", "--json"], { env });
  assert.equal(JSON.parse(json.stdout)[0].name, "c");
});

test("syla ps lists executions, and colours them only when asked to", async () => {
  const { stdout } = await syla(["ps"], { env });
  assert.match(stdout, new RegExp(`^${id}  RUNNING  python    [\\d.]+ m?s$`, "m"));
  const coloured = await syla(["ps"], { env: { ...env, FORCE_COLOR: "1" } });
  assert.ok(coloured.stdout.includes("\u001B["));
});

test("syla logs prints what was written so far", async () => {
  const { stdout } = await syla(["logs", id], { env });
  assert.equal(stdout, "begun\n");
});

test("syla get shows how an execution stands, and all of it with --json", async () => {
  assert.match((await syla(["get", id], { env })).stdout, /^status +RUNNING$/m);
  const json = await syla(["get", id, "--json"], { env });
  assert.equal(JSON.parse(json.stdout).stdout, "begun\n");
});

test("syla logs -f goes on to the end, which syla cancel brings", async () => {
  const { saw, ended } = start(["logs", "-f", id], { env });
  await saw("begun\n");
  const { stdout, code } = await syla(["cancel", id], { env });
  assert.deepEqual({ stdout, code }, { stdout: `${id} CANCELLED\n`, code: 0 });
  assert.equal((await ended).code, 0);
});

test("an execution that is not there is told with exit code 2", async () => {
  const { code, stderr } = await syla(["get", "0197a000-0000-7000-8000-999999999999"], { env });
  assert.deepEqual({ code, stderr }, { code: 2, stderr: "syla: There is no such execution.\n" });
});

test("syla ps without a platform says how to get one", async () => {
  const { code, stderr } = await syla(["ps"], { cwd: freshFolder() });
  assert.equal(code, 125);
  assert.match(stderr, /^syla: No platform is running here: start one with 'syla up'/);
});
