import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { archivedLanguages, findLanguage, offeredLanguages } from "./languages.ts";

const languages = ["3.11.2", "3.12.1", "3.8.18"].map((version) =>
  create(LanguageSchema, { name: "python", version }),
);

test("a number gets the version that it names, else the default, and says which", () => {
  const found = (id: number) => {
    const one = findLanguage(languages, id);
    return typeof one === "object" ? [one.own.version, one.name] : one;
  };
  assert.deepEqual(found(71), ["3.8.18", "Python (3.8.18)"]);
  assert.deepEqual(found(100), ["3.12.1", "Python (3.12.1)"]);
  assert.deepEqual(found(109), ["3.11.2", "Python (3.11.2)"]);
  assert.equal(found(62), "archived");
  assert.equal(found(1), undefined);
});

test("a language that the host does not have is archived, and every number is in one list", () => {
  const offered = offeredLanguages(languages).map(({ id }) => id);
  assert.deepEqual(offered, [71, 92, 100, 109]);
  const archived = archivedLanguages(languages).map(({ id }) => id);
  for (const id of [46, 50, 54, 60, 62, 63, 64, 68, 72, 73, 74, 85, 89]) {
    assert.ok(archived.includes(id), String(id));
  }
  assert.equal(new Set([...offered, ...archived]).size, offered.length + archived.length);
});
