// Many sandboxes, made and ended while work goes on in them, their clients vanishing at random moments: what is left on
// the host. BENCH_SOAK_SANDBOXES says how many; 1,000 without it.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { collectable } from "../collect.ts";
import { leftBehind, lookAround } from "../leftovers.ts";
import type { Bench } from "../measure.ts";
import { endPlatform, makeData, type Platform, residentMiB, startPlatform } from "../platform.ts";
import { below, comparison, type Row } from "../row.ts";

const sandboxes = Number(process.env["BENCH_SOAK_SANDBOXES"] ?? 1_000);
const warmUp = Math.min(200, sandboxes);
const callers = 8;
/** Up to when after its first call a client vanishes, in the middle of whatever it waits for. */
const vanishMsMax = 60;
/** A sandbox that nobody ends any more ends by itself. */
const lifetime = "5s";
const lastEndMsMax = 30_000;
const growthMax = 1.15;

const path = "/api/v1/sandboxes";
const program = `import sys, time
for line in range(1000):
    print("line", line, flush=True)
    time.sleep(0.005)`;

interface Tally {
  begun: number;
  killed: number;
  vanished: number;
  /** What went wrong with clients that did not vanish. */
  readonly failures: string[];
}

/** What somebody does with a sandbox; every call ends with the client. */
async function work({ url }: Platform, signal: AbortSignal): Promise<void> {
  const call = async (where: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${url}${path}${where}`, {
      ...{ method: "POST", headers, signal },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status >= 300) throw new Error(`${answer.status} ${text}`);
    return text;
  };
  const made = await call("", { language: "python", lifetime });
  const id = /"id":"([^"]+)"/.exec(made)?.[1] ?? "";
  const files = Array.from({ length: 20 }, (_, n) => ({
    path: `d/${n}`,
    content: "x".repeat(1000),
  }));
  await call(`/${id}/files:write`, { files });
  await call(`/${id}/processes`, { command: "python3", args: ["-c", program], input: true });
  await call(`/${id}/processes:run`, { command: "sh", args: ["-c", "cat d/* | wc -c"] });
  await fetch(`${url}${path}/${id}`, { method: "DELETE", signal });
}

async function caller(platform: Platform, count: number, tally: Tally): Promise<void> {
  while (tally.begun < count) {
    const number = (tally.begun += 1);
    const vanishes = number % 2 === 0;
    const signal = vanishes
      ? AbortSignal.timeout(1 + Math.floor(Math.random() * vanishMsMax))
      : AbortSignal.timeout(60_000);
    try {
      await work(platform, signal);
      tally.killed += 1;
    } catch (error) {
      if (vanishes && signal.aborted) tally.vanished += 1;
      else tally.failures.push(String(error));
    }
  }
}

/** Makes so many, and waits until those that were left behind have ended by themselves. */
async function makeMany(platform: Platform, count: number): Promise<Tally> {
  const tally: Tally = { begun: 0, killed: 0, vanished: 0, failures: [] };
  await Promise.all(Array.from({ length: callers }, () => caller(platform, count, tally)));
  const running = `${platform.url}${path}?filter=${encodeURIComponent('status = "RUNNING"')}`;
  const end = Date.now() + lastEndMsMax;
  while ((await (await fetch(running)).text()).includes('"id"') && Date.now() < end) {
    await sleep(250);
  }
  return tally;
}

export async function measureSandboxSoak(_bench: Bench): Promise<readonly Row[]> {
  const { env, collect } = await collectable();
  const data = makeData();
  const temporary = join(data, "tmp");
  mkdirSync(temporary);
  const platform = await startPlatform({ data, env: { ...env, TMPDIR: temporary } });
  try {
    await makeMany(platform, warmUp);
    await collect(platform.pid);
    const heldFirst = residentMiB(platform.pid);
    const before = await lookAround(platform);
    const { killed, vanished, failures } = await makeMany(platform, sandboxes);
    const left = leftBehind(before, await lookAround(platform));
    await collect(platform.pid);
    if (failures.length > 0) process.stderr.write(`${failures.slice(0, 10).join("\n")}\n`);
    const how = `${killed} ended by their clients, ${vanished} left by clients that vanished`;
    return [
      {
        what: `${sandboxes} sandboxes with files and processes (${how}): left on the host`,
        syla: left.length === 0 ? "nothing" : left.join("; "),
        goal: { text: "nothing", met: left.length === 0 },
      },
      {
        what: "The same: calls that failed and whose client was there",
        syla: String(failures.length),
        goal: { text: "0", met: failures.length === 0 },
      },
      comparison({
        what: "The same: memory of the service after a collection",
        ...{ unit: "MiB", syla: [residentMiB(platform.pid)] },
        ...{ peer: "before them", samples: [heldFirst] },
        goal: (ratio) => below(ratio, growthMax, "×"),
      }),
    ];
  } finally {
    await endPlatform(platform);
  }
}
