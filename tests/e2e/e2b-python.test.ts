// E2B's official SDKs for Python, synchronous and not, as their users point them here: three variables and no change.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { clientVariables } from "../e2b-sdk.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const program = fileURLToPath(new URL("./e2b-clients.py", import.meta.url));
/** Where tools/setup.ts --tests puts them. */
const packages = fileURLToPath(new URL("../../.cache/test/python", import.meta.url));

const promises = {
  sandboxes: "sandboxes are made, listed page by page, found again, paused and ended",
  commands: "commands run with input, output as it comes, in the background and in terminals",
  files: "files are written, read, watched, and reached by signed addresses",
  code: "code runs in contexts, and its results are told to programs",
  together: "all of it is there for asynchronous programs",
};

for (const [name, promise] of Object.entries(promises)) {
  test(`from Python, ${promise}`, async (t) => {
    if (!existsSync(packages)) return t.skip("e2b is not on this host");
    const env = { ...process.env, ...clientVariables(platform()), PYTHONPATH: packages };
    const run = promisify(execFile)("/usr/bin/python3", [program, name], { env, timeout: 90_000 });
    await assert.doesNotReject(run);
  });
}
