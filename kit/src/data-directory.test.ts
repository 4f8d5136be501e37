import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findOwner, openDataDirectory } from "./data-directory.ts";

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "syla-data-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, "data");
}

test("a data folder is held by one process, which is named to the next with its URL", async (t) => {
  const path = await temporary(t);
  const held = await openDataDirectory(path);
  await held.announce("http://127.0.0.1:8080");
  await assert.rejects(openDataDirectory(path), {
    code: "already_running",
    message: new RegExp(`process ${process.pid} holds it and serves http://127.0.0.1:8080`),
  });
  assert.deepEqual(await findOwner(path), { pid: process.pid, url: "http://127.0.0.1:8080" });
  await held.close();
  assert.equal(await findOwner(path), undefined);
  await (await openDataDirectory(path)).close();
});

test("a data folder is for its user only", async (t) => {
  const path = await temporary(t);
  const held = await openDataDirectory(path);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.equal((await stat(join(path, "platform.json"))).mode & 0o777, 0o600);
  await held.close();
});

test("the hold of a killed process ends with it", async (t) => {
  const path = await temporary(t);
  const program = `
    const { openDataDirectory } = await import(${JSON.stringify(import.meta.resolve("./data-directory.ts"))});
    await openDataDirectory(${JSON.stringify(path)});
    console.log("held");
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  await assert.rejects(openDataDirectory(path), {
    code: "already_running",
    message: new RegExp(`process ${child.pid} `),
  });
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.match(await readFile(join(path, "platform.json"), "utf8"), /pid/);
  assert.equal(await findOwner(path), undefined);
  await (await openDataDirectory(path)).close();
});
