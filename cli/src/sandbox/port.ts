// `syla sandbox port`: where a browser reaches a server in a sandbox, and who else may.
import { Port_Access as Access, PortSchema } from "@syla/contract/syla/sandbox/v1/port";
import { type Command, jsonFlag, parseFlags } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { printJson } from "../json.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable } from "../render.ts";

const flags = {
  public: { type: "boolean", help: "let in everybody who reaches the platform" },
  token: { type: "boolean", help: "let in who has the port's token, which the address has" },
  close: { type: "boolean", help: "take that back: its token and its links are void" },
  ...jsonFlag,
} as const;

/** The `sandbox port` command. */
export const port: Command = {
  usage: "sandbox port SANDBOX PORT [--public|--token|--close]",
  about: `Prints the address of a server in a sandbox, for a browser. Without a flag nothing else changes, and
whoever has the address has the port for an hour.`,
  flags,
  examples: [
    ["syla sandbox port $id 8000", "an address for an hour"],
    ["syla sandbox port $id 8000 --public", "an address for everybody, until the sandbox ends"],
  ],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    const { sandbox, number } = readPort(positionals);
    if ([values.public, values.token, values.close].filter(Boolean).length > 1) {
      throw usageFailure("--public, --token and --close exclude one another.");
    }
    const { syla } = await connectRunning();
    const request = { sandbox, port: number };
    const address = (path: string) => print(`${printable(syla.url + path)}\n`);
    if (values.public !== true && values.token !== true && values.close !== true) {
      const { path } = await syla.port.createPortLink(request);
      await address(path);
      return 0;
    }
    const access = values.public === true ? Access.PUBLIC : Access.TOKEN;
    const made =
      values.close === true
        ? await syla.port.unexposePort(request)
        : await syla.port.exposePort({ ...request, access });
    if (values.json === true) await printJson(PortSchema, made);
    else await address(made.token === "" ? made.path : `${made.path}?syla_token=${made.token}`);
    return 0;
  },
};

function readPort(positionals: readonly string[]): { sandbox: string; number: number } {
  const [sandbox, text, extra] = positionals;
  if (sandbox === undefined) throw usageFailure("SANDBOX is missing.");
  if (text === undefined) throw usageFailure("PORT is missing.");
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= 65_535) return { sandbox, number };
  throw usageFailure(`'${text}' is no port: it is a number from 1 to 65535.`);
}
