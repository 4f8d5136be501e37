// Everything that can be judged without running the platform, at once: one line per step with its time, and what a
// failed step said at the end.
import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import { type Outcome, runTool } from "./repository.ts";

interface Step {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
}

// The slowest first, so that the others fill the time beside them.
const steps: readonly Step[] = [
  { name: "generated code is current", command: ["node", "tools/generate.ts", "--check"] },
  { name: "types", command: ["tsc", "--project", "."] },
  { name: "lint", command: ["oxlint"] },
  { name: "dead code", command: ["knip", "--no-progress", "--no-config-hints"] },
  { name: "dependencies", command: ["node", "tools/dependencies.ts"] },
  { name: "tidiness", command: ["node", "tools/tidy.ts"] },
  { name: "lock file is complete", command: ["node", "tools/lockfile.ts", "--check"] },
  { name: "format", command: ["oxfmt", "--check", "."] },
];

interface Result extends Outcome {
  readonly step: Step;
}

async function runStep(step: Step): Promise<Result> {
  const [program, ...args] = step.command;
  const start = performance.now();
  const outcome = await runTool(program, args);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${outcome.code === 0 ? "ok  " : "FAIL"} ${step.name} (${seconds} s)`);
  return { ...outcome, step };
}

async function main(): Promise<void> {
  const waiting = [...steps];
  const results: Result[] = [];
  const worker = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      results.push(await runStep(step));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  for (const { step, code, output } of results) {
    if (code === 0) continue;
    console.log(`\n${step.name}: ${step.command.join(" ")}\n${output.trimEnd()}`);
    process.exitCode = 1;
  }
}

await main();
