// `syla sandbox port`: where a browser reaches a server in a sandbox, and who else may. On this machine that is a name
// below localhost, which gives the server an origin of its own: by path, on the gateway's, a browser keeps a page's
// cookie from everything that the page loads, so a private one would have no styles, scripts or pictures.
import { request } from "node:http";
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
  path: { type: "boolean", help: "print an address by path, for a program that knows no names" },
  ...jsonFlag,
} as const;

const probeMs = 2000;
const noSandbox = "00000000-0000-0000-0000-000000000000";

/** The `sandbox port` command. */
export const port: Command = {
  usage: "sandbox port SANDBOX PORT [--public|--token|--close] [--path]",
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
    const asked = { sandbox, port: number };
    const address = async (path: string) => {
      const named = values.path === true ? undefined : await addressByName(syla.url, asked);
      const own = `/s/${sandbox}/${number}/`;
      const full = named === undefined ? syla.url + path : named + path.slice(own.length);
      await print(`${printable(full)}\n`);
    };
    if (values.public !== true && values.token !== true && values.close !== true) {
      const { path } = await syla.port.createPortLink(asked);
      await address(path);
      return 0;
    }
    const access = values.public === true ? Access.PUBLIC : Access.TOKEN;
    const made =
      values.close === true
        ? await syla.port.unexposePort(asked)
        : await syla.port.exposePort({ ...asked, access });
    if (values.json === true) await printJson(PortSchema, made);
    else await address(made.token === "" ? made.path : `${made.path}?syla_token=${made.token}`);
    return 0;
  },
};

/** Where the port has an origin of its own; undefined when the platform is elsewhere, or has other names for ports. */
async function addressByName(
  url: string,
  { sandbox, port: number }: { readonly sandbox: string; readonly port: number },
): Promise<string | undefined> {
  const { protocol, hostname, port: own } = new URL(url);
  const isHere = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (!isHere || protocol !== "http:") return undefined;
  const domain = `localhost${own === "" ? "" : `:${own}`}`;
  return (await hasNames(url, domain)) ? `http://${number}-${sandbox}.${domain}/` : undefined;
}

/** Whether names below a domain are ports'. By one that is not, the gateway tells its own health. */
async function hasNames(url: string, domain: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const headers = { Host: `1-${noSandbox}.${domain}` };
  const probe = request(`${url}/health`, { method: "HEAD", headers });
  probe.setTimeout(probeMs, () => probe.destroy());
  probe.on("response", ({ statusCode }) => {
    resolve(statusCode === 404);
    probe.destroy();
  });
  probe.on("error", () => resolve(false));
  probe.end();
  return promise;
}

function readPort(positionals: readonly string[]): { sandbox: string; number: number } {
  const [sandbox, text, extra] = positionals;
  if (sandbox === undefined) throw usageFailure("SANDBOX is missing.");
  if (text === undefined) throw usageFailure("PORT is missing.");
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= 65_535) return { sandbox, number };
  throw usageFailure(`'${text}' is no port: it is a number from 1 to 65535.`);
}
