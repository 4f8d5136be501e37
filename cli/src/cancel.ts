// `syla cancel`: ends an execution, and says how it then stands.
import { type Command, onePositional, parseFlags } from "./command.ts";
import { print } from "./output.ts";
import { connectRunning } from "./platform.ts";
import { statusLabel } from "./ps.ts";
import { printable } from "./render.ts";

/** The `cancel` command. */
export const cancel: Command = {
  usage: "cancel ID",
  about: "Ends a queued or running execution. One that had ended stays as it was.",
  flags: {},
  examples: [["syla cancel 0197a2c4-…", "prints its id and its status"]],
  execute: async (args) => {
    const { positionals } = parseFlags({}, args);
    const id = onePositional(positionals, "ID");
    const { syla } = await connectRunning();
    const execution = await syla.execution.cancelExecution({ id });
    await print(`${printable(execution.id)} ${statusLabel(execution)}\n`);
    return 0;
  },
};
