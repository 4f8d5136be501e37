import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { type DataDirectory, openDataDirectory } from "./data-directory.ts";
import { createLog } from "./log.ts";
import { startPostgres } from "./postgres.ts";
import { processesOf } from "./postgres-orphans.ts";

const log = createLog({ name: "test", level: "silent" });

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "syla-postgres-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query({ text, rowMode: "array" });
    return rows.flat();
  } finally {
    await client.end();
  }
}

async function opened(t: TestContext, path: string): Promise<DataDirectory> {
  const directory = await openDataDirectory(path);
  t.after(() => directory.close());
  return directory;
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail("it did not come to hold within 10 s");
}

// Another platform, as a process of its own that only prints the database's URL.
async function startElsewhere(path: string): Promise<{ child: ChildProcess; url: string }> {
  const program = `
    const { openDataDirectory } = await import(${JSON.stringify(import.meta.resolve("./data-directory.ts"))});
    const { startPostgres } = await import(${JSON.stringify(import.meta.resolve("./postgres.ts"))});
    const { createLog } = await import(${JSON.stringify(import.meta.resolve("./log.ts"))});
    const dataDirectory = await openDataDirectory(${JSON.stringify(path)});
    const log = createLog({ name: "other", level: "silent" });
    console.log((await startPostgres({ dataDirectory, log })).url);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, "line");
  return { child, url: String(line) };
}

test("startPostgres() keeps data over a restart and leaves no process behind", async (t) => {
  const path = await temporary(t);
  const dataDirectory = await opened(t, path);
  const first = await startPostgres({ dataDirectory, log });
  t.after(() => first.stop());
  await ask(first.url, "create table kept as select 42 as answer");
  assert.deepEqual(await ask(first.url, "show fsync"), ["on"]);
  assert.deepEqual(await ask(first.url, "show synchronous_commit"), ["on"]);
  assert.equal((await stat(join(path, "postgres"))).mode & 0o777, 0o700);
  await first.stop();
  assert.deepEqual(await processesOf(join(path, "postgres")), []);
  const second = await startPostgres({ dataDirectory, log });
  t.after(() => second.stop());
  assert.deepEqual(await ask(second.url, "select answer from kept"), [42]);
});

test("startPostgres() works below a folder that its user cannot enter and deeper than a socket's path", async (t) => {
  const top = await temporary(t);
  await chmod(top, 0o700);
  const path = join(top, "a-long-folder-name".repeat(6), "data");
  await mkdir(path, { recursive: true });
  const postgres = await startPostgres({ dataDirectory: await opened(t, path), log });
  t.after(() => postgres.stop());
  assert.match(postgres.url, /fd/);
  assert.deepEqual(await ask(postgres.url, "select 1"), [1]);
});

test("a database that was killed comes back by itself, with what it had acknowledged", async (t) => {
  const dataDirectory = await opened(t, await temporary(t));
  const exits: unknown[] = [];
  const postgres = await startPostgres({ dataDirectory, log, onExit: (exit) => exits.push(exit) });
  t.after(() => postgres.stop());
  await ask(postgres.url, "create table kept as select 42 as answer");
  const { pid } = postgres;
  assert.ok(pid !== undefined);
  process.kill(pid, "SIGKILL");
  await until(() => exits.length === 1);
  await until(() => postgres.state === "running");
  assert.deepEqual(exits, [{ code: null, signal: "SIGKILL" }]);
  assert.deepEqual(await ask(postgres.url, "select answer from kept"), [42]);
});

test("the database of a platform that was killed shuts itself down", async (t) => {
  const path = await temporary(t);
  const { child } = await startElsewhere(path);
  assert.notDeepEqual(await processesOf(join(path, "postgres")), []);
  child.kill("SIGKILL");
  await until(async () => (await processesOf(join(path, "postgres"))).length === 0);
});

test("a database that was left running is stopped and its data taken over", async (t) => {
  const path = await temporary(t);
  const { child, url } = await startElsewhere(path);
  await ask(url, "create table kept as select 42 as answer");
  const left = await processesOf(join(path, "postgres"));
  // The guard is held, so that nothing but the next platform ends the database.
  const guards = await guardsOf(path);
  assert.equal(guards.length, 1);
  for (const guard of guards) process.kill(guard, "SIGKILL");
  child.kill("SIGKILL");
  await once(child, "exit");
  await sleep(50);
  assert.deepEqual(await processesOf(join(path, "postgres")), left);
  const postgres = await startPostgres({ dataDirectory: await opened(t, path), log });
  t.after(() => postgres.stop());
  assert.deepEqual(await ask(postgres.url, "select answer from kept"), [42]);
});

async function guardsOf(path: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  const [first] = await processesOf(join(path, "postgres"));
  for (const pid of pids) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (line.endsWith(`syla-database-guard\0${first}\0`)) found.push(Number(pid));
  }
  return found;
}

test("what a killed initdb left is removed, and never taken for a cluster", async (t) => {
  const path = await temporary(t);
  await mkdir(join(path, "postgres.new-killed"));
  await writeFile(join(path, "postgres.new-killed", "PG_VERSION"), "18\n");
  const postgres = await startPostgres({ dataDirectory: await opened(t, path), log });
  t.after(() => postgres.stop());
  assert.deepEqual((await readdir(path)).toSorted(), ["lock", "platform.json", "postgres"]);
});

test("a cluster that cannot be started is refused with what the database said", async (t) => {
  const path = await temporary(t);
  const dataDirectory = await opened(t, path);
  await (await startPostgres({ dataDirectory, log })).stop();
  await writeFile(join(path, "postgres", "PG_VERSION"), "9.1\n");
  await assert.rejects(startPostgres({ dataDirectory, log }), {
    code: "database_unavailable",
    message: /incompatible with server/,
  });
  assert.deepEqual(await processesOf(join(path, "postgres")), []);
});
