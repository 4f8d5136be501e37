// `syla sandbox network`: what a sandbox may reach, and what it was refused; or a change of the first.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  ListNetworkEventsResponseSchema,
  type NetworkEvent,
  NetworkEvent_Type as Type,
} from "@syla/contract/syla/sandbox/v1/network";
import { type Command, type Flags, jsonFlag, parseFlags } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { printJson } from "../json.ts";
import { describeNetwork, parseNetwork } from "../network.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable, table, toned } from "../render.ts";
import { formatBytes } from "../size.ts";

const flags = {
  all: { type: "boolean", default: false, help: "connections too, not the refused alone" },
  ...jsonFlag,
} as const satisfies Flags;

/** The `sandbox network` command. */
export const network: Command = {
  usage: "sandbox network SANDBOX [none|full|allow:HOST[:PORT],…] [--all] [--json]",
  about: `Shows what a sandbox may reach and what it was refused. With a policy, sets that: connections that
it does not allow are ended. A host is a name, *. and one for all below it, an address or a range.`,
  flags,
  examples: [
    ["syla sandbox network 0197a2c4-…", "what it may reach, and what it was refused"],
    ["syla sandbox network 0197a2c4-… allow:example.com,*.example.org:443", "two hosts alone"],
    ["syla sandbox network 0197a2c4-… none", "nothing from now on"],
  ],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    const [sandbox, policy, extra] = positionals;
    if (sandbox === undefined) throw usageFailure("SANDBOX is missing.");
    if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
    const wanted = policy === undefined ? undefined : parseNetwork(policy);
    const { syla } = await connectRunning();
    if (wanted !== undefined) {
      const set = await syla.network.updateSandboxNetwork({ sandbox, network: wanted });
      await print(`${printable(describeNetwork(set))}\n`);
      return 0;
    }
    const told = await syla.network.listNetworkEvents({ sandbox });
    if (values.json === true) {
      await printJson(ListNetworkEventsResponseSchema, told);
      return 0;
    }
    await print(
      `${printable(describeNetwork(await syla.network.getSandboxNetwork({ sandbox })))}\n`,
    );
    const shown = told.events.filter(({ type }) => values.all || type !== Type.CONNECTED);
    const titles = ["TIME", "HOST", "RESULT", "WHY"].map((title) => toned("faint", title));
    if (shown.length > 0) await print(`\n${table([titles, ...shown.map(row)])}`);
    return 0;
  },
};

function row({ time, type, host, port, rule, reason, message, ...bytes }: NetworkEvent): string[] {
  const at = time === undefined ? "-" : timestampDate(time).toISOString();
  const where = host === "" ? "-" : printable(`${host}:${port}`);
  if (type !== Type.CONNECTED) {
    const result = toned("bad", type === Type.REFUSED ? "refused" : "failed");
    return [at, where, result, printable(`${reason}: ${message}`)];
  }
  const moved = `${formatBytes(bytes.sentBytes)} out, ${formatBytes(bytes.receivedBytes)} in`;
  return [
    at,
    where,
    toned("good", "connected"),
    printable(`${rule}; ${bytes.open ? "open" : moved}`),
  ];
}
