// `npm run bench`: every figure of bench/RESULTS.md, measured in one run with its peers beside it. The machine is
// shared and its speed drifts, so what counts are the ratios, and peers are measured turn by turn.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";
import { load } from "./load.ts";
import {
  executeBody,
  type Platform,
  removeData,
  residentMiB,
  startPlatform,
  timeExecution,
} from "./platform.ts";
import { processesPerSecond, timeProcess } from "./processes.ts";
import { startServer } from "./server.ts";
import { digits, median, quantile } from "./stats.ts";

interface Row {
  readonly what: string;
  readonly syla: string;
  readonly peer: string;
  readonly ratio: string;
  readonly reach: string;
}

const program = "print(1)";
const python = "/usr/bin/python3";
const bubblewrap = [
  ...["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"],
  ...["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc"],
  ...["--dev", "/dev", "--tmpfs", "/tmp", "--die-with-parent", "--new-session", "--clearenv"],
];

// The same interpreter on both sides: a host may have several.
function pythonBody(): string {
  const asked = "import platform; print(platform.python_version())";
  const version = execFileSync(python, ["-c", asked], { encoding: "utf8" }).trim();
  return executeBody("python", program, version);
}

const rounds = Number(process.env["BENCH_ROUNDS"] ?? 5);

async function latency(platform: Platform): Promise<Row[]> {
  const body = pythonBody();
  const bare: number[] = [];
  const jailed: number[] = [];
  const syla: number[] = [];
  for (let round = 0; round < rounds * 20; round += 1) {
    bare.push(await timeProcess([python, "-c", program]));
    jailed.push(await timeProcess([...bubblewrap, python, "-c", program]));
    syla.push(await timeExecution(platform.url, body));
  }
  const row = (peer: string, samples: readonly number[], reach: string): Row => ({
    what: `Python \`${program}\` in a fresh jail, HTTP request to answer, p50`,
    syla: `${digits(median(syla))} ms`,
    peer: `${peer}: ${digits(median(samples))} ms`,
    ratio: `${digits(median(syla) / median(samples))} ×`,
    reach,
  });
  return [row("bare python3", bare, "< 2 ×"), row("bubblewrap + python3", jailed, "")];
}

async function throughput(platform: Platform): Promise<Row> {
  const callers = 8;
  const durationMs = 2000;
  const url = `${platform.url}/api/v1/executions:execute`;
  const jailed: number[] = [];
  const syla: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    jailed.push(
      await processesPerSecond([...bubblewrap, python, "-c", program], callers, durationMs),
    );
    const body = pythonBody();
    syla.push((await load({ url, connections: callers, durationMs, body })).requestsPerSecond);
  }
  return {
    what: `Python \`${program}\` in fresh jails, ${callers} callers`,
    syla: `${digits(median(syla))} a second`,
    peer: `bubblewrap + python3: ${digits(median(jailed))} a second`,
    ratio: `${digits(median(syla) / median(jailed))} ×`,
    reach: "> 0.8 ×",
  };
}

async function rest(platform: Platform): Promise<Row[]> {
  const url = `${platform.url}/api/v1/languages`;
  const answer = await (await fetch(url)).text();
  const fastify = await startServer(fileURLToPath(new URL("bare-fastify.ts", import.meta.url)), [
    answer,
  ]);
  const bare: number[] = [];
  const syla: number[] = [];
  const p99: number[] = [];
  const options = { connections: 64, durationMs: 2000 };
  for (let round = 0; round < rounds; round += 1) {
    bare.push((await load({ url: fastify.url, ...options })).requestsPerSecond);
    const own = await load({ url, ...options });
    syla.push(own.requestsPerSecond);
    p99.push(quantile(own.latencies, 0.99));
  }
  await fastify.stop();
  return [
    {
      what: "REST call that does nothing, 64 connections",
      syla: `${digits(median(syla))} a second`,
      peer: `bare Fastify, same JSON: ${digits(median(bare))} a second`,
      ratio: `${digits(median(syla) / median(bare))} ×`,
      reach: "> 0.5 ×",
    },
    {
      what: "The same, p99",
      syla: `${digits(median(p99))} ms`,
      peer: "",
      ratio: "",
      reach: "< 10 ms",
    },
  ];
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, syla, peer, ratio, reach }) =>
    ["", what, syla, peer, ratio, reach, ""].join(" | ").trim(),
  );
  return ["| what | Syla | peer | ratio | to reach |", "|---|---|---|---|---|", ...lines].join(
    "\n",
  );
}

function heading(): string {
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], {
    encoding: "utf8",
  }).trim();
  const [cpu] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return [
    "# Results",
    "",
    "Written by `npm run bench`. Medians of one run; peers are measured turn by turn in the same run.",
    "",
    `${date}, commit ${commit}, ${cpus().length} × ${cpu?.model ?? "unknown CPU"}, Linux ${release()}, Node ${process.version}.`,
    "",
  ].join("\n");
}

const first = await startPlatform();
await first.stop();
const platform = await startPlatform(first.data);
const atRest = residentMiB(platform.pid);
const rows = [
  ...(await latency(platform)),
  await throughput(platform),
  ...(await rest(platform)),
  {
    what: "Resident memory at rest",
    syla: `${digits(atRest)} MiB`,
    peer: "",
    ratio: "",
    reach: "< 200 MiB",
  },
  {
    what: "Start to ready, initialised database",
    syla: `${digits(platform.readyMs)} ms`,
    peer: "",
    ratio: "",
    reach: "< 5000 ms",
  },
];
await platform.stop();
removeData(platform.data);
const text = `${heading()}\n${table(rows)}\n`;
process.stdout.write(text);
writeFileSync(new URL("../RESULTS.md", import.meta.url), text);
