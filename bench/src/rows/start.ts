// What a platform takes that has nothing to do: time to start, and memory.
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench } from "../measure.ts";
import { endPlatform, makeData, residentMiB, startPlatform } from "../platform.ts";
import { below, type Row } from "../row.ts";
import { digits, median } from "../stats.ts";

/** When what a start does is over, and the memory given back that it took. */
const restMs = 20_000;

export async function measureStart(bench: Bench): Promise<readonly Row[]> {
  const data = makeData();
  await (await startPlatform({ data })).stop();
  const readyMs: number[] = [];
  const restMiB: number[] = [];
  for (let round = 1; round <= bench.rounds; round += 1) {
    const platform = await startPlatform({ data });
    readyMs.push(platform.readyMs);
    await sleep(restMs);
    restMiB.push(residentMiB(platform.pid));
    await (round < bench.rounds ? platform.stop() : endPlatform(platform));
  }
  const ms = median(readyMs);
  const mebibytes = median(restMiB);
  return [
    {
      what: "Resident memory at rest",
      syla: `${digits(mebibytes)} MiB`,
      goal: below(mebibytes, 200, "MiB"),
    },
    {
      what: "Start to ready, initialised database",
      syla: `${digits(ms)} ms`,
      goal: below(ms, 5000, "ms"),
    },
  ];
}
