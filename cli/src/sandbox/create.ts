// `syla sandbox create`: a jail that stays. Its id is all that is printed, for scripts to keep.
import { SandboxSchema } from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Command, jsonFlag, noPositionals, parseFlags } from "../command.ts";
import { interruptible } from "../interrupt.ts";
import { printJson } from "../json.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { printable } from "../render.ts";
import { readSandboxSpec, sandboxFlags } from "./spec.ts";

const flags = { ...sandboxFlags, ...jsonFlag };

/** The `sandbox create` command. */
export const create: Command = {
  usage: "sandbox create [FLAGS]",
  about: "Makes a sandbox on the platform that is running, and prints its id.",
  flags,
  examples: [
    ["id=$(syla sandbox create --lifetime 1h --memory 512MiB)", "an hour, with half a gibibyte"],
    ["syla sandbox create --network allow:example.com,*.example.org", "two hosts alone"],
    ["syla sandbox create -l python --label user=ada", "for Python, found again by its label"],
  ],
  execute: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    noPositionals(positionals);
    return interruptible(async ({ signal }) => {
      const spec = await readSandboxSpec(values, signal);
      const { syla } = await connectRunning();
      const sandbox = await syla.sandbox.createSandbox({ spec });
      if (values.json === true) await printJson(SandboxSchema, sandbox);
      else await print(`${printable(sandbox.id)}\n`);
      return 0;
    });
  },
};
