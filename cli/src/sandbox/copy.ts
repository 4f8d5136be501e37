// `syla sandbox snapshot` and `fork`: copies of a sandbox's files, to begin with later or at once.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Loss } from "@syla/contract/syla/sandbox/v1/snapshot";
import { type Command, type Flags, onePositional, parseFlags } from "../command.ts";
import { note, print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable } from "../render.ts";
import { parseCount, parseDurationMs } from "../size.ts";

const forkFlags = {
  count: { type: "string", default: "1", hint: "N", help: "how many; 1 by default" },
  lifetime: { type: "string", hint: "DURATION", help: "how long each stays, such as 10m" },
} as const satisfies Flags;

/** The `sandbox snapshot` command. */
export const snapshot: Command = {
  usage: "sandbox snapshot SANDBOX",
  about: `Keeps the files of a sandbox as they are now, and prints the snapshot's id. The
sandbox stands still meanwhile, and goes on. What the copy does not have is said.`,
  flags: {},
  examples: [
    ["id=$(syla sandbox snapshot 0197a2c4-…)", "its id"],
    ["syla sandbox create --snapshot $id", "a sandbox that begins with it"],
  ],
  execute: async (args) => {
    const { positionals } = parseFlags({}, args);
    const sandbox = onePositional(positionals, "SANDBOX");
    const { syla } = await connectRunning();
    const { id, lost } = await syla.snapshot.createSnapshot({ sandbox });
    await tellLost(lost);
    await print(`${printable(id)}\n`);
    return 0;
  },
};

/** The `sandbox fork` command. */
export const fork: Command = {
  usage: "sandbox fork SANDBOX [--count N] [--lifetime DURATION]",
  about: `Makes sandboxes that begin with the files of another as they are now, and prints their ids. What they
do not have of it, such as its processes, is said.`,
  flags: forkFlags,
  examples: [["syla sandbox fork 0197a2c4-… --count 3", "three that begin where it is"]],
  execute: async (args) => {
    const { values, positionals } = parseFlags(forkFlags, args);
    const id = onePositional(positionals, "SANDBOX");
    const count = parseCount(values.count, "--count");
    const lifetimeMs =
      values.lifetime === undefined ? undefined : parseDurationMs(values.lifetime, "--lifetime");
    const lifetime = lifetimeMs === undefined ? {} : { lifetime: durationFromMs(lifetimeMs) };
    const { syla } = await connectRunning();
    const { sandboxes, lost } = await syla.snapshot.forkSandbox({ id, count, ...lifetime });
    await tellLost(lost);
    await print(sandboxes.map((one) => `${printable(one.id)}\n`).join(""));
    return 0;
  },
};

async function tellLost(lost: readonly Loss[]): Promise<void> {
  for (const { count, message } of lost) await note(`${printable(message)} (${count})`);
}
