// What a process printed, asked for piece by piece: by clients without a stream.
import assert from "node:assert/strict";
import { test } from "node:test";
import { refusal } from "../api.ts";
import {
  getOk,
  getProcess,
  killSandbox,
  makeSandbox,
  pathOf,
  type Process,
  startProcess,
} from "../sandbox-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

interface Printed {
  readonly process: Process;
  readonly stdout: string;
  readonly stderr: string;
  readonly lostBytes: number;
  readonly lastEvent: number;
  readonly more: boolean;
}

const platform = sharedPlatform({ environment: { SYLA_SANDBOX_PROCESS_OUTPUT: "2MiB" } });

function printed(sandbox: string, process: number, query: string): Promise<Printed> {
  return getOk(platform(), pathOf(sandbox, `/processes/${process}/output?${query}`));
}

test("output comes from any point on, at once or when the process has ended", async () => {
  const { id } = await makeSandbox(platform());
  const code = "echo one; echo err >&2; read line; echo $line; exit 3";
  const spec = { command: "bash", args: ["-c", code], input: true };
  const process = await startProcess(platform(), id, spec);
  await eventually("it printed", async () => {
    const { stdout, stderr } = await printed(id, process.id, "");
    return stdout === "one\n" && stderr === "err\n";
  });
  const first = await printed(id, process.id, "wait=0s");
  assert.deepEqual([first.process.running, first.more, first.lostBytes], [true, false, 0]);
  const nothing = await printed(id, process.id, `after=${first.lastEvent}&wait=0.05s`);
  assert.deepEqual(
    [nothing.stdout, nothing.lastEvent, nothing.process.running],
    ["", first.lastEvent, true],
  );
  const rest = printed(id, process.id, `after=${first.lastEvent}&wait=60s`);
  const write = pathOf(id, `/processes/${process.id}:write`);
  await fetch(`${platform().url}${write}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: "two\n" }),
  });
  const last = await rest;
  assert.deepEqual([last.stdout, last.stderr], ["two\n", ""]);
  assert.deepEqual([last.process.running, last.process.exitCode, last.more], [false, 3, false]);
  await killSandbox(platform(), id);
});

test("more than an answer holds comes with the next, and what is not kept is told", async () => {
  const { id } = await makeSandbox(platform());
  const code = "import sys; sys.stdout.write('x' * 3_000_000)";
  const process = await startProcess(platform(), id, { command: "python3", args: ["-c", code] });
  await eventually("it ended", async () => {
    return !(await getProcess(platform(), id, process.id)).running;
  });
  const first = await printed(id, process.id, "after=0");
  assert.ok(first.lostBytes >= 3_000_000 - 2 * 1024 ** 2);
  let { stdout, lastEvent, more } = first;
  assert.equal(more, true);
  assert.ok(stdout.length > 900_000 && stdout.length <= 1024 ** 2);
  let bytes = first.lostBytes + stdout.length;
  while (more) {
    ({ stdout, lastEvent, more } = await printed(id, process.id, `after=${lastEvent}`));
    bytes += stdout.length;
  }
  assert.equal(bytes, 3_000_000);
  await killSandbox(platform(), id);
});

test("a process that there is not, and a wait that is too long, are refused", async () => {
  const { id } = await makeSandbox(platform());
  const ask = (path: string) => fetch(`${platform().url}${pathOf(id, path)}`);
  await refusal(await ask("/processes/7/output"), 404, "process_not_found");
  await refusal(await ask("/processes/7/output?wait=61s"), 400, "invalid_request");
  await killSandbox(platform(), id);
});
