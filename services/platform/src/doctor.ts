// `doctor --json`: what this host can do for isolation, and which languages it has, for the CLI to print.
import { discoverLanguages, missingLanguages, probeHost } from "@syla/sandbox";

/** Probes the host and prints what was found as one JSON object. */
export async function printDiagnosis(
  dataDirectory: string,
  limits: "cgroup" | "rlimit",
): Promise<void> {
  const [capabilities, languages] = await Promise.all([
    probeHost({ limits, dataDirectory }),
    discoverLanguages({ cacheDirectory: dataDirectory, signal: new AbortController().signal }),
  ]);
  const missing = missingLanguages(languages).map(({ name, remedy }) => ({
    ...{ name, ok: false, required: false, detail: "not found", remedy },
  }));
  const diagnosis = {
    capabilities: [...capabilities, ...missing],
    languages: languages.map(({ name, version, note }) => ({ name, version, note })),
  };
  process.stdout.write(`${JSON.stringify(diagnosis, undefined, 2)}\n`);
}
