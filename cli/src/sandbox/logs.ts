// `syla sandbox logs`: what a process in a sandbox wrote, each stream to its own, now or as it comes.
import { type Command, type Flags, parseFlags } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { interruptible } from "../interrupt.ts";
import { connectRunning } from "../platform.ts";
import { printProcessEvent } from "./streams.ts";
import { parseCount } from "../size.ts";

const flags = {
  follow: { type: "boolean", short: "f", default: false, help: "go on until it ends" },
} as const satisfies Flags;

/** The `sandbox logs` command. */
export const logs: Command = {
  usage: "sandbox logs SANDBOX PROCESS [-f]",
  about: `Prints the output of a process in a sandbox, standard output and standard error each to its
own. PROCESS is its number, as 'syla sandbox get' has it.`,
  flags,
  examples: [
    ["syla sandbox logs 0197a2c4-… 1", "what it wrote so far, as far back as it is kept"],
    ["syla sandbox logs -f 0197a2c4-… 1", "and what it goes on to write"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(flags, args);
  const [sandbox, number, extra] = positionals;
  if (sandbox === undefined) throw usageFailure("SANDBOX is missing.");
  if (number === undefined) throw usageFailure("PROCESS is missing.");
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  const id = parseCount(number, "PROCESS");
  const { syla } = await connectRunning();
  const { lastEvent } = await syla.process.getProcess({ sandbox, id });
  return interruptible(async ({ signal }) => {
    for await (const { number: at, event } of syla.followProcess({ sandbox, id }, { signal })) {
      await printProcessEvent(event);
      if (!values.follow && at >= lastEvent) break;
    }
    return 0;
  });
}
