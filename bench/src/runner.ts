// What runs a program again and again: Syla, a peer, or the bare interpreter. All are measured by the same loops, turn
// by turn, because the machine's speed drifts and is shared.
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "./client.ts";
import { type Command, Timer } from "./timer.ts";

/** One of several callers of a runner. */
export interface Lane {
  /** Runs the program once, from the request to the whole answer; in milliseconds. */
  run(): Promise<number>;
  close(): Promise<void>;
}

export interface Runner {
  readonly name: string;
  /** Lanes are numbered from 0, and one number is open once at a time. */
  readonly open: (lane: number) => Lane;
  /** So slow that it is measured in fewer turns. */
  readonly slow?: boolean;
}

/** Runs commands one after another as one run. */
export function processRunner(
  name: string,
  commands: (lane: number) => readonly Command[],
  slow = false,
): Runner {
  const open = (lane: number): Lane => {
    const timer = new Timer();
    const all = commands(lane);
    return { run: () => timer.time(...all), close: () => timer.close() };
  };
  return { name, open, slow };
}

export interface HttpRun {
  readonly url: string;
  readonly path: string;
  readonly body: string;
  /** Stands in the body of every answer to a run that did what it should. */
  readonly expect: string;
}

/** Posts one body to a server. */
export function httpRunner(name: string, { url, path, body, expect }: HttpRun): Runner {
  const open = (): Lane => {
    const client = new Client(url);
    const run = async () => {
      const answer = await client.call(path, body);
      if (!answer.body.includes(expect)) {
        throw new Error(`Cannot measure ${name}: ${answer.status} ${answer.body.slice(0, 1000)}`);
      }
      return answer.ms;
    };
    return { run, close: async () => client.close() };
  };
  return { name, open };
}

const warmUpRuns = 10;
/** What a run sets going in the background ends before the next phase is measured. */
const settleMs = 500;
const slowTurns = 5;

async function warmUp(lanes: readonly Lane[], runs: number): Promise<void> {
  await Promise.all(
    lanes.map(async (lane) => {
      for (let run = 0; run < runs; run += 1) await lane.run();
    }),
  );
  await sleep(settleMs);
}

/** The latencies of each runner, in their order, one caller each. */
export async function latencies(runners: readonly Runner[], turns: number): Promise<number[][]> {
  const lanes = runners.map(({ open, slow = false }) => ({ lane: open(0), slow }));
  const samples = runners.map((): number[] => []);
  try {
    for (const { lane, slow } of lanes) await warmUp([lane], slow ? 1 : warmUpRuns);
    for (let turn = 0; turn < turns; turn += 1) {
      for (const [index, { lane, slow }] of lanes.entries()) {
        if (!slow || turn % slowTurns === 0) samples[index]?.push(await lane.run());
      }
    }
  } finally {
    await Promise.all(lanes.map(({ lane }) => lane.close()));
  }
  return samples;
}

export interface ThroughputOptions {
  readonly callers: number;
  readonly durationMs: number;
  readonly rounds: number;
}

/** Runs a second of each runner, in their order, one figure for each round. */
export async function throughputs(
  runners: readonly Runner[],
  { callers, durationMs, rounds }: ThroughputOptions,
): Promise<number[][]> {
  const samples = runners.map((): number[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, { open }] of runners.entries()) {
      const lanes = Array.from({ length: callers }, (_, lane) => open(lane));
      try {
        await warmUp(lanes, 2);
        samples[index]?.push(await runsPerSecond(lanes, durationMs));
      } finally {
        await Promise.all(lanes.map((lane) => lane.close()));
      }
    }
  }
  return samples;
}

async function runsPerSecond(lanes: readonly Lane[], durationMs: number): Promise<number> {
  const begin = performance.now();
  let count = 0;
  const keepBusy = async (lane: Lane) => {
    while (performance.now() - begin < durationMs) {
      await lane.run();
      count += 1;
    }
  };
  await Promise.all(lanes.map(keepBusy));
  return count / ((performance.now() - begin) / 1000);
}
