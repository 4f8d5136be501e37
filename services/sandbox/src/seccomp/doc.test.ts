import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { seccompPage } from "./doc.ts";
import { SYSCALLS } from "./syscalls.ts";

const page = new URL("../../../../docs/internals/seccomp.md", import.meta.url);

test("docs/internals/seccomp.md says what the filter does (UPDATE_DOCS=1 writes it)", () => {
  const rendered = seccompPage(SYSCALLS);
  if (process.env["UPDATE_DOCS"] === "1") writeFileSync(page, rendered);
  assert.equal(readFileSync(page, "utf8"), rendered);
});

test("seccompPage() has a line for each call", () => {
  const rendered = seccompPage(SYSCALLS);
  for (const { name } of SYSCALLS) assert.ok(rendered.includes(`\n| \`${name}\` | `), name);
});
