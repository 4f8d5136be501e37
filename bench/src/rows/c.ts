// The latency of a C program that was built before, beside a fork and an exec of its binary.
import { buildC } from "../build.ts";
import { type Bench, turnsOf } from "../measure.ts";
import { sylaRunner } from "../platform.ts";
import { comparison, type Row } from "../row.ts";
import { latencies, processRunner } from "../runner.ts";
import { digits, median } from "../stats.ts";

const code = '#include <stdio.h>\nint main(void) { puts("hello"); }\n';
const factor = 1.5;
const extraMs = 5;

export async function measureC(bench: Bench): Promise<readonly Row[]> {
  const binary = buildC("hello", code);
  const bare = processRunner("its binary, fork and exec", () => [[binary]]);
  const program = { language: "c", code, stdout: "hello\n" };
  const runners = [sylaRunner(await bench.platform(), program), bare];
  const [syla = [], samples = []] = await latencies(runners, turnsOf(bench));
  const bound = factor * median(samples) + extraMs;
  return [
    {
      ...comparison({
        what: "C hello, built before, HTTP request to full answer, p50",
        ...{ unit: "ms", syla, peer: bare.name, samples },
      }),
      goal: {
        text: `< ${factor} × + ${extraMs} ms = ${digits(bound)} ms`,
        met: median(syla) < bound,
      },
    },
  ];
}
