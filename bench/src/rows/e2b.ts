// What E2B's users wait for, as they do: their npm package, pointed here, one sandbox after another. Public tables of
// such services count the same way, from the call for a sandbox to the first output of a command in it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox as CodeSandbox } from "@e2b/code-interpreter";
import { Sandbox } from "e2b";
import { type Bench, turnsOf } from "../measure.ts";
import type { Platform } from "../platform.ts";
import { below, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";

const firstOutputMsMax = 25;
/** From a public leaderboard, on other machines and from afar: to be read as an order of magnitude. */
const published = "published: Daytona 110 ms, E2B 440 ms";
/** The first meet a connection that is not there yet, and code that has not run. */
const warmUps = 3;

/** What the SDK is told by its environment. */
function accessTo({ url, data }: Platform) {
  const key = readFileSync(join(data, "api-key"), "utf8").trim();
  return { apiKey: key.replace("syla_", "e2b_"), apiUrl: url, sandboxUrl: url };
}

/** Milliseconds to the first output of a command. */
async function timeCommand(access: ReturnType<typeof accessTo>): Promise<number> {
  const begin = performance.now();
  const sandbox = await Sandbox.create(access);
  let ms = Number.NaN;
  await sandbox.commands.run("echo hi", { onStdout: () => void (ms = performance.now() - begin) });
  await sandbox.kill();
  return ms;
}

/** Milliseconds to the first output of Python, in the sandbox that is made for it. */
async function timeCode(access: ReturnType<typeof accessTo>): Promise<number> {
  const begin = performance.now();
  const sandbox = await CodeSandbox.create(access);
  let ms = Number.NaN;
  await sandbox.runCode("print('hi')", { onStdout: () => void (ms = performance.now() - begin) });
  await sandbox.kill();
  return ms;
}

export async function measureE2b(bench: Bench): Promise<readonly Row[]> {
  const access = accessTo(await bench.platform());
  const commands: number[] = [];
  const codes: number[] = [];
  for (let turn = -warmUps; turn < turnsOf(bench); turn += 1) {
    const [command, code] = [await timeCommand(access), await timeCode(access)];
    if (turn < 0) continue;
    commands.push(command);
    codes.push(code);
  }
  const [commandMs, codeMs] = [median(commands), median(codes)];
  return [
    {
      what: "Sandbox created to its first command's output, through the E2B SDK, p50",
      syla: `${digits(commandMs)} ms`,
      peer: published,
      goal: below(commandMs, firstOutputMsMax, "ms"),
    },
    {
      what: "The same to the first output of `runCode`, through its code interpreter SDK, p50",
      syla: `${digits(codeMs)} ms`,
    },
  ];
}
