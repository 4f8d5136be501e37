// `syla get`: everything that is known of one execution but its output, or with --json all of it.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Execution, ExecutionSchema } from "@syla/contract/syla/execution/v1/execution";
import { type Command, jsonFlag, onePositional, parseFlags } from "./command.ts";
import { printJson } from "./json.ts";
import { print } from "./output.ts";
import { connectRunning } from "./platform.ts";
import { statusLabel } from "./ps.ts";
import { printable, table, toned } from "./render.ts";
import { formatSpan } from "./size.ts";

/** The `get` command. */
export const get: Command = {
  usage: "get ID [--json]",
  about: "Shows one execution; with --json as the contract has it, output included.",
  flags: jsonFlag,
  examples: [
    ["syla get 0197a2c4-…", "how it stands and what it took"],
    ["syla get 0197a2c4-… --json", "all of it"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(jsonFlag, args);
  const id = onePositional(positionals, "ID");
  const { syla } = await connectRunning();
  const execution = await syla.execution.getExecution({ id });
  if (values.json === true) await printJson(ExecutionSchema, execution);
  else await print(table(facts(execution)));
  return 0;
}

function facts(execution: Execution): string[][] {
  const { id, language, version, exitCode, signal, errorMessage, createdAt, metrics } = execution;
  const took = metrics === undefined ? undefined : formatSpan(metrics.totalDurationMs);
  const peak = metrics === undefined ? undefined : `${metrics.memoryPeakMb.toFixed(1)} MiB`;
  const rows: (readonly [string, string | undefined])[] = [
    ["id", printable(id)],
    ["status", statusLabel(execution)],
    ["language", printable(`${language} ${version}`)],
    ["exit code", exitCode?.toString()],
    ["signal", signal],
    ["why", errorMessage === undefined ? undefined : printable(errorMessage)],
    ["created", createdAt === undefined ? undefined : timestampDate(createdAt).toISOString()],
    ["took", took],
    ["memory", peak],
  ];
  return rows.flatMap(([name, value]) =>
    value === undefined ? [] : [[toned("faint", name), value]],
  );
}
