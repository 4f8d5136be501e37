// `doctor --json`: what this host can do for isolation, and which languages it has, for the CLI to print.
import { discoverLanguages, probeHost } from "@syla/sandbox";

/** Probes the host and prints what was found as one JSON object. */
export async function printDiagnosis(cacheDirectory: string): Promise<void> {
  const [capabilities, languages] = await Promise.all([
    probeHost(),
    discoverLanguages({ cacheDirectory, signal: new AbortController().signal }),
  ]);
  const diagnosis = {
    capabilities,
    languages: languages.map(({ name, version, note }) => ({ name, version, note })),
  };
  process.stdout.write(`${JSON.stringify(diagnosis, undefined, 2)}\n`);
}
