// What it is worth that an interpreter has started before its program comes: the smallest program of each language that
// is here, on a platform that starts interpreters in advance and on one that executes them.
import { Client } from "../client.ts";
import { type Bench, turnsOf } from "../measure.ts";
import { endPlatform, type Platform, startPlatform, sylaRunner } from "../platform.ts";
import { comparison, type Row } from "../row.ts";
import { latencies, type Runner } from "../runner.ts";

/** What each writes is a line with a 1. */
const programs: Readonly<Record<string, string>> = {
  python: "print(1)",
  javascript: "console.log(1)",
  typescript: "const one: number = 1; console.log(one)",
  ruby: "puts 1",
  r: 'cat("1\\n")',
  php: "<?php echo 1, PHP_EOL;",
  perl: 'print "1\\n";',
  lua: "print(1)",
  bash: "echo 1",
};

async function offered({ url }: Platform): Promise<ReadonlySet<string>> {
  const client = new Client(url);
  const { body } = await client.call("/api/v1/languages");
  client.close();
  return new Set(Object.keys(programs).filter((name) => body.includes(`"name":"${name}"`)));
}

export async function measureLanguages(bench: Bench): Promise<readonly Row[]> {
  const started = await bench.platform();
  const executing = await startPlatform({ env: { SYLA_SANDBOX_WARM_INTERPRETERS: "false" } });
  try {
    const rows: Row[] = [];
    for (const language of await offered(started)) {
      const program = { language, code: programs[language] ?? "", stdout: "1\n" };
      const pair: Runner[] = [sylaRunner(started, program), sylaRunner(executing, program)];
      const [syla = [], samples = []] = await latencies(pair, turnsOf(bench));
      rows.push(
        comparison({
          what: `Hello in ${language}, HTTP request to full answer, p50`,
          ...{ unit: "ms", syla, peer: "executed in the jail", samples },
        }),
      );
    }
    return rows;
  } finally {
    await endPlatform(executing);
  }
}
