// `npm run bench`: every figure of bench/RESULTS.md, measured in one run with its peers beside it. The machine is
// shared and its speed drifts, so what counts are the ratios, and peers are measured turn by turn. With names of rows
// (`npm run bench -- python soak`) it measures those alone and writes no file.
import { writeFileSync } from "node:fs";
import type { Bench, Measure } from "./measure.ts";
import { findPeers } from "./peers.ts";
import { endPlatform, type Platform, startPlatform } from "./platform.ts";
import { report } from "./report.ts";
import { type Row, table } from "./row.ts";
import { measureC } from "./rows/c.ts";
import { measureE2b } from "./rows/e2b.ts";
import { measureJavascript } from "./rows/javascript.ts";
import { measureLanguages } from "./rows/languages.ts";
import { measureMemory } from "./rows/memory.ts";
import { measureNumpy } from "./rows/numpy.ts";
import { measurePython } from "./rows/python.ts";
import { measureRest } from "./rows/rest.ts";
import { measureSandbox } from "./rows/sandbox.ts";
import { measureSandboxSoak } from "./rows/sandbox-soak.ts";
import { measureSession } from "./rows/session.ts";
import { measureSoak } from "./rows/soak.ts";
import { measureStart } from "./rows/start.ts";
import { measureStream } from "./rows/stream.ts";
import { measureTemplate } from "./rows/template.ts";
import { measureThroughput } from "./rows/throughput.ts";

const measures: Readonly<Record<string, Measure>> = {
  python: measurePython,
  numpy: measureNumpy,
  javascript: measureJavascript,
  c: measureC,
  languages: measureLanguages,
  stream: measureStream,
  throughput: measureThroughput,
  memory: measureMemory,
  rest: measureRest,
  start: measureStart,
  sandbox: measureSandbox,
  template: measureTemplate,
  session: measureSession,
  e2b: measureE2b,
  soak: measureSoak,
  "sandbox-soak": measureSandboxSoak,
};

function selected(names: readonly string[]): readonly [string, Measure][] {
  const all = Object.entries(measures);
  const unknown = names.filter((name) => !Object.hasOwn(measures, name));
  if (unknown.length > 0) {
    const known = Object.keys(measures).join(", ");
    throw new Error(`Cannot measure ${unknown.join(", ")}: there are ${known}.`);
  }
  return names.length === 0 ? all : all.filter(([name]) => names.includes(name));
}

const names = process.argv.slice(2);
const chosen = selected(names);
let shared: Platform | undefined;
const bench: Bench = {
  rounds: Number(process.env["BENCH_ROUNDS"] ?? 5),
  peers: await findPeers(),
  platform: async () => (shared ??= await startPlatform()),
};
const rows: Row[] = [];
try {
  for (const [name, measure] of chosen) {
    try {
      const measured = await measure(bench);
      rows.push(...measured);
      process.stderr.write(`${name}\n${table(measured)}\n\n`);
    } catch (error) {
      // The others are still worth their time, but not a file that lacks a row.
      process.stderr.write(`${name}\n${String(error)}\n\n`);
      process.exitCode = 1;
    }
  }
} finally {
  if (shared !== undefined) await endPlatform(shared);
}
const text = report(rows, bench.peers);
const complete = names.length === 0 && process.exitCode === undefined;
if (complete) writeFileSync(new URL("../RESULTS.md", import.meta.url), text);
else process.stdout.write(text);
