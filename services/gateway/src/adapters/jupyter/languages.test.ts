import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { SessionLanguageSchema } from "@syla/contract/syla/session/v1/language";
import { kernelspecs, languageInfo, languageOf } from "./languages.ts";

const languages = [
  create(SessionLanguageSchema, { name: "python", version: "3.11.2", aliases: ["py"] }),
  create(SessionLanguageSchema, { name: "r", version: "4.2.2" }),
  create(SessionLanguageSchema, { name: "newspeak", version: "1" }),
];

test("languageOf() knows kernelspecs, languages and aliases; none named is the default", () => {
  const names = ["python3", "python", "py", "", "ir", "newspeak"];
  assert.deepEqual(
    names.map((name) => languageOf(name, languages)?.name),
    ["python", "python", "python", "python", "r", "newspeak"],
  );
  assert.equal(languageOf("cobol", languages), undefined);
});

test("kernelspecs() has one for each language, also one that is not known here", () => {
  const { default: first, kernelspecs: specs } = kernelspecs(languages);
  assert.equal(first, "python3");
  assert.deepEqual(Object.keys(specs ?? {}), ["python3", "ir", "newspeak"]);
  assert.equal(languageInfo("newspeak", "1")["mimetype"], "text/plain");
  assert.equal(languageInfo("r", "4.2.2")["file_extension"], ".r");
});
