import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { equalSecrets, localKeyPath, openLocalKey } from "./local-key.ts";

const directory = await mkdtemp(join(tmpdir(), "syla-key-"));
after(() => rm(directory, { recursive: true }));
const path = localKeyPath(directory);

test("openLocalKey() makes a key that only its owner may read, and finds it again", async () => {
  const made = await openLocalKey(directory);
  assert.equal(made.path, path);
  const text = await readFile(path, "utf8");
  assert.match(text, /^syla_[0-9a-f]{64}\n$/);
  await chmod(path, 0o644);
  const found = await openLocalKey(directory);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.ok(made.matches(text.trim()) && found.matches(text.trim()));
  for (const wrong of ["", text, `${text.trim()}0`, text.trim().toUpperCase()]) {
    assert.ok(!found.matches(wrong));
  }
  assert.match(made.derive("a"), /^[0-9a-f]{64}$/);
  assert.equal(made.derive("a"), found.derive("a"));
  assert.notEqual(made.derive("a"), made.derive("b"));
  assert.ok(!JSON.stringify(found).includes(text.trim()));
});

test("openLocalKey() refuses a file with something else in it, and does not tell what", async () => {
  await writeFile(path, "syla_short");
  await assert.rejects(openLocalKey(directory), (error: Error) => {
    return error.message.includes(path) && !error.message.includes("syla_short");
  });
});

test("equalSecrets() compares texts of any length", () => {
  assert.ok(equalSecrets("ä", "ä"));
  assert.ok(!equalSecrets("a", "aa"));
});
