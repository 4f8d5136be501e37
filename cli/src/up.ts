// `syla up`: this process becomes the platform. Replacing it rather than starting a child leaves nothing between the
// terminal, or a service manager, and the platform: signals, exit code and standard streams are its own.
import type { Command } from "./command.ts";
import { platformMain } from "./embedded.ts";
import { platformFailure } from "./failure.ts";

/** The `up` command. */
export const up: Command = {
  usage: "up [FLAGS OF THE PLATFORM]",
  about: `Starts the whole platform in the foreground, with its data in .syla. Ctrl-C drains it. REST_PORT,
GRPC_PORT, SERVER_HOST, LOG_LEVEL, DATABASE_URL and SYLA_DATA configure it; other arguments are
handed to it as they are.`,
  flags: {},
  examples: [
    ["syla up", "on http://127.0.0.1:8080"],
    ["REST_PORT=9000 SYLA_DATA=/var/lib/syla syla up", "elsewhere"],
  ],
  execute: async (args) => {
    process.execve?.(process.execPath, [process.execPath, platformMain(), ...args], process.env);
    throw platformFailure(
      "This Node cannot become another program: use Node 22.18 or newer on Linux.",
    );
  },
};
