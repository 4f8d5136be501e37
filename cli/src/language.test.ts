import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { detectLanguage, findLanguage } from "./language.ts";

const languages = [
  { name: "python", aliases: ["py", "python3"], extensions: ["py"] },
  { name: "bash", aliases: ["sh"], extensions: ["sh"] },
  { name: "c", aliases: ["gcc"], extensions: ["c"] },
  { name: "cpp", aliases: ["c++"], extensions: ["cpp", "C"] },
].map((each) => create(LanguageSchema, each));

function detect(path: string, source = ""): string {
  return detectLanguage(path, Buffer.from(source), languages).name;
}

test("detectLanguage() goes by the ending, in which case may matter", () => {
  const found = ["a.py", "A.PY", "main.c", "main.C", "dir.c/b.sh"].map((path) => detect(path));
  assert.deepEqual(found, ["python", "python", "c", "cpp", "bash"]);
});

test("detectLanguage() else goes by the interpreter on the first line", () => {
  const lines = [
    "#!/bin/sh",
    "#!/usr/bin/env python3",
    "#! /usr/local/bin/python3.11 -u",
    "#!/usr/bin/env -S A=1 python -u",
  ];
  const found = lines.map((line) => detect("script", `${line}\nrest`));
  assert.deepEqual(found, ["bash", "python", "python", "python"]);
  assert.equal(detect("odd.py", "#!/bin/sh\n"), "python");
});

test("detectLanguage() says which interpreter is not offered", () => {
  assert.throws(() => detect("script", "#!/usr/bin/awk -f\n"), {
    message: /'awk' is not here\. Give it with -l; there are python, bash, c, cpp\./,
  });
});

test("findLanguage() takes names and aliases in any case", () => {
  const found = ["Python", "py", "C++"].map((name) => findLanguage(name, languages).name);
  assert.deepEqual(found, ["python", "python", "cpp"]);
});
