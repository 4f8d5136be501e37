// Times whole processes: one after another for latency, several at a time for throughput.
import { spawn } from "node:child_process";

/** Runs a command to its end and answers how long that took, in milliseconds. */
export function timeProcess(command: readonly string[]): Promise<number> {
  const [program = "", ...args] = command;
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    child.stdout.resume();
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(performance.now() - begin);
      else reject(new Error(`${program} ended with ${code}.`));
    });
  });
}

/** Runs a command again and again on so many lanes, and answers how many ended a second. */
export async function processesPerSecond(
  command: readonly string[],
  lanes: number,
  durationMs: number,
): Promise<number> {
  const begin = performance.now();
  let count = 0;
  const lane = async () => {
    while (performance.now() - begin < durationMs) {
      await timeProcess(command);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return count / ((performance.now() - begin) / 1000);
}
