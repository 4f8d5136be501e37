// `syla sandbox exec`: a command in a sandbox that behaves as if it ran here.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, type Flags, onePositional, parseFlagsAndRest } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { interruptible } from "../interrupt.ts";
import { connectRunning } from "../platform.ts";
import { envFlags, parseEnv } from "../program-flags.ts";
import { attachedLifetimeMs } from "./stay.ts";
import { runInSandbox } from "./streams.ts";
import { parseDurationMs } from "../size.ts";

const flags = {
  env: envFlags.env,
  directory: { type: "string", short: "w", default: "", hint: "PATH", help: "where it starts" },
  timeout: { type: "string", short: "t", hint: "DURATION", help: "ends it after so long" },
} as const satisfies Flags;

/** The `sandbox exec` command. */
export const exec: Command = {
  usage: "sandbox exec SANDBOX [FLAGS] -- COMMAND [ARGS…]",
  about: `Runs a command in a sandbox. Its output streams here, its exit code is the command's, what is
piped in is its standard input, and Ctrl-C goes to it; a second one ends it. 128+n tells a
signal, 124 that its time was over, 125 a platform that could not do its part.`,
  flags,
  examples: [
    ["syla sandbox exec 0197a2c4-… -- python3 main.py", "a program"],
    ["syla sandbox exec 0197a2c4-… -- sh -c 'ls | wc -l'", "a shell's line"],
    ["tar c src | syla sandbox exec 0197a2c4-… -- tar x", "with what is piped in"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals, rest } = parseFlagsAndRest(flags, args);
  const [command, ...commandArgs] = rest;
  if (command === undefined) {
    throw usageFailure("There is no command to run: put it after '--', as in 'SANDBOX -- ls'.");
  }
  const sandbox = onePositional(positionals, "SANDBOX");
  const { directory, timeout } = values;
  const spec = {
    ...{ command, args: commandArgs, directory },
    env: Object.fromEntries(values.env.map(parseEnv)),
    ...(timeout === undefined
      ? {}
      : { timeout: durationFromMs(parseDurationMs(timeout, "--timeout")) }),
  };
  return interruptible(async (interrupt) => {
    const { syla } = await connectRunning();
    const { signal } = interrupt;
    const visit = { syla, sandbox, interrupt, signal, lifetimeMs: attachedLifetimeMs };
    return runInSandbox(visit, spec);
  });
}
