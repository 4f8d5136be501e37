// The same with a package that takes long to load, which Syla has loaded before.
import { type Bench, packageVersion, pythonVersion, turnsOf } from "../measure.ts";
import { python } from "../peers.ts";
import { endPlatform, sylaRunner, startPlatform } from "../platform.ts";
import { below, comparison, missingRow, type Row } from "../row.ts";
import { latencies, processRunner } from "../runner.ts";

const code = "import numpy; print(1)";

export async function measureNumpy(bench: Bench): Promise<readonly Row[]> {
  const what = `Python \`${code}\`, preloaded, HTTP request to full answer, p50`;
  if (packageVersion("numpy") === undefined) return [missingRow(what, "numpy")];
  const platform = await startPlatform({ env: { SYLA_SANDBOX_PYTHON_PRELOAD: "numpy" } });
  try {
    const program = { language: "python", version: pythonVersion(), code, stdout: "1\n" };
    const bare = processRunner("bare python3", () => [[python, "-c", code]]);
    const runners = [sylaRunner(platform, program), bare];
    const [syla = [], samples = []] = await latencies(runners, turnsOf(bench));
    const goal = (ratio: number) => below(ratio, 0.2, "×");
    return [comparison({ what, unit: "ms", syla, peer: bare.name, samples, goal })];
  } finally {
    await endPlatform(platform);
  }
}
