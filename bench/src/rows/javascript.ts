// The latency of the smallest JavaScript program, on the Node.js that runs this and that Syla offers.
import { type Bench, turnsOf } from "../measure.ts";
import { sylaRunner } from "../platform.ts";
import { below, comparison, type Row } from "../row.ts";
import { latencies, processRunner } from "../runner.ts";

const code = "console.log(1)";

export async function measureJavascript(bench: Bench): Promise<readonly Row[]> {
  const version = process.versions.node;
  const program = { language: "javascript", version, code, stdout: "1\n" };
  const bare = processRunner("bare node", () => [[process.execPath, "-e", code]]);
  const runners = [sylaRunner(await bench.platform(), program), bare];
  const [syla = [], samples = []] = await latencies(runners, turnsOf(bench));
  const what = `JavaScript \`${code}\`, HTTP request to full answer, p50`;
  const goal = (ratio: number) => below(ratio, 0.7, "×");
  return [comparison({ what, unit: "ms", syla, peer: bare.name, samples, goal })];
}
