// `syla template create`: declares a template from a file and follows its build.
import { type Template, Template_Status as Status } from "@syla/contract/syla/sandbox/v1/template";
import type { Syla } from "@syla/sdk";
import { type Command, type Flags, onePositional, parseFlags } from "../command.ts";
import { interruptible } from "../interrupt.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable } from "../render.ts";
import { readTemplateFile } from "./file.ts";
import { templateLabel } from "./list.ts";
import { followBuild } from "./log.ts";

const flags = {
  detach: { type: "boolean", short: "d", default: false, help: "do not wait for the build" },
} as const satisfies Flags;

/** The `template create` command. */
export const create: Command = {
  usage: "template create FILE [-d]",
  about: `Declares the template of a TOML or JSON file and follows its build. What was built as it is declared
is not built again. Ends with 1 when the build fails; leaving does not end the build.

  name = "analysis"
  language = "python"
  commands = ["python3 -m compileall -q ."]
  files = [{ path = "app.py", source = "src/app.py" }, { path = "wheels", source = "wheels" }]
  [packages]
  pip = ["tiny==1.0"]
  [env]
  MODE = "fast"`,
  flags,
  examples: [["syla template create analysis.toml", "declared, built and ready"]],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    const spec = await readTemplateFile(onePositional(positionals, "FILE"));
    const { syla } = await connectRunning();
    return interruptible(async ({ signal }) => {
      const declared = await syla.template.createTemplate({ spec });
      const wait = !values.detach && declared.status === Status.BUILDING;
      const template = wait ? await built(syla, declared, signal) : declared;
      await print(`${printable(template.name)} ${templateLabel(template)}\n`);
      return template.status === Status.FAILED ? 1 : 0;
    });
  },
};

async function built(syla: Syla, declared: Template, signal: AbortSignal): Promise<Template> {
  await followBuild(syla, declared.name, signal);
  return syla.template.getTemplate({ name: declared.name }, { signal });
}
