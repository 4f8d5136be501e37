// Holds every import against the rules in .dependency-cruiser.json. Without a parser that knows TypeScript,
// dependency-cruiser sees nothing and reports success, so this also demands that it saw every file.
import { listFiles, root, runTool } from "./repository.ts";

const folders = ["bench", "cli", "contract", "kit", "sdks", "services", "tests", "tools"];

interface Violation {
  readonly from: string;
  readonly to: string;
  readonly rule: { readonly name: string };
  readonly cycle?: readonly { readonly name: string }[];
}

interface Report {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: { readonly violations: readonly Violation[] };
}

// The shape is that of dependency-cruiser's own result schema, of which this reads a part.
function parseReport(text: string): Report {
  return JSON.parse(text) as Report;
}

async function main(): Promise<void> {
  const args = ["--output-type", "json", ...folders];
  const { output, stdout } = await runTool("depcruise", args);
  if (!stdout.toString("utf8").startsWith("{")) {
    console.log(output.split("Stack backtrace", 1)[0]);
    process.exitCode = 1;
    return;
  }
  const report = parseReport(stdout.toString("utf8"));
  const seen = new Set(report.modules.map(({ source }) => source));
  const expected = listFiles(root).filter(
    (path) => path.endsWith(".ts") && folders.includes(path.split("/", 1)[0] ?? ""),
  );
  const unseen = expected.filter((path) => !seen.has(path));
  for (const path of unseen) console.log(`${path} was not seen by dependency-cruiser`);
  const { violations } = report.summary;
  for (const { from, to, rule, cycle } of violations) {
    const way = cycle === undefined ? to : cycle.map(({ name }) => name).join(" -> ");
    console.log(`${from} -> ${way} [${rule.name}]`);
  }
  console.log(`${expected.length - unseen.length} of ${expected.length} files seen`);
  if (violations.length > 0 || unseen.length > 0 || expected.length === 0) process.exitCode = 1;
}

await main();
