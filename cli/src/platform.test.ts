import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startFakePlatform } from "@syla/sdk/fake-platform";
import { startEmbedded } from "./embedded.ts";
import { findInData, findToken } from "./platform.ts";
import { freshFolder } from "./terminal/fixture.ts";

function dataFolder(entry: unknown): string {
  const folder = freshFolder();
  writeFileSync(join(folder, "platform.json"), JSON.stringify(entry));
  return folder;
}

// No process has it: the kernel's greatest pid is 2^22.
const deadPid = 2 ** 22 + 1;

test("findInData() finds the platform that runs on a data folder", async () => {
  const platform = await startFakePlatform();
  after(() => platform.close());
  const { url } = platform;
  assert.equal(await findInData(dataFolder({ pid: process.pid, url })), url);
  assert.equal(await findInData(dataFolder({ pid: deadPid, url })), undefined);
  assert.equal(await findInData(dataFolder({ pid: "1", url })), undefined);
  assert.equal(await findInData(freshFolder()), undefined);
});

test("findInData() does not send programs to another machine", async () => {
  const folder = dataFolder({ pid: process.pid, url: "http://198.51.100.7:8080" });
  assert.equal(await findInData(folder), undefined);
});

test("findToken() is the key of the data folder, unless another is given or it is none", async () => {
  const folder = freshFolder();
  assert.equal(await findToken(folder), undefined);
  const key = `syla_${"0".repeat(64)}`;
  writeFileSync(join(folder, "api-key"), `${key}\n`);
  assert.equal(await findToken(folder), key);
  writeFileSync(join(folder, "api-key"), "root:x:0:0:root\n");
  assert.equal(await findToken(folder), undefined);
});

function script(lines: string): string {
  const path = join(freshFolder(), "main.mjs");
  writeFileSync(path, lines);
  return path;
}

test("startEmbedded() waits for the ready line, and stop() ends the platform by closing its input", async () => {
  const folder = freshFolder();
  const main = script(`
    import { readFileSync, writeFileSync } from "node:fs";
    console.log("starting");
    console.log(JSON.stringify({ ready: true, url: "http://127.0.0.1:4242", port: process.env.REST_PORT }));
    process.stdin.resume().on("end", () => {
      writeFileSync(${JSON.stringify(join(folder, "ended"))}, process.argv[2]);
      process.exit(0);
    });
  `);
  const { url, stop } = await startEmbedded(undefined, main);
  assert.equal(url, "http://127.0.0.1:4242");
  await stop();
  assert.equal(readFileSync(join(folder, "ended"), "utf8"), "--embedded");
});

test("startEmbedded() says what a platform said that did not start", async () => {
  const main = script(`console.error("bubblewrap is missing"); process.exit(3);`);
  await assert.rejects(startEmbedded(undefined, main), {
    message: "The platform did not start (exit code 3):\nbubblewrap is missing",
    exitCode: 125,
  });
});

test("startEmbedded() ends the platform when it is interrupted", async () => {
  const main = script(`process.stdin.resume().on("end", () => process.exit(0));`);
  await assert.rejects(startEmbedded(AbortSignal.timeout(50), main), { message: "Interrupted." });
});

test("startEmbedded() tells when the platform dies, and what it said last", async () => {
  const main = script(`
    console.log(JSON.stringify({ ready: true, url: "http://127.0.0.1:4242" }));
    process.stdin.once("data", () => {});
    console.error("the disk is full");
    process.exitCode = 9;
    setImmediate(() => process.exit());
  `);
  const { died, stop } = await startEmbedded(undefined, main);
  if (!died.aborted) await new Promise((resolve) => died.addEventListener("abort", resolve));
  await stop();
  assert.match(String(died.reason), /ended early \(exit code 9\):\nthe disk is full/);
});
