// How long output takes to reach a client while its program goes on. The program prints the monotonic clock, which
// jails share with their host, so the difference to it when the event arrives is the whole way.
import { spawn } from "node:child_process";
import { request } from "node:http";
import { type Bench, pythonVersion, turnsOf } from "../measure.ts";
import { python } from "../peers.ts";
import { below, comparison, type Row } from "../row.ts";
import { median } from "../stats.ts";

const code = "import time; print(time.monotonic_ns(), flush=True); time.sleep(0.05)";
const boundMs = 5;

/** Milliseconds since a stamp of the monotonic clock, in nanoseconds. */
const sinceMs = (stamp: string): number => Number(process.hrtime.bigint() - BigInt(stamp)) / 1e6;

/** From the print to the event, at a client that reads the stream of events. */
function streamMs(url: string, spec: object): Promise<number> {
  const body = JSON.stringify(spec);
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  return new Promise((resolve, reject) => {
    let ms: number | undefined;
    let text = "";
    const call = request(`${url}/api/v1/executions:stream`, { method: "POST", headers });
    call.once("response", (response) => {
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        const stamp = /"stdout":\{"text":"(\d+)/.exec(text)?.[1];
        if (stamp !== undefined) ms ??= sinceMs(stamp);
      });
      response.once("end", () => {
        if (ms !== undefined && text.includes('"status":"SUCCEEDED"')) resolve(ms);
        else reject(new Error(`Cannot measure: ${response.statusCode} ${text.slice(0, 1000)}`));
      });
    });
    call.once("error", reject);
    call.end(body);
  });
}

/** From the print to the bytes, at a parent that reads the pipe. */
function pipeMs(): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, ["-c", code], { stdio: ["ignore", "pipe", "inherit"] });
    let ms: number | undefined;
    child.stdout.setEncoding("utf8").once("data", (text: string) => {
      ms = sinceMs(text.trim());
    });
    child.once("error", reject);
    child.once("close", () => resolve(ms ?? Number.NaN));
  });
}

export async function measureStream(bench: Bench): Promise<readonly Row[]> {
  const { url } = await bench.platform();
  const spec = { language: "python", version: pythonVersion(), code };
  await streamMs(url, spec);
  const syla: number[] = [];
  const samples: number[] = [];
  for (let turn = 0; turn < turnsOf(bench); turn += 1) {
    syla.push(await streamMs(url, spec));
    samples.push(await pipeMs());
  }
  const row = comparison({
    what: "First output of a program that goes on: from its print to the client of the stream, p50",
    ...{ unit: "ms", syla, peer: "bare python3, its pipe read by Node.js", samples },
  });
  return [{ ...row, goal: below(median(syla), boundMs, "ms") }];
}
