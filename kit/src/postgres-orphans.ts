// PostgreSQL processes that a platform left behind when it was killed. Whoever holds the data folder is the only one
// to run its database, so any other process of it is an orphan. It is stopped and started anew, rather than adopted:
// a child's end is told to its parent at once, its settings are this version's, and a stop costs a tenth of a second.
//
// They are found by their working folder, which is always the cluster. A postmaster.pid names only the first of them,
// and a pid in it may since belong to a stranger; deleting it while a backend lives would corrupt the data.
import { readdir, readFile, readlink, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "./clock.ts";
import { SylaError } from "./error.ts";
import type { Log } from "./log.ts";

const fastStopMs = 10_000;
const quickStopMs = 5000;
const pollMs = 20;

/** Ends the processes of a cluster that nobody owns, and removes what they would have removed. */
export async function stopOrphans(options: {
  readonly directory: string;
  readonly log: Log;
  readonly clock: Clock;
}): Promise<void> {
  const { directory, log, clock } = options;
  let pids = await processesOf(directory);
  if (pids.length > 0)
    log.warn({ pids }, "stopping a database that an earlier process left behind");
  const first = await postmasterPid(directory);
  // Fast shutdown for the first process, who ends the others; then immediate shutdown; then force.
  const steps: readonly [NodeJS.Signals, (pid: number) => boolean, number][] = [
    ["SIGINT", (pid) => pid === first, fastStopMs],
    ["SIGQUIT", () => true, quickStopMs],
    ["SIGKILL", () => true, quickStopMs],
  ];
  for (const [signal, concerns, withinMs] of steps) {
    for (const pid of pids.filter(concerns)) tell(pid, signal);
    const endMs = clock.now() + withinMs;
    while (pids.length > 0 && clock.now() < endMs) {
      await clock.sleep(pollMs);
      pids = await processesOf(directory);
    }
  }
  if (pids.length > 0) {
    throw new SylaError(
      "database_unavailable",
      `Cannot start the embedded database: processes ${pids.join(", ")} of an earlier one do not end.`,
    );
  }
  for (const name of ["postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"]) {
    await rm(join(directory, name), { force: true });
  }
}

/** The pids of all PostgreSQL processes of a cluster. About 3 ms for 300 processes on the host. */
export async function processesOf(directory: string): Promise<number[]> {
  const cluster = await realpath(directory);
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const mine = await Promise.all(
    pids.map(async (pid) => {
      // A process may end while it is looked at, or be another user's.
      const folder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
      if (folder !== cluster) return false;
      const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
      return /\/postgres(?: \(deleted\))?$/.test(program);
    }),
  );
  return pids.filter((_, index) => mine[index]).map(Number);
}

/** The pid that postmaster.pid names, which may be that of another program by now. */
export async function postmasterPid(directory: string): Promise<number | undefined> {
  const text = await readFile(join(directory, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return Number.isNaN(pid) ? undefined : pid;
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended, or may not be told; whether it is still there is looked at next.
  }
}
