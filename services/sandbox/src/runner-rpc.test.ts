import assert from "node:assert/strict";
import { test } from "node:test";
import { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import { createClient } from "@syla/kit/client";
import { createDispatcher } from "@syla/kit/dispatch";
import { createLog } from "@syla/kit/log";
import type { Language } from "./languages/languages.ts";
import { Offer } from "./languages/offer.ts";
import { runnerRpc } from "./runner-rpc.ts";

const python: Language = {
  ...{ name: "python", aliases: ["py"], version: "3.12.1", extensions: ["py"], binds: [], env: {} },
  ...{ defaultFile: "main.py", hello: "", memoryBytesMin: 0, pidsMin: 1 },
  run: () => [],
  fileFor: () => "main.py",
};

// A host that cannot isolate: everything but running works.
function brokenHost() {
  const log = createLog({ level: "silent", name: "test" });
  const offer = new Offer([python], log, new AbortController().signal);
  const runner = { unavailable: "mkdir /sys/fs/cgroup/secret: EACCES" };
  const rpc = runnerRpc({ offer, runner, limits: "cgroup", dataDirectory: "/nonexistent" });
  return createClient(RunnerService, createDispatcher([rpc], []));
}

test("a host that cannot isolate runs nothing, and says so without naming its folders", async () => {
  const client = brokenHost();
  const events = client.run({ language: "python" })[Symbol.asyncIterator]();
  for (const refused of [events.next(), client.getLanguage({ language: "python" })]) {
    await assert.rejects(refused, (error: Error) => {
      assert.match(error.message, /no working isolation.*npx syla doctor/);
      assert.doesNotMatch(error.message, /secret/);
      return "code" in error && error.code === "sandbox_unavailable";
    });
  }
});

test("a host that cannot isolate still lists its languages", async () => {
  const { languages } = await brokenHost().listLanguages({});
  assert.deepEqual(
    languages.map(({ name, version }) => [name, version]),
    [["python", "3.12.1"]],
  );
});
