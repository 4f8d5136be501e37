// Runs every test of the repository: first those beside the code, then the end-to-end tests, and closes with one line
// of counts. Arguments name parts of paths, to run some of them. In CI a skipped test fails the run unless its reason
// is one that only the host can change, and a process that outlives the tests always does.
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { randomUUID } from "node:crypto";
import { listFiles, root } from "./repository.ts";

const testTimeoutMs = 120_000;
const fileTimeoutMs = 300_000;
const runTimeoutMs = 1_800_000;
const leftoverGraceMs = 3000;

// What is promised of jails is promised of every kind (SYLA_TEST_SLOTS): these run once more for each of the kinds that
// are not a platform's default.
const slotKinds = ["fresh", "pooled"];
const ofEverySlotKind = [
  /^tests\/(adversarial\/|e2e\/(archives|snapshots|templates)\.)/,
  /^services\/sandbox\/src\/(jail\/(jail|walls|neighbours)|copies\/tree-copy)\.test\.ts$/,
];

// What takes all that a machine has is not to be beside others.
const floods = /^tests\/adversarial\//;

// Why a test may be skipped even in CI: the host lacks something that no package can give it.
const hostReasons: readonly RegExp[] = [
  /^no KVM/,
  /^no cgroup \w+ controller/,
  /^no kernel headers on this host/,
  /^\w+ is not on this host/,
  /^not \w+: another architecture/,
];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Skip {
  readonly name: string;
  readonly reason: string;
}

async function runFiles(
  files: readonly string[],
  concurrency: number,
  signal: AbortSignal,
): Promise<{ counts: Counts; skips: readonly Skip[] }> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const skips: Skip[] = [];
  if (files.length === 0) return { counts, skips };
  const paths = files.map((file) => join(root, file));
  const stream = run({ files: paths, concurrency, timeout: testTimeoutMs, signal, cwd: root });
  stream.on("test:pass", ({ name, skip, details }) => {
    if (details.type === "suite") return;
    if (skip === undefined) {
      counts.passed += 1;
    } else {
      counts.skipped += 1;
      skips.push({ name, reason: typeof skip === "string" ? skip : "no reason given" });
    }
  });
  stream.on("test:fail", ({ details }) => {
    if (details.type !== "suite") counts.failed += 1;
  });
  const report = stream.compose(spec);
  for await (const chunk of report) process.stdout.write(String(chunk));
  return { counts, skips };
}

/** Processes that carry this run's mark in their environment, the tests' own children and theirs. */
function findLeftovers(mark: string): readonly { pid: number; command: string }[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, "latin1").includes(mark)) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return command === "" ? [] : [{ pid, command }];
    } catch {
      // It ended meanwhile, or it is another user's, which none of the tests' is.
      return [];
    }
  });
}

/**
 * Ends the process of a test file that goes on for too long: node:test bounds each test, but waits without end for a
 * file whose tests are over and which something, a socket or a timer, keeps alive. Answers how to stop watching.
 */
function watchFiles(mark: string): () => void {
  const firstSeen = new Map<number, number>();
  const look = () => {
    for (const { pid, command } of findLeftovers(mark)) {
      const file = /\S+\.test\.ts$/.exec(command)?.[0];
      if (file === undefined) continue;
      const since = firstSeen.get(pid) ?? Date.now();
      firstSeen.set(pid, since);
      if (Date.now() - since < fileTimeoutMs) continue;
      console.log(`${file} did not end within ${fileTimeoutMs / 1000} s and is ended now.`);
      killQuietly(pid);
    }
  };
  const timer = setInterval(look, 5000);
  return () => clearInterval(timer);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

async function endLeftovers(mark: string): Promise<number> {
  const until = Date.now() + leftoverGraceMs;
  while (findLeftovers(mark).length > 0 && Date.now() < until) await sleep(100);
  const leftovers = findLeftovers(mark);
  for (const { pid, command } of leftovers) {
    console.log(`Left behind by a test and ended now: ${command} (process ${pid})`);
    killQuietly(pid);
  }
  return leftovers.length;
}

function judgeSkips(skips: readonly Skip[]): number {
  let refused = 0;
  for (const { name, reason } of skips) {
    const allowed = hostReasons.some((pattern) => pattern.test(reason));
    if (!allowed) refused += 1;
    console.log(`Skipped${allowed ? "" : " without a host's reason"}: ${name} (${reason})`);
  }
  return refused;
}

async function main(filters: readonly string[]): Promise<void> {
  const tests = listFiles(root).filter((file) => file.endsWith(".test.ts"));
  const chosen = tests.filter(
    (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
  );
  const unit = chosen.filter((file) => !file.startsWith("tests/"));
  const endToEnd = chosen.filter((file) => file.startsWith("tests/") && !floods.test(file));
  const adversarial = chosen.filter((file) => floods.test(file));
  const mark = `SYLA_TEST_RUN=${randomUUID()}`;
  process.env["SYLA_TEST_RUN"] = mark.slice(mark.indexOf("=") + 1);
  const stopped = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stopped.abort());
  const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(runTimeoutMs)]);

  const stopWatching = watchFiles(mark);
  const processors = availableParallelism();
  const fewer = Math.max(1, Math.floor(processors / 2));
  const parts = [
    await runFiles(unit, processors, signal),
    // Each starts a platform of its own, and most of its time is waiting.
    await runFiles(endToEnd, processors, signal),
    await runFiles(adversarial, fewer, signal),
  ];
  const again = chosen.filter((file) => ofEverySlotKind.some((kind) => kind.test(file)));
  for (const kind of signal.aborted ? [] : slotKinds) {
    process.env["SYLA_TEST_SLOTS"] = kind;
    console.log(`Once more with ${kind} jails:`);
    parts.push(await runFiles(again, fewer, signal));
  }
  stopWatching();
  const left = await endLeftovers(mark);
  const refused = judgeSkips(parts.flatMap((part) => part.skips));
  const sum = (key: keyof Counts) => parts.reduce((total, part) => total + part.counts[key], 0);
  const failed = sum("failed") + left;
  const inCi = process.env["CI"] !== undefined && process.env["CI"] !== "false";
  if (failed > 0 || signal.aborted || (inCi && refused > 0) || sum("passed") === 0) {
    process.exitCode = 1;
  }
  console.log(`${sum("passed")} passed, ${failed} failed, ${sum("skipped")} skipped`);
}

await main(process.argv.slice(2));
