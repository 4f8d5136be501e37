// `syla sandbox pause`, `resume` and `kill`: each changes one sandbox and says how it then stands.
import type { Sandbox } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Syla } from "@syla/sdk";
import { type Command, onePositional, parseFlags } from "../command.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable } from "../render.ts";
import { sandboxLabel } from "./list.ts";

/** The `sandbox pause` command. */
export const pause = changing(
  "pause",
  "Stops everything in a sandbox where it is, memory kept. Its lifetime goes on.",
  (syla, id) => syla.sandbox.pauseSandbox({ id }),
);

/** The `sandbox resume` command. */
export const resume = changing("resume", "Lets a paused sandbox go on.", (syla, id) =>
  syla.sandbox.resumeSandbox({ id }),
);

/** The `sandbox kill` command. */
export const kill = changing(
  "kill",
  "Ends a sandbox with everything in it. One that had ended stays as it was.",
  (syla, id) => syla.sandbox.killSandbox({ id }),
);

function changing(
  name: string,
  about: string,
  change: (syla: Syla, id: string) => Promise<Sandbox>,
): Command {
  return {
    usage: `sandbox ${name} SANDBOX`,
    about,
    flags: {},
    examples: [[`syla sandbox ${name} 0197a2c4-…`, "prints its id and its status"]],
    execute: async (args) => {
      const { positionals } = parseFlags({}, args);
      const id = onePositional(positionals, "SANDBOX");
      const { syla } = await connectRunning();
      const sandbox = await change(syla, id);
      await print(`${printable(sandbox.id)} ${sandboxLabel(sandbox)}\n`);
      return 0;
    },
  };
}
