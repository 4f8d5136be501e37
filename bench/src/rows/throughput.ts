// How many Python programs a second several callers get, beside everything that isolates them.
import { type Bench, pythonVersion } from "../measure.ts";
import { sylaRunner } from "../platform.ts";
import { atLeast, comparison, missingRow, type Row } from "../row.ts";
import { throughputs } from "../runner.ts";
import { digits, median } from "../stats.ts";

const code = "print(1)";
const options = { callers: 8, durationMs: 2000 };
const runsPerSecondMin = 300;
const pistonTimesMin = 5;

export async function measureThroughput(bench: Bench): Promise<readonly Row[]> {
  const what = `Python \`${code}\` in fresh jails, ${options.callers} callers`;
  const program = { language: "python", version: pythonVersion(), code, stdout: "1\n" };
  const installed = bench.peers.flatMap((peer) => (peer.kind === "installed" ? [peer] : []));
  const peers = installed.map((peer) => peer.python(code)).filter(({ slow }) => slow !== true);
  const runners = [sylaRunner(await bench.platform(), program), ...peers];
  const [syla = [], ...others] = await throughputs(runners, { ...options, rounds: bench.rounds });
  const own = median(syla);
  const measured = peers.map(({ name }, index) =>
    comparison({
      ...{ what, unit: "a second", syla, peer: name, samples: others[index] ?? [] },
      goal: name === "Piston" ? (ratio) => atLeast(ratio, pistonTimesMin, "×") : undefined,
    }),
  );
  const missing = bench.peers.filter(({ kind }) => kind === "missing");
  return [
    { what, syla: `${digits(own)} a second`, goal: atLeast(own, runsPerSecondMin, "a second") },
    ...measured,
    ...missing.map(({ name }) => missingRow(what, name)),
  ];
}
