// Programs of a language in a sandbox: which processes they are, and that those processes do it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { post, refusal } from "../api.ts";
import { makeSandbox, pathOf, postOk, type Ran } from "../sandbox-api.ts";
import { sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

interface Spec {
  readonly command: string;
  readonly args: readonly string[];
}

interface Plan {
  readonly file: string;
  readonly compile?: Spec;
  readonly run: Spec;
}

const plan = (id: string, body: object) =>
  postOk<Plan>(platform(), pathOf(id, "/processes:plan"), body);
const run = (id: string, spec: Spec) => postOk<Ran>(platform(), pathOf(id, "/processes:run"), spec);

async function write(id: string, path: string, content: string): Promise<void> {
  await postOk(platform(), pathOf(id, "/files:write"), { files: [{ path, content }] });
}

test("a program is compiled and run by the processes that its plan names", async () => {
  const { id } = await makeSandbox(platform());
  const code = '#include <stdio.h>\nint main(int c, char **v) { printf("%s\\n", v[1]); }';
  const { file, compile, run: program } = await plan(id, { language: "c", code, args: ["$x"] });
  assert.ok(compile !== undefined);
  await write(id, file, code);
  assert.equal((await run(id, compile)).process.exitCode, 0);
  assert.equal((await run(id, program)).stdout, "$x\n");
});

test("a plan has no compiler where none is needed, and names the file as the language wants it", async () => {
  const { id } = await makeSandbox(platform(), { language: "python" });
  const { file, compile, run: program } = await plan(id, { files: ["-my.py", "lib.py"] });
  assert.deepEqual([file, compile], ["-my.py", undefined]);
  await write(id, file, "print(6 * 7)");
  assert.equal((await run(id, program)).stdout, "42\n");
});

test("a plan has a file where its code says that it is to be", async (t) => {
  const languages = await (await fetch(`${platform().url}/api/v1/languages`)).text();
  if (!languages.includes('"name":"java"')) return t.skip("java is not on this host");
  const all = await makeSandbox(platform());
  const java = await plan(all.id, { language: "java", code: "package a.b;\npublic class Hi {}" });
  assert.equal(java.file, "a/b/Hi.java");
});

test("a language that is not in the sandbox has no plan", async () => {
  const python = await makeSandbox(platform(), { language: "python" });
  const none = await makeSandbox(platform());
  const refused = async (id: string, body: object, code: string) => {
    await refusal(await post(platform(), pathOf(id, "/processes:plan"), body), 400, code);
  };
  await refused(python.id, { language: "javascript" }, "invalid_request");
  await refused(none.id, {}, "invalid_request");
  await refused(none.id, { language: "cobol" }, "unknown_language");
});
