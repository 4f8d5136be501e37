import assert from "node:assert/strict";
import { test } from "node:test";
import { root } from "./repository.ts";
import { checkCode } from "./tidy-code.ts";
import { checkDocs } from "./tidy-docs.ts";
import { type Finding, withoutExceptions } from "./tidy-rules.ts";
import { checkText } from "./tidy-text.ts";

const opening = "// Says what it is about.\n";

function rules(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ rule, line }) => `${rule}:${line}`);
}

function code(text: string, path = "kit/src/x.ts"): readonly string[] {
  return rules(checkCode({ path, text }));
}

function textOf(text: string, path = "kit/src/x.ts"): readonly string[] {
  return rules(checkText({ path, text }));
}

test("checkCode() finds what may not be written", () => {
  assert.deepEqual(code("const a: any = 1;"), ["any:1"]);
  assert.deepEqual(code("const a = b!;"), ["non-null:1"]);
  assert.deepEqual(code("enum A { B }"), ["enum:1"]);
  assert.deepEqual(code("export default 1;"), ["default-export:1"]);
  assert.deepEqual(code("\nexport * from './y.ts';"), ["export-all:2"]);
  assert.deepEqual(code("const a = b as string;"), ["type-assertion:1"]);
  assert.deepEqual(code("const = 1;"), ["syntax:1"]);
});

test("checkCode() lets the same words stand where they mean something else", () => {
  assert.deepEqual(code("// any! enum\nconst a = 'x as any';"), []);
  assert.deepEqual(code("const a = [1] as const;"), []);
  assert.deepEqual(code("function parseRow(x: unknown) { return x as string; }"), []);
  assert.deepEqual(code("const parseRow = (x: unknown) => x as string;"), []);
  assert.deepEqual(
    code("class A { parse(x: unknown) { return [x].map((y) => y as string); } }"),
    [],
  );
});

test("checkCode() finds a function of 71 lines and lets one of 70 be", () => {
  const body = (lines: number) => `{${"\n".repeat(lines - 1)}}`;
  assert.deepEqual(code(`function f() ${body(71)}`), ["function-length:1"]);
  assert.deepEqual(code(`function f() ${body(70)}`), []);
  assert.deepEqual(code(`const f = () => ${body(71)};`), ["function-length:1"]);
  assert.deepEqual(code(`describe("a group of tests", () => ${body(200)});`), []);
});

test("checkCode() finds an export of a library that nothing explains", () => {
  assert.deepEqual(code("export function f() {}"), ["undocumented:1"]);
  assert.deepEqual(code("/* No doc. */\nexport const f = 1;"), ["undocumented:2"]);
  assert.deepEqual(code("/** Explained. */\nexport function f() {}"), []);
  assert.deepEqual(code("export interface ReadOptions { readonly a: string }"), []);
  assert.deepEqual(code("export function f() {}", "services/execution/src/x.ts"), []);
  assert.deepEqual(code("export function f() {}", "kit/src/x.test.ts"), []);
});

test("checkText() finds files that are too long, too wide or unexplained", () => {
  assert.deepEqual(textOf(opening + "\n".repeat(500)), ["file-length:500"]);
  assert.deepEqual(textOf(opening + "\n".repeat(498)), []);
  assert.deepEqual(textOf(`${opening}// ${"x ".repeat(60)}`), ["columns:2"]);
  assert.deepEqual(textOf(`${opening}const a = "${"x".repeat(120)}";`), []);
  assert.deepEqual(textOf("const a = 1;"), ["opening-comment:1"]);
  assert.deepEqual(textOf("const a = 1;", "kit/src/x.test.ts"), []);
});

test("checkText() finds unfinished work and tests left out", () => {
  assert.deepEqual(textOf(`${opening}// TODO: more`), ["unfinished:2"]);
  const leftOut = `${["test", "skip"].join(".")}("a", f);`;
  assert.deepEqual(textOf(opening + leftOut, "kit/src/x.test.ts"), ["skipped-test:2"]);
  assert.deepEqual(textOf(`${opening}if (!root) t.skip("no KVM");`, "kit/src/x.test.ts"), []);
});

test("checkText() finds the path of one machine and the host of one registry", () => {
  const home = ["", "home", "ada", "x"].join("/");
  assert.deepEqual(textOf(`${opening}const a = "${home}";`), ["machine-path:2"]);
  assert.deepEqual(textOf(`${opening}const a = "x${home}";`), []);
  const host = ["registry", "npmjs", "org"].join(".");
  assert.deepEqual(textOf(`${opening}// ${host}`), ["registry-host:2"]);
});

test("checkText() finds folders named for no role", () => {
  assert.deepEqual(textOf(opening, "kit/src/utils/x.ts"), ["folder-name:1"]);
  assert.deepEqual(textOf(opening, "kit/src/utils.ts"), []);
});

test("checkDocs() finds links that lead nowhere, and files and commands that are not there", () => {
  const things = { root, scripts: ["start"], commands: ["run"], files: ["kit/src/json/read.ts"] };
  const docs = (text: string) => rules(checkDocs({ path: "README.md", text }, things));
  assert.deepEqual(docs("[a](package.json) [b](https://example.org) [c](#d)\n# D"), ["link:1"]);
  assert.deepEqual(docs("[a](no/such/file.md)"), ["link:1"]);
  assert.deepEqual(docs("`json/read.ts`, `read.ts`\n`src/read.ts`"), ["file:2"]);
  assert.deepEqual(docs("```sh\nnpm ci && npm start\nnpx syla run x\n```"), []);
  assert.deepEqual(docs("```sh\nnpm run nothing\nnpx syla fly\n```"), ["command:2", "command:3"]);
  assert.deepEqual(docs("```sh\nnpx syla run examples/none.py\n```"), ["command:2"]);
});

test("withoutExceptions() excuses what is listed and reports what excuses nothing", () => {
  const finding = { rule: "any", path: "kit/src/x.ts", line: 1, message: "m" };
  const listed = { rule: "any", path: /^kit\/src\/x\.ts$/, reason: "because" };
  assert.deepEqual(withoutExceptions([finding], []), [finding]);
  assert.deepEqual(withoutExceptions([finding], [listed]), []);
  assert.deepEqual(rules(withoutExceptions([], [listed])), ["idle-exception:1"]);
});
