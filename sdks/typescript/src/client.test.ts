import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { Execution_Status } from "@syla/contract/syla/execution/v1/execution";
import { createSyla } from "./client.ts";
import { type FakePlatform, startFakePlatform } from "./fake-platform.ts";

let platform: FakePlatform;
before(async () => {
  platform = await startFakePlatform({
    programs: { "print(6 * 7)": async ({ stdout }) => stdout("42\n") },
    commands: { python3: async ({ stdout }) => stdout("42\n") },
  });
});
after(() => platform.close());

for (const format of ["binary", "json"] as const) {
  test(`createSyla() makes typed clients that talk ${format}`, async () => {
    const syla = createSyla({ url: platform.url, format });
    const { languages } = await syla.repl.listLanguages({});
    assert.deepEqual(languages, ["c", "python"]);
    const spec = { language: "python", code: "print(6 * 7)" };
    const created = await syla.execution.createExecution({ spec });
    const last = (await Array.fromAsync(syla.followExecution(created.id))).at(-1);
    assert(last?.event.case === "finished");
    assert.equal(last.event.value.status, Execution_Status.SUCCEEDED);
  });
}

test("createSyla() sends the token with every call, and uses the fetch it is given", async () => {
  const seen: (string | null)[] = [];
  const recording: typeof fetch = (input, init) => {
    seen.push(new Headers(init?.headers).get("authorization"));
    return fetch(input, init);
  };
  const syla = createSyla({ url: platform.url, token: "s3cret", fetch: recording });
  await syla.repl.listLanguages({});
  assert.deepEqual(seen, ["Bearer s3cret"]);
});

test("createSyla() refuses a URL that is not one of HTTP", () => {
  assert.throws(() => createSyla({ url: "localhost:8080" }), { code: "invalid_configuration" });
});

test("a refused call throws the platform's own code and message", async () => {
  const syla = createSyla({ url: platform.url });
  const call = syla.execution.createExecution({ spec: { language: "cobol", code: "x" } });
  await assert.rejects(call, {
    name: "SylaError",
    code: "unknown_language",
    status: "invalid_argument",
    message: "There is no language 'cobol' here.",
  });
});

test("leaving a stream ends it on the platform", async () => {
  const syla = createSyla({ url: platform.url });
  const left = Promise.withResolvers<void>();
  const watching: typeof fetch = (input, init) => {
    init?.signal?.addEventListener("abort", () => left.resolve());
    return fetch(input, init);
  };
  const { id } = await syla.execution.createExecution({
    spec: { language: "python", code: "print(6 * 7)" },
  });
  const watched = createSyla({ url: platform.url, fetch: watching });
  for await (const _ of watched.execution.watchExecution({ id })) break;
  await left.promise;
});

/** The examples of a text, in the fences that Markdown and documentation comments share. */
function examples(file: string): string[] {
  const source = readFileSync(new URL(file, import.meta.url), "utf8").replaceAll(/^ \* ?/gm, "");
  return [...source.matchAll(/^```ts\n(.*?)^```/gms)].map((match) => match[1] ?? "");
}

const imports = 'import { createSyla, SylaError } from "@syla/sdk";\n';

for (const file of ["../README.md", "client.ts", "error.ts"]) {
  test(`the examples of ${file} run as they stand`, async () => {
    const found = examples(file);
    assert.notEqual(found.length, 0);
    for (const example of found) {
      const code = example.includes("import ") ? example : imports + example;
      const child = spawn(process.execPath, ["--input-type=module-typescript", "-"], {
        cwd: import.meta.dirname,
        env: { ...process.env, SYLA_URL: platform.url },
        stdio: ["pipe", "ignore", "pipe"],
      });
      child.stdin.end(code);
      const exited = new Promise((resolve) => child.on("exit", resolve));
      const stderr = await text(child.stderr);
      assert.equal(await exited, 0, `${stderr}\n${code}`);
    }
  });
}
