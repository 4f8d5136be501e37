// `syla template`: the commands for templates, each loaded when it is called.
import type { Group } from "../command.ts";

/** The `template` commands. */
export const template: Group = {
  usage: "template COMMAND",
  about: `Templates are what sandboxes can begin with: files, packages and what commands make of them, declared
in a file and built once. 'syla sandbox create --template NAME' makes a sandbox of one.`,
  commands: {
    create: {
      about: "declare one, and follow its build",
      load: async () => (await import("./create.ts")).create,
    },
    list: {
      about: "list them, the last declared first",
      load: async () => (await import("./list.ts")).list,
    },
    get: {
      about: "one of them",
      load: async () => (await import("./get.ts")).get,
    },
    log: {
      about: "what the last build of one did",
      load: async () => (await import("./log.ts")).log,
    },
    delete: {
      about: "remove one",
      load: async () => (await import("./delete.ts")).remove,
    },
  },
  examples: [
    ["syla template create analysis.toml", "built, unless it was built as it is declared"],
    ["syla shell --template analysis", "a terminal in a sandbox of it"],
    ["syla template delete analysis", "its end; sandboxes that began with it go on"],
  ],
};
