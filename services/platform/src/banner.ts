// What `npm start` prints: what this is, the languages found with the time of their first jailed run, and the next
// thing to type.
import type { LanguageReport } from "@syla/sandbox";

export interface Banner {
  readonly version: string;
  readonly restUrl: string;
  readonly grpcAddress: string;
  readonly dataDirectory: string;
  /** The file that the API key is in. */
  readonly keyPath: string;
  readonly languages: readonly LanguageReport[];
  /** Why no code can be run here; undefined when it can. */
  readonly unavailable: string | undefined;
}

function time({ firstRun }: LanguageReport): string {
  if (firstRun === undefined) return "preparing";
  if (firstRun.state === "failed") return "does not work in the jail (see the log)";
  const { milliseconds } = firstRun;
  return milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** One line for each language: its versions, the default first, each with the time of its first run. */
function languageLines(reports: readonly LanguageReport[]): string[] {
  const byName = Map.groupBy(reports, ({ language }) => language.name);
  const width = Math.max(...[...byName.keys()].map((name) => name.length));
  return [...byName].map(([name, versions]) => {
    const each = versions.map((report) => `${report.language.version} (${time(report)})`);
    return `    ${name.padEnd(width)}  ${each.join(", ")}`;
  });
}

/** What runs here; the platform's own Node.js always does. */
function firstThing(languages: readonly LanguageReport[]): string {
  return languages.some(({ language }) => language.name === "python")
    ? "npx syla run examples/primes.py"
    : "echo 'console.log(6 * 7)' | npx syla run -l javascript -";
}

/** The text, with a newline at its end. */
export function renderBanner(banner: Banner): string {
  const { version, restUrl, grpcAddress, dataDirectory, keyPath, languages, unavailable } = banner;
  const running =
    unavailable === undefined
      ? ["  Languages, each with the time of its first jailed run:", ...languageLines(languages)]
      : ["  No code can be run on this host:", `    ${unavailable}`];
  return [
    "",
    `  Syla ${version} runs code you do not trust.`,
    "",
    `    REST, GraphQL, WebSocket, gRPC  ${restUrl}`,
    `    gRPC alone                      ${grpcAddress}`,
    `    API documentation               ${restUrl}/docs`,
    `    Data                            ${dataDirectory}`,
    `    API key                         ${keyPath}`,
    "",
    ...running,
    "",
    `  Next: ${unavailable === undefined ? firstThing(languages) : "npx syla doctor"}`,
    "  Ctrl-C stops it.",
    "",
    "",
  ].join("\n");
}
