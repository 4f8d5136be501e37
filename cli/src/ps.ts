// `syla ps`: the executions that a platform remembers, newest first.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Execution,
  Execution_Status,
  Execution_StatusSchema,
  ExecutionSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { type Command, type Flags, noPositionals, parseFlags } from "./command.ts";
import { printJsonList } from "./json.ts";
import { print } from "./output.ts";
import { connectRunning } from "./platform.ts";
import { printable, table, type Tone, toned } from "./render.ts";
import { formatSpan, parseCount } from "./size.ts";

const flags = {
  filter: { type: "string", default: "", hint: "FILTER", help: `for example 'status = "FAILED"'` },
  limit: { type: "string", default: "20", hint: "N", help: "how many; 20 by default" },
  json: { type: "boolean", default: false, help: "print JSON" },
} as const satisfies Flags;

/** The `ps` command. */
export const ps: Command = {
  usage: "ps [--filter FILTER] [--limit N] [--json]",
  about: "Lists executions, newest first.",
  flags,
  examples: [
    ["syla ps", "the newest 20"],
    [`syla ps --filter 'status = "FAILED" AND language = "python"'`, "only some"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(flags, args);
  noPositionals(positionals);
  const { syla } = await connectRunning();
  const pageSize = parseCount(values.limit, "--limit");
  const { executions } = await syla.execution.listExecutions({ pageSize, filter: values.filter });
  const titles = ["ID", "STATUS", "LANGUAGE", "AGE"].map((title) => toned("faint", title));
  const nowMs = Date.now();
  const rows = executions.map((execution) => row(execution, nowMs));
  if (values.json) await printJsonList(ExecutionSchema, executions);
  else await print(table([titles, ...rows]));
  return 0;
}

function row(execution: Execution, nowMs: number): string[] {
  const { id, language, createdAt } = execution;
  const age = createdAt === undefined ? "-" : formatSpan(nowMs - timestampMs(createdAt));
  return [printable(id), statusLabel(execution), printable(language), age];
}

/** An execution's status with why it failed, in the colour of its meaning. */
export function statusLabel({ status, errorType }: Execution): string {
  const why =
    status === Execution_Status.FAILED && errorType !== undefined
      ? ` (${printable(errorType)})`
      : "";
  const name = Execution_StatusSchema.value[status]?.name ?? String(status);
  return toned(toneOf(status), `${name}${why}`);
}

function toneOf(status: Execution_Status): Tone {
  if (status === Execution_Status.SUCCEEDED) return "good";
  if (status === Execution_Status.FAILED || status === Execution_Status.LOST) return "bad";
  return status === Execution_Status.CANCELLED ? "faint" : "warning";
}
