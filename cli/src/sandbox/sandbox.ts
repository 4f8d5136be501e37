// `syla sandbox`: the commands for sandboxes, each loaded when it is called.
import type { Group } from "../command.ts";

/** The `sandbox` commands. */
export const sandbox: Group = {
  usage: "sandbox COMMAND",
  about: `Sandboxes are jails that stay until they are killed or their lifetime is over. Processes run and
files lie in them. 'syla shell' opens a terminal in one.`,
  commands: {
    create: {
      about: "make one, and print its id",
      load: async () => (await import("./create.ts")).create,
    },
    list: {
      about: "list them, newest first",
      load: async () => (await import("./list.ts")).list,
    },
    get: {
      about: "one of them, and its processes",
      load: async () => (await import("./get.ts")).get,
    },
    exec: {
      about: "run a command in one, as if it ran here",
      load: async () => (await import("./exec.ts")).exec,
    },
    cp: {
      about: "copy files and folders in and out",
      load: async () => (await import("./cp.ts")).cp,
    },
    url: {
      about: "an address of a file in one, to read or write it by",
      load: async () => (await import("./url.ts")).url,
    },
    logs: {
      about: "what a process in one wrote",
      load: async () => (await import("./logs.ts")).logs,
    },
    network: {
      about: "what one may reach and was refused, or change that",
      load: async () => (await import("./network.ts")).network,
    },
    port: {
      about: "where a browser reaches a server in one",
      load: async () => (await import("./port.ts")).port,
    },
    pause: {
      about: "stop everything in one where it is",
      load: async () => (await import("./change.ts")).pause,
    },
    resume: {
      about: "let a paused one go on",
      load: async () => (await import("./change.ts")).resume,
    },
    snapshot: {
      about: "keep the files of one as they are now",
      load: async () => (await import("./copy.ts")).snapshot,
    },
    fork: {
      about: "make others that begin with the files of one",
      load: async () => (await import("./copy.ts")).fork,
    },
    kill: {
      about: "end one with everything in it",
      load: async () => (await import("./change.ts")).kill,
    },
  },
  examples: [
    ["id=$(syla sandbox create --lifetime 10m)", "a sandbox for ten minutes"],
    ["syla sandbox cp main.py $id:", "a file into it"],
    ["syla sandbox exec $id -- python3 main.py", "a command in it"],
    ["syla sandbox kill $id", "its end"],
  ],
};
