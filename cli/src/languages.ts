// `syla languages`: what programs can be written in on the platform that commands here use.
import { type Language, LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { type Command, jsonFlag, noPositionals, parseFlags } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { printJsonList } from "./json.ts";
import { print } from "./output.ts";
import { connect } from "./platform.ts";
import { printable, table, toned } from "./render.ts";
import { formatSpan } from "./size.ts";

/** The `languages` command. */
export const languages: Command = {
  usage: "languages [--json]",
  about: "Lists the languages that programs can be written in, the default version of each first.",
  flags: jsonFlag,
  examples: [["syla languages", "names, versions, file endings, and how long the first run took"]],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(jsonFlag, args);
  noPositionals(positionals);
  return interruptible(async ({ signal }) => {
    const { syla, close } = await connect(signal);
    try {
      const { languages: found } = await syla.execution.listLanguages({}, { signal });
      if (values.json === true) await printJsonList(LanguageSchema, found);
      else await print(table([header(), ...found.map(row)]));
      return 0;
    } finally {
      await close();
    }
  });
}

function header(): string[] {
  const titles = ["LANGUAGE", "VERSION", "ALSO", "FILES", "KIND", "FIRST RUN"];
  return titles.map((title) => toned("faint", title));
}

function row(language: Language): string[] {
  const { name, version, aliases, extensions, compiled, firstRunMs } = language;
  return [
    name,
    version,
    aliases.join(" ") || "-",
    extensions.map((ending) => `.${ending}`).join(" ") || "-",
    compiled ? "compiled" : "interpreted",
    firstRunMs === undefined ? "-" : formatSpan(firstRunMs),
  ].map(printable);
}
