import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { readSecrets } from "./secrets.ts";

const { signal } = new AbortController();

/** What a process that is started now has under a name. */
function inherited(name: string): string {
  const { stdout } = spawnSync(process.execPath, ["-p", `process.env["${name}"]`]);
  return stdout.toString().trim();
}

test("readSecrets() takes a variable out of the environment, so that nothing started here has it", async () => {
  process.env["SYLA_TEST_TOKEN"] = "hidden";
  assert.equal(inherited("SYLA_TEST_TOKEN"), "hidden");
  assert.deepEqual(await readSecrets(["SYLA_TEST_TOKEN"], signal), { SYLA_TEST_TOKEN: "hidden" });
  assert.equal(inherited("SYLA_TEST_TOKEN"), "undefined");
});
