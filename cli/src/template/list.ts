// `syla template list`: the templates that there are, the one that was declared last first.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Template,
  Template_Status as Status,
  Template_StatusSchema as StatusSchema,
  TemplateSchema,
} from "@syla/contract/syla/sandbox/v1/template";
import { type Command, type Flags, noPositionals, parseFlags } from "../command.ts";
import { printJsonList } from "../json.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, table, type Tone, toned } from "../render.ts";
import { formatSpan, parseCount } from "../size.ts";

const flags = {
  filter: { type: "string", default: "", hint: "FILTER", help: `for example 'status = "READY"'` },
  limit: { type: "string", default: "20", hint: "N", help: "how many; 20 by default" },
  json: { type: "boolean", default: false, help: "print JSON" },
} as const satisfies Flags;

/** The `template list` command. */
export const list: Command = {
  usage: "template list [--filter FILTER] [--limit N] [--json]",
  about: "Lists templates, the one that was declared last first.",
  flags,
  examples: [["syla template list", "the last 20"]],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    noPositionals(positionals);
    const { syla } = await connectRunning();
    const pageSize = parseCount(values.limit, "--limit");
    const { templates } = await syla.template.listTemplates({ pageSize, filter: values.filter });
    const titles = ["NAME", "STATUS", "LANGUAGE", "AGE"].map((title) => toned("faint", title));
    if (values.json) await printJsonList(TemplateSchema, templates);
    else await print(table([titles, ...templates.map((one) => row(one, Date.now()))]));
    return 0;
  },
};

function row(template: Template, nowMs: number): string[] {
  const { name, language, createdAt } = template;
  const age = createdAt === undefined ? "-" : formatSpan(nowMs - timestampMs(createdAt));
  return [printable(name), templateLabel(template), printable(language) || "-", age];
}

/** A template's status, in the colour of its meaning. */
export function templateLabel({ status }: Template): string {
  return toned(toneOf(status), StatusSchema.value[status]?.name ?? String(status));
}

function toneOf(status: Status): Tone {
  if (status === Status.READY) return "good";
  return status === Status.FAILED ? "bad" : "warning";
}
