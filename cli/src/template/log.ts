// `syla template log`: what the last build of a template did, to its end.
import type { Syla } from "@syla/sdk";
import { type Command, onePositional, parseFlags } from "../command.ts";
import { interruptible } from "../interrupt.ts";
import { note, print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, toned } from "../render.ts";

/** The `template log` command. */
export const log: Command = {
  usage: "template log NAME",
  about: "Prints what the last build of a template did; of one that is being built, as it comes.",
  flags: {},
  examples: [["syla template log analysis", "its steps, and what each wrote"]],
  execute: async (args) => {
    const { positionals } = parseFlags({}, args);
    const name = onePositional(positionals, "NAME");
    const { syla } = await connectRunning();
    return interruptible(async ({ signal }) => {
      await followBuild(syla, name, signal);
      return 0;
    });
  },
};

/** Prints a build as it goes on, until it has ended. */
export async function followBuild(syla: Syla, name: string, signal: AbortSignal): Promise<void> {
  for await (const { event } of syla.template.watchTemplate({ name }, { signal })) {
    if (event.case === "step") await print(`${toned("strong", `> ${printable(event.value)}`)}\n`);
    if (event.case === "output") await print(shown(event.value));
    if (event.case === "lostBytes") await note(`${event.value} bytes of output were not kept`);
    if (event.case === "ended" && event.value.errorMessage !== undefined) {
      await note(printable(event.value.errorMessage));
    }
  }
}

/** Lines as they are; anything else that a terminal would obey came from the build. */
function shown(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, " ");
}
