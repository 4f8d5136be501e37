// `syla sandbox get`: how a sandbox stands, and what runs in it.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Process } from "@syla/contract/syla/sandbox/v1/process";
import {
  type Sandbox,
  Sandbox_Status as Status,
  SandboxSchema,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Command, jsonFlag, onePositional, parseFlags } from "../command.ts";
import { printJson } from "../json.ts";
import { exitCodeOfProcess } from "../outcome.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, table, toned } from "../render.ts";
import { leftMs, sandboxLabel } from "./list.ts";
import { formatBytes, formatSpan } from "../size.ts";

/** The `sandbox get` command. */
export const get: Command = {
  usage: "sandbox get SANDBOX [--json]",
  about:
    "Shows one sandbox and the processes that were started in it; with --json the sandbox alone.",
  flags: jsonFlag,
  examples: [["syla sandbox get 0197a2c4-…", "how it stands, and the numbers of its processes"]],
  execute: async (args) => {
    const { values, positionals } = parseFlags(jsonFlag, args);
    const id = onePositional(positionals, "SANDBOX");
    const { syla } = await connectRunning();
    const sandbox = await syla.sandbox.getSandbox({ id });
    if (values.json === true) {
      await printJson(SandboxSchema, sandbox);
      return 0;
    }
    await print(table(facts(sandbox)));
    if (sandbox.status !== Status.RUNNING && sandbox.status !== Status.PAUSED) return 0;
    const { processes } = await syla.process.listProcesses({ sandbox: id });
    const titles = ["PROCESS", "STATUS", "TERMINAL", "COMMAND"];
    const rows = [titles.map((title) => toned("faint", title)), ...processes.map(row)];
    if (processes.length > 0) await print(`\n${table(rows)}`);
    return 0;
  },
};

function facts(sandbox: Sandbox): string[][] {
  const { id, language, version, limits, metadata, createdAt, endMessage } = sandbox;
  const left = leftMs(sandbox, Date.now());
  const labels = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  const rows: (readonly [string, string | undefined])[] = [
    ["id", printable(id)],
    ["status", sandboxLabel(sandbox)],
    ["why", endMessage === undefined ? undefined : printable(endMessage)],
    ["language", printable(`${language} ${version}`) || undefined],
    ["labels", printable(labels.join(" ")) || undefined],
    ["memory", limits === undefined ? undefined : formatBytes(Number(limits.memoryBytes))],
    ["disk", limits === undefined ? undefined : formatBytes(Number(limits.diskBytes))],
    ["processes", limits === undefined ? undefined : `${limits.pids} at most`],
    ["created", createdAt === undefined ? undefined : timestampDate(createdAt).toISOString()],
    ["left", left === undefined ? undefined : formatSpan(left)],
  ];
  return rows.flatMap(([name, value]) =>
    value === undefined ? [] : [[toned("faint", name), value]],
  );
}

function row(process: Process): string[] {
  const { id, running, command, args, terminal } = process;
  const status = running ? toned("good", "running") : `exit ${exitCodeOfProcess(process)}`;
  const size = terminal === undefined ? "-" : `${terminal.columns}x${terminal.rows}`;
  return [String(id), status, size, printable([command, ...args].join(" "))];
}
