import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { parseDiagnosis, renderDiagnosis } from "./doctor.ts";

const diagnosis = {
  capabilities: [
    { name: "bubblewrap", ok: true, required: true, detail: "0.8.0", remedy: "" },
    { name: "cgroups", ok: false, required: false, detail: "not delegated", remedy: "run as root" },
  ],
  languages: [{ name: "python", version: "3.11.2", firstRunMs: 12.3, note: "" }],
};

function render(report: unknown): string {
  return stripVTControlCharacters(renderDiagnosis(parseDiagnosis(JSON.stringify(report))));
}

test("renderDiagnosis() has one line for each capability, with how to get what is missing", () => {
  assert.equal(
    render(diagnosis),
    `ok       bubblewrap  0.8.0
without  cgroups     not delegated → run as root

python  3.11.2  first run in 12 ms

This host can run programs.
`,
  );
});

test("renderDiagnosis() names what is needed and missing", () => {
  const bwrap = {
    ...diagnosis.capabilities[0],
    ok: false,
    detail: "not found",
    remedy: "apt-get install bubblewrap",
  };
  const text = render({ capabilities: [bwrap], languages: [] });
  assert.match(text, /^missing {2}bubblewrap {2}not found → apt-get install bubblewrap$/m);
  assert.match(text, /^This host cannot run programs: bubblewrap missing\.$/m);
});
