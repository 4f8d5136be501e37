// Sandboxes that stay: how soon one gives a first answer, what files cost, how fast output comes through, and what
// those take that do nothing.
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "../client.ts";
import { chargedMiB, jailProcesses, privateMiB } from "../jails.ts";
import { type Bench, turnsOf } from "../measure.ts";
import { endPlatform, type Platform, residentMiB, startPlatform } from "../platform.ts";
import { atLeast, below, comparison, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";

const path = "/api/v1/sandboxes";
const firstOutputMsMax = 25;
const filesMsMax = 100;
const streamMbPerSecondMin = 200;
const streamGrowthMax = 1.15;
const idleCount = 500;
const idleMibMax = 12;
const idlePercentMax = 5;
const idleMs = 10_000;
const streamBytes = 1_000_000_000;

async function post(client: Client, where: string, body: object): Promise<string> {
  const answer = await client.call(where, JSON.stringify(body));
  if (answer.status >= 300) throw new Error(`Cannot measure: ${answer.status} ${answer.body}`);
  return answer.body;
}

const idOf = (body: string): string => /"id":"([^"]+)"/.exec(body)?.[1] ?? "";

async function make(client: Client, spec: object = {}): Promise<string> {
  return idOf(await post(client, path, spec));
}

/** Ends it, and does not wait for the answer's sake but for the machine's. */
async function end({ url }: Platform, id: string): Promise<void> {
  await (await fetch(`${url}${path}/${id}`, { method: "DELETE" })).arrayBuffer();
}

async function measureCalls(bench: Bench): Promise<readonly Row[]> {
  const platform = await bench.platform();
  const client = new Client(platform.url);
  const content = "x".repeat(10_240);
  const files = Array.from({ length: 100 }, (_, n) => ({ path: `folder/${n}`, content }));
  const first: number[] = [];
  const filed: number[] = [];
  for (let turn = 0; turn < turnsOf(bench); turn += 1) {
    const begin = performance.now();
    const id = await make(client);
    await post(client, `${path}/${id}/processes:run`, { command: "echo", args: ["hi"] });
    first.push(performance.now() - begin);
    const filesBegin = performance.now();
    await post(client, `${path}/${id}/files:write`, { files });
    await client.call(`${path}/${id}/files?path=folder`);
    filed.push(performance.now() - filesBegin);
    await end(platform, id);
  }
  client.close();
  const [firstMs, filedMs] = [median(first), median(filed)];
  return [
    {
      what: "A sandbox, from the request for it to the output of its first command, HTTP, p50",
      syla: `${digits(firstMs)} ms`,
      goal: below(firstMs, firstOutputMsMax, "ms"),
    },
    {
      what: "100 files of 10 KB written by one call and listed by another, p50",
      syla: `${digits(filedMs)} ms`,
      goal: below(filedMs, filesMsMax, "ms"),
    },
  ];
}

/** Reads a process's output to its end, as lines of JSON; answers how many bytes came. */
function follow(url: string, spec: object): Promise<number> {
  const headers = { "content-type": "application/json", accept: "application/x-ndjson" };
  return new Promise((resolve, reject) => {
    let bytes = 0;
    const call = request(url, { method: "POST", headers }, (response) => {
      response.on("data", (chunk: Buffer) => (bytes += chunk.length));
      response.once("end", () => resolve(bytes));
      response.once("error", reject);
    });
    call.once("error", reject);
    call.end(JSON.stringify(spec));
  });
}

/** So many bytes of output through a process's stream; answers how long it took, in seconds. */
async function streamOnce(platform: Platform, id: string): Promise<number> {
  const begin = performance.now();
  const code = `yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c ${streamBytes}`;
  const bytes = await follow(`${platform.url}${path}/${id}/processes:stream`, {
    command: "sh",
    args: ["-c", code],
  });
  if (bytes < streamBytes) throw new Error(`Cannot measure: only ${bytes} bytes came.`);
  return (performance.now() - begin) / 1000;
}

async function measureStream(bench: Bench): Promise<readonly Row[]> {
  const platform = await bench.platform();
  const client = new Client(platform.url);
  const id = await make(client);
  const perSecond = streamBytes / 1e6 / (await streamOnce(platform, id));
  const first = residentMiB(platform.pid);
  await streamOnce(platform, id);
  const second = residentMiB(platform.pid);
  await end(platform, id);
  client.close();
  return [
    {
      what: "1 GB of output through a process's stream, lines of JSON over HTTP",
      syla: `${digits(perSecond)} MB a second`,
      goal: atLeast(perSecond, streamMbPerSecondMin, "MB a second"),
    },
    comparison({
      what: "Memory of the service after another 1 GB",
      ...{ unit: "MiB", syla: [second] },
      ...{ peer: "after the first", samples: [first] },
      goal: (ratio) => below(ratio, streamGrowthMax, "×"),
    }),
  ];
}

/** Processor time of all processes below one and of itself, in ms. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function measureIdle(): Promise<readonly Row[]> {
  const platform = await startPlatform({ env: { SYLA_SANDBOX_KEPT_MAX: String(idleCount) } });
  try {
    const client = new Client(platform.url);
    const before = residentMiB(platform.pid);
    for (let n = 0; n < idleCount; n += 1) await make(client, { lifetime: "3600s" });
    await sleep(idleMs / 2);
    const beginMs = cpuMs(platform.pid);
    await sleep(idleMs);
    const percent = ((cpuMs(platform.pid) - beginMs) / idleMs) * 100;
    const processes = jailProcesses(platform.pid);
    const slots = [...new Set(processes.map(({ slot }) => slot))];
    const own = processes.reduce((sum, { pid }) => sum + privateMiB(pid), 0);
    const charged = slots.reduce((sum, slot) => sum + chargedMiB(slot, platform.pid), 0);
    const each = (charged + residentMiB(platform.pid) - before) / idleCount;
    client.close();
    return [
      {
        what: `${idleCount} sandboxes that do nothing: what each is charged, and its part of the service's growth`,
        syla: `${digits(each)} MiB`,
        goal: below(each, idleMibMax, "MiB"),
      },
      { what: "The same, private to its processes", syla: `${digits(own / idleCount)} MiB` },
      {
        what: "What the service then takes of a core",
        syla: `${digits(percent)} %`,
        goal: below(percent, idlePercentMax, "%"),
      },
    ];
  } finally {
    await endPlatform(platform);
  }
}

export async function measureSandbox(bench: Bench): Promise<readonly Row[]> {
  return [
    ...(await measureCalls(bench)),
    ...(await measureStream(bench)),
    ...(await measureIdle()),
  ];
}
