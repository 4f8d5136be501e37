import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { buildAgent } from "./agent-build.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "agent-build-test-"));
});
after(() => rmSync(directory, { recursive: true, force: true }));

it("buildAgent() compiles once, also when asked twice at the same time", async () => {
  const [one, two] = await Promise.all([buildAgent({ directory }), buildAgent({ directory })]);
  assert.equal(one.path, two.path);
  assert.equal(
    readdirSync(directory).length,
    3,
    "the program and two libraries, and nothing half-made",
  );
  const made = statSync(one.path).mtimeMs;
  await buildAgent({ directory });
  assert.equal(statSync(one.path).mtimeMs, made);
});

it("buildAgent() says what to install when there is no compiler", async () => {
  const building = buildAgent({ directory, compiler: "no-such-cc" });
  await assert.rejects(building, /no C compiler "no-such-cc"; run: apt-get install/);
});
