// What a warm Python slot takes, and what a run in one takes, of memory that they share with nothing: measured as the
// host's kernel counts it, in all processes of a jail.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "../client.ts";
import { chargedMiB, type JailProcess, jailProcesses, privateMiB } from "../jails.ts";
import { type Bench, pythonVersion } from "../measure.ts";
import { python } from "../peers.ts";
import { executePath, type Platform, sylaRunner } from "../platform.ts";
import { below, comparison, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";
import { throughputs } from "../runner.ts";

const jailsMeasured = 8;
const settleMs = 1500;
const holds = "import time; print(1, flush=True); time.sleep(10)";

/** The processes of each jail in which Python is, by slot. */
function pythonJails(pid: number): readonly (readonly JailProcess[])[] {
  const slots = Map.groupBy(jailProcesses(pid), ({ slot }) => slot);
  return [...slots.values()].filter((all) => all.some(({ command }) => /python/.test(command)));
}

const sumMiB = (processes: readonly JailProcess[]): number =>
  processes.reduce((sum, { pid }) => sum + privateMiB(pid), 0);

interface Jails {
  /** The program's own processes; none are in a slot that waits. */
  readonly programs: readonly number[];
  readonly all: readonly number[];
  readonly charged: readonly number[];
}

function weigh(jails: readonly (readonly JailProcess[])[], platformPid: number): Jails {
  const slots = jails.flatMap(([first]) => (first === undefined ? [] : [first.slot]));
  return {
    programs: jails.map((jail) => sumMiB(jail.filter(({ keeper }) => !keeper))),
    all: jails.map(sumMiB),
    charged: slots.map((slot) => chargedMiB(slot, platformPid)),
  };
}

/** Warm slots: no program is in them. */
async function warmSlots(platform: Platform): Promise<Jails> {
  const program = { language: "python", version: pythonVersion(), code: "print(1)" };
  // As many jails wait as were in use at one time.
  const runner = sylaRunner(platform, { ...program, stdout: "1\n" });
  await throughputs([runner], { callers: jailsMeasured, durationMs: 500, rounds: 1 });
  await sleep(settleMs);
  const jails = pythonJails(platform.pid).filter((jail) => jail.every(({ keeper }) => keeper));
  return weigh(jails, platform.pid);
}

/** Runs that have printed and go on. */
async function runs(platform: Platform): Promise<Jails> {
  const body = JSON.stringify({ language: "python", version: pythonVersion(), code: holds });
  const clients = Array.from({ length: jailsMeasured }, () => new Client(platform.url));
  const calls = clients.map((client) => client.call(executePath, body).catch(() => undefined));
  await sleep(settleMs);
  const jails = pythonJails(platform.pid).filter((jail) => jail.some(({ keeper }) => !keeper));
  const measured = weigh(jails, platform.pid);
  for (const client of clients) client.close(); // which cancels what they wait for
  await Promise.all(calls);
  return measured;
}

async function bareRun(): Promise<number> {
  const child = spawn(python, ["-c", holds], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const mebibytes = privateMiB(child.pid ?? 0);
  child.kill();
  await once(child, "close");
  return mebibytes;
}

export async function measureMemory(bench: Bench): Promise<readonly Row[]> {
  const platform = await bench.platform();
  const warm = await warmSlots(platform);
  const running = await runs(platform);
  const samples = [await bareRun(), await bareRun(), await bareRun()];
  const row = (jail: string, syla: readonly number[], boundMiB: number): Row => ({
    ...comparison({
      what: `Private memory of ${jail}, median of ${syla.length}`,
      ...{ unit: "MiB", syla, peer: "bare python3, running", samples },
    }),
    goal: below(median(syla), boundMiB, "MiB"),
  });
  const charged = (jail: string, syla: readonly number[]): Row => ({
    what: `Charged to the control group of ${jail}, the kernel's share among it`,
    syla: `${digits(median(syla))} MiB`,
  });
  return [
    row("a warm Python slot", warm.all, 4),
    row("a Python run", running.programs, 2),
    row("a Python run and its slot", running.all, 4),
    charged("a warm Python slot", warm.charged),
    charged("a Python run", running.charged),
  ];
}
