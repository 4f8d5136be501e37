// `syla logs`: what an execution wrote, each stream to its own, now or as it comes.
import { type Command, type Flags, onePositional, parseFlags } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { write } from "./output.ts";
import { connectRunning } from "./platform.ts";
import { printOutput } from "./run.ts";

const flags = {
  follow: { type: "boolean", short: "f", default: false, help: "go on until it ends" },
} as const satisfies Flags;

/** The `logs` command. */
export const logs: Command = {
  usage: "logs ID [-f]",
  about: "Prints the output of an execution, standard output and standard error each to its own.",
  flags,
  examples: [
    ["syla logs 0197a2c4-…", "what it wrote so far"],
    ["syla logs -f 0197a2c4-…", "and what it goes on to write; Ctrl-C does not disturb it"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(flags, args);
  const id = onePositional(positionals, "ID");
  const { syla } = await connectRunning();
  const execution = await syla.execution.getExecution({ id });
  if (!values.follow && execution.finishedAt === undefined) {
    await write(process.stdout, textOr(execution.stdout, execution.stdoutBase64));
    await write(process.stderr, textOr(execution.stderr, execution.stderrBase64));
    return 0;
  }
  return interruptible(async ({ signal }) => {
    for await (const { event } of syla.followExecution(id, { signal })) await printOutput(event);
    return 0;
  });
}

function textOr(text: string, bytes: Uint8Array): string | Uint8Array {
  return bytes.length > 0 ? bytes : text;
}
