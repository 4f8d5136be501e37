// Many runs, one in a hundred killed at a random moment: what is left on the host, what the service then takes, and
// whether the last runs are as quick as the first. BENCH_SOAK_RUNS says how many; 10,000 without it.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "../client.ts";
import { collectable } from "../collect.ts";
import { jailProcesses, privateMiB, serviceProcesses, slotOf } from "../jails.ts";
import { type Bench, pythonVersion } from "../measure.ts";
import { leftBehind, lookAround } from "../leftovers.ts";
import { python } from "../peers.ts";
import {
  endPlatform,
  executePath,
  makeData,
  type Platform,
  type Program,
  residentMiB,
  startPlatform,
  sylaRunner,
} from "../platform.ts";
import { below, comparison, type Row } from "../row.ts";
import { latencies, processRunner } from "../runner.ts";
import { digits, median } from "../stats.ts";

const runs = Number(process.env["BENCH_SOAK_RUNS"] ?? 10_000);
const callers = 8;
const killedEvery = 100;
/** The first and the last hundred have one caller, so that what is compared is not how they crowd. */
const edgeRuns = Math.min(100, Math.floor(runs / 10));
const warmUpRuns = 200;
const killTries = 20;
const memorySamples = 40;
const growthMax = 1.1;

interface Tally {
  begun: number;
  succeeded: number;
  left: number;
  cancelled: number;
  killed: number;
  /** Answers that are neither success nor cancellation, with what they said. */
  readonly failures: string[];
  readonly memoryMiB: number[];
}

interface Soak {
  readonly platform: Platform;
  readonly program: Program;
  readonly count: number;
  /** Up to when after a request its run may be killed. */
  readonly killMsMax: number;
  readonly tally: Tally;
}

const newTally = (): Tally => ({
  ...{ begun: 0, succeeded: 0, left: 0, cancelled: 0, killed: 0 },
  ...{ failures: [], memoryMiB: [] },
});

/** Resident memory of the platform, and what its spawner and zygotes have for themselves. */
function serviceMiB(pid: number): number {
  const others = serviceProcesses(pid).filter((one) => one !== pid);
  return others.reduce((sum, one) => sum + privateMiB(one), residentMiB(pid));
}

/** kill -9 of a process of a jail, of one that runs a program if there is any. */
function killOne(platformPid: number): boolean {
  for (let attempt = 0; attempt < killTries; attempt += 1) {
    const all = jailProcesses(platformPid);
    const busy = new Set(all.filter(({ keeper }) => !keeper).map(({ slot }) => slot));
    const candidates = busy.size > 0 ? all.filter(({ slot }) => busy.has(slot)) : all;
    const victim = candidates[Math.floor(Math.random() * candidates.length)];
    // Asked again, because its number may be another's by now.
    if (victim === undefined || slotOf(victim.pid, platformPid) !== victim.slot) continue;
    try {
      process.kill(victim.pid, "SIGKILL");
      return true;
    } catch {
      continue; // it has just ended
    }
  }
  return false;
}

function note(tally: Tally, body: string): void {
  const status = /"status":"(\w+)"/.exec(body)?.[1];
  if (status === "SUCCEEDED") tally.succeeded += 1;
  else if (status === "CANCELLED") tally.cancelled += 1;
  else tally.failures.push(body.slice(0, 500));
}

/** A run whose caller goes away, or that is cancelled by its id, or while which a process of a jail is killed. */
async function killedRun(client: Client, soak: Soak, how: number): Promise<void> {
  const { platform, program, killMsMax, tally } = soak;
  const { stdout: _, ...spec } = program;
  const body = JSON.stringify(spec);
  const delayMs = Math.random() * killMsMax;
  if (how === 0) {
    const call = client.call(executePath, body).catch(() => undefined);
    await sleep(delayMs);
    client.close();
    await call;
    tally.left += 1;
  } else if (how === 1) {
    const created = await client.call("/api/v1/executions", body);
    const id = /"id":"([\w-]+)"/.exec(created.body)?.[1] ?? "";
    await sleep(delayMs);
    note(tally, (await client.call(`/api/v1/executions/${id}:cancel`, "{}")).body);
  } else {
    const call = client.call(executePath, body);
    await sleep(delayMs);
    if (killOne(platform.pid)) tally.killed += 1;
    note(tally, (await call).body);
  }
}

async function caller(soak: Soak): Promise<void> {
  const { platform, program, count, tally } = soak;
  const { stdout: _, ...spec } = program;
  const body = JSON.stringify(spec);
  const client = new Client(platform.url);
  while (tally.begun < count) {
    const number = (tally.begun += 1);
    if (number % Math.ceil(count / memorySamples) === 0) {
      tally.memoryMiB.push(serviceMiB(platform.pid));
    }
    if (soak.killMsMax > 0 && number % killedEvery === 0) {
      await killedRun(client, soak, (number / killedEvery) % 3);
    } else {
      note(tally, (await client.call(executePath, body)).body);
    }
  }
  client.close();
}

async function runMany(soak: Soak): Promise<void> {
  await Promise.all(Array.from({ length: callers }, () => caller(soak)));
}

export async function measureSoak(_bench: Bench): Promise<readonly Row[]> {
  const { env, collect } = await collectable();
  // What it makes for a while is then in the folder that is looked through.
  const data = makeData();
  const temporary = join(data, "tmp");
  mkdirSync(temporary);
  const platform = await startPlatform({ data, env: { ...env, TMPDIR: temporary } });
  const heldMiB = async () => {
    await collect(platform.pid);
    return serviceMiB(platform.pid);
  };
  try {
    const version = pythonVersion();
    const program = { language: "python", version, code: "print(1)", stdout: "1\n" };
    const bare = processRunner("bare python3", () => [[python, "-c", program.code]]);
    const edges = [sylaRunner(platform, program), bare];
    const base = { platform, program };
    await runMany({ ...base, count: warmUpRuns, killMsMax: 0, tally: newTally() });
    const heldFirst = await heldMiB();
    const before = await lookAround(platform);
    const [first = [], bareFirst = []] = await latencies(edges, edgeRuns);
    const tally = newTally();
    const count = runs - 2 * edgeRuns;
    await runMany({ ...base, count, killMsMax: 2 * median(first), tally });
    const [last = [], bareLast = []] = await latencies(edges, edgeRuns);
    const left = leftBehind(before, await lookAround(platform));
    const drift = median(bareLast) / median(bareFirst);
    return [
      ...outcomeRows(tally, left),
      memoryRow(heldFirst, await heldMiB(), Math.max(...tally.memoryMiB)),
      latencyRow(first, last, drift),
    ];
  } finally {
    await endPlatform(platform);
  }
}

function outcomeRows(tally: Tally, left: readonly string[]): readonly Row[] {
  const what = `${runs} runs, 1 in ${killedEvery} killed at a random moment`;
  const { succeeded, left: gone, cancelled, killed, failures } = tally;
  const unexplained = Math.max(0, failures.length - killed);
  if (unexplained > 0) process.stderr.write(`${failures.join("\n")}\n`);
  const counts = `${succeeded} succeeded, ${gone} left, ${cancelled} cancelled, ${killed} killed`;
  return [
    {
      what: `${what}: left on the host`,
      syla: left.length === 0 ? "nothing" : left.join("; "),
      goal: { text: "nothing", met: left.length === 0 },
    },
    {
      what: `The same: runs that failed and were not killed (${counts})`,
      syla: String(unexplained),
      goal: { text: "0", met: unexplained === 0 },
    },
  ];
}

function memoryRow(first: number, last: number, most: number): Row {
  return comparison({
    what: `The same: memory of the service after a collection (${digits(most)} MiB at most meanwhile)`,
    ...{ unit: "MiB", syla: [last], peer: "before them", samples: [first] },
    goal: (ratio) => below(ratio, growthMax, "×"),
  });
}

/** A machine that became slower meanwhile is not the service's doing. */
function latencyRow(first: readonly number[], last: readonly number[], drift: number): Row {
  return comparison({
    what: `The same: p50 of the last ${last.length} runs`,
    ...{ unit: "ms", syla: last, peer: "of the first", samples: first },
    goal: (ratio) => ({
      text: `< ${growthMax} × (bare python3 meanwhile: ${digits(drift)} ×)`,
      met: ratio < growthMax * Math.max(1, drift),
    }),
  });
}
