// `syla sandbox list`: the sandboxes that a platform remembers, newest first.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Sandbox,
  Sandbox_Status as Status,
  Sandbox_StatusSchema as StatusSchema,
  SandboxSchema,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Command, type Flags, noPositionals, parseFlags } from "../command.ts";
import { printJsonList } from "../json.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, table, type Tone, toned } from "../render.ts";
import { formatSpan, parseCount } from "../size.ts";

const flags = {
  filter: { type: "string", default: "", hint: "FILTER", help: `for example 'status = "RUNNING"'` },
  limit: { type: "string", default: "20", hint: "N", help: "how many; 20 by default" },
  json: { type: "boolean", default: false, help: "print JSON" },
} as const satisfies Flags;

/** The `sandbox list` command. */
export const list: Command = {
  usage: "sandbox list [--filter FILTER] [--limit N] [--json]",
  about: "Lists sandboxes, newest first, those that have ended among them.",
  flags,
  examples: [
    ["syla sandbox list", "the newest 20"],
    [`syla sandbox list --filter 'status = "RUNNING" AND metadata.user = "ada"'`, "only some"],
  ],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    noPositionals(positionals);
    const { syla } = await connectRunning();
    const pageSize = parseCount(values.limit, "--limit");
    const { sandboxes } = await syla.sandbox.listSandboxes({ pageSize, filter: values.filter });
    const titles = ["ID", "STATUS", "LANGUAGE", "AGE", "LEFT"];
    const rows = sandboxes.map((sandbox) => row(sandbox, Date.now()));
    if (values.json) await printJsonList(SandboxSchema, sandboxes);
    else await print(table([titles.map((title) => toned("faint", title)), ...rows]));
    return 0;
  },
};

function row(sandbox: Sandbox, nowMs: number): string[] {
  const { id, language, createdAt } = sandbox;
  const age = createdAt === undefined ? "-" : formatSpan(nowMs - timestampMs(createdAt));
  const left = leftMs(sandbox, nowMs);
  return [
    printable(id),
    sandboxLabel(sandbox),
    printable(language) || "-",
    age,
    left === undefined ? "-" : formatSpan(left),
  ];
}

/** How long a sandbox still stays; undefined when it has ended. */
export function leftMs({ status, expiresAt }: Sandbox, nowMs: number): number | undefined {
  if (status !== Status.RUNNING && status !== Status.PAUSED) return undefined;
  return expiresAt === undefined ? undefined : timestampMs(expiresAt) - nowMs;
}

/** A sandbox's status with why it ended, in the colour of its meaning. */
export function sandboxLabel({ status, endReason }: Sandbox): string {
  const why = endReason === undefined ? "" : ` (${printable(endReason)})`;
  const name = StatusSchema.value[status]?.name ?? String(status);
  return toned(toneOf(status), `${name}${why}`);
}

function toneOf(status: Status): Tone {
  if (status === Status.RUNNING) return "good";
  if (status === Status.PAUSED) return "warning";
  return status === Status.ENDED ? "faint" : "bad";
}
