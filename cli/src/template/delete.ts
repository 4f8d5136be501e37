// `syla template delete`: removes a template.
import { type Command, onePositional, parseFlags } from "../command.ts";
import { connectRunning } from "../platform.ts";

/** The `template delete` command. */
export const remove: Command = {
  usage: "template delete NAME",
  about: "Removes a template, and ends its build. Sandboxes that began with it go on.",
  flags: {},
  examples: [["syla template delete analysis", "its name is free again"]],
  execute: async (args) => {
    const { positionals } = parseFlags({}, args);
    const name = onePositional(positionals, "NAME");
    const { syla } = await connectRunning();
    await syla.template.deleteTemplate({ name });
    return 0;
  },
};
