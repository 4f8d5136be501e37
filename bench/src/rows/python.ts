// The latency of the smallest Python program, beside the bare interpreter and everything else that isolates it.
import { type Bench, pythonVersion, turnsOf } from "../measure.ts";
import { python } from "../peers.ts";
import { sylaRunner } from "../platform.ts";
import { below, comparison, missingRow, type Row } from "../row.ts";
import { latencies, processRunner } from "../runner.ts";

const code = "print(1)";

export async function measurePython(bench: Bench): Promise<readonly Row[]> {
  const what = `Python \`${code}\` in a fresh jail, HTTP request to full answer, p50`;
  const program = { language: "python", version: pythonVersion(), code, stdout: "1\n" };
  const installed = bench.peers.flatMap((peer) => (peer.kind === "installed" ? [peer] : []));
  const peers = [
    processRunner("bare python3", () => [[python, "-c", code]]),
    ...installed.map((peer) => peer.python(code)),
  ];
  const runners = [sylaRunner(await bench.platform(), program), ...peers];
  const [syla = [], ...others] = await latencies(runners, turnsOf(bench));
  const measured = peers.map(({ name }, index) =>
    comparison({
      ...{ what, unit: "ms", syla, peer: name, samples: others[index] ?? [] },
      goal: index === 0 ? (ratio) => below(ratio, 1, "×") : undefined,
    }),
  );
  const missing = bench.peers.filter(({ kind }) => kind === "missing");
  return [...measured, ...missing.map(({ name }) => missingRow(what, name))];
}
