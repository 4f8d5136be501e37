import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Failure } from "../failure.ts";
import { readTemplateFile } from "./file.ts";

const folder = mkdtempSync(join(tmpdir(), "syla-template-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function written(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

test("a template's file has the fields of the contract, sizes and times, and files from here", async () => {
  mkdirSync(join(folder, "src/deep"), { recursive: true });
  writeFileSync(join(folder, "src/run.sh"), "echo run", { mode: 0o755 });
  writeFileSync(join(folder, "src/deep/data"), Buffer.from([0, 255]));
  const spec = await readTemplateFile(
    written(
      "Analysis.toml",
      `language = "python"
commands = ["true"]
network = "allow:pypi.org"
timeout = "2m"
files = [{ path = "app", source = "src" }, { path = "note", content = "text", mode = "600" }]
[packages]
pip = ["tiny==1.0"]
[env]
MODE = "fast"
[limits]
memory = "512MiB"
pids = 20`,
    ),
  );
  assert.deepEqual(
    [spec.name, spec.language, spec.commands, spec.packages?.pip, spec.env],
    ["analysis", "python", ["true"], ["tiny==1.0"], { MODE: "fast" }],
  );
  assert.equal(spec.timeout && durationMs(spec.timeout), 120_000);
  assert.deepEqual(spec.network?.allow[0]?.target, { case: "domain", value: "pypi.org" });
  const { memoryBytes, diskBytes, pids } = spec.limits ?? {};
  assert.deepEqual([memoryBytes, diskBytes, pids], [536_870_912n, 0n, 20]);
  assert.deepEqual(
    spec.files.map(({ path, mode, body }) => [
      path,
      mode,
      Buffer.from(body.value ?? "").toString(),
    ]),
    [
      ["app/deep/data", 0o644, Buffer.from([0, 255]).toString()],
      ["app/run.sh", 0o755, "echo run"],
      ["note", 0o600, "text"],
    ],
  );
});

test("the same as JSON is the same", async () => {
  const spec = { name: "named", files: [{ path: "a", content: "b" }], directory: "src" };
  const read = await readTemplateFile(written("any.json", JSON.stringify(spec)));
  assert.deepEqual([read.name, read.directory, read.files[0]?.body.value], ["named", "src", "b"]);
});

for (const [what, name, text, said] of [
  ["no TOML", "a.toml", "name = ", /^Cannot read '.*a\.toml': Invalid TOML/],
  ["no JSON", "a.json", "{", /^Cannot read '.*a\.json': /],
  ["no table", "b.json", "[]", /it is not a table/],
  ["an unknown field", "c.toml", "comands = []", /unknown/],
  ["an unknown limit", "d.toml", "[limits]\ncpu = 1", /There is no limit 'cpu'/],
  ["a file without a path", "e.toml", 'files = [{ content = "" }]', /A file has no path/],
  ["a file without content", "f.toml", 'files = [{ path = "x" }]', /'x' has no content/],
  ["a file with more", "g.toml", 'files = [{ path = "x", url = "" }]', /A file has no 'url'/],
  ["a file that is not here", "h.toml", 'files = [{ path = "x", source = "y" }]', /no such file/],
] as const) {
  test(`${what} is the user's mistake, and told`, async () => {
    await assert.rejects(readTemplateFile(written(name, text)), (error: unknown) => {
      assert.ok(error instanceof Failure);
      assert.match(error.message, said);
      assert.equal(error.exitCode, 2);
      return true;
    });
  });
}
