// `syla template get`: how a template stands, and what sandboxes get of it.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Template, TemplateSchema } from "@syla/contract/syla/sandbox/v1/template";
import { type Command, jsonFlag, onePositional, parseFlags } from "../command.ts";
import { printJson } from "../json.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, table, toned } from "../render.ts";
import { formatBytes } from "../size.ts";
import { templateLabel } from "./list.ts";

/** The `template get` command. */
export const get: Command = {
  usage: "template get NAME [--json]",
  about: "Shows one template.",
  flags: jsonFlag,
  examples: [["syla template get analysis", "how it stands, and how large it is"]],
  execute: async (args) => {
    const { values, positionals } = parseFlags(jsonFlag, args);
    const name = onePositional(positionals, "NAME");
    const { syla } = await connectRunning();
    const template = await syla.template.getTemplate({ name });
    if (values.json === true) await printJson(TemplateSchema, template);
    else await print(table(facts(template)));
    return 0;
  },
};

function facts(template: Template): string[][] {
  const { name, language, version, metadata, env, directory, builtAt, errorMessage } = template;
  const labels = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  const rows: (readonly [string, string | undefined])[] = [
    ["name", printable(name)],
    ["status", templateLabel(template)],
    ["why", errorMessage === undefined ? undefined : printable(errorMessage)],
    ["language", printable(`${language} ${version}`) || undefined],
    ["labels", printable(labels.join(" ")) || undefined],
    ["variables", printable(Object.keys(env).join(" ")) || undefined],
    ["directory", printable(directory) || undefined],
    ["size", `${formatBytes(template.sizeBytes)} in ${template.entries} files and folders`],
    ["built", builtAt === undefined ? undefined : timestampDate(builtAt).toISOString()],
  ];
  return rows.flatMap(([title, value]) =>
    value === undefined ? [] : [[toned("faint", title), value]],
  );
}
