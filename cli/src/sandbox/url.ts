// `syla sandbox url`: an address by which a file in a sandbox can be read or written without anything else.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { PresignFileRequest_Operation as Operation } from "@syla/contract/syla/sandbox/v1/transfer";
import { type Command, type Flags, onePositional, parseFlags } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { print } from "../output.ts";
import { connectRunning } from "../platform.ts";
import { parsePlace } from "./place.ts";
import { parseBytes, parseDurationMs } from "../size.ts";

const flags = {
  write: { type: "boolean", default: false, help: "to write the file, and not to read it" },
  expires: {
    type: "string",
    hint: "DURATION",
    help: "for how long; 15m by default, 7 days at most",
  },
  size: { type: "string", hint: "SIZE", help: "how large the file may be at most, such as 64MB" },
} as const satisfies Flags;

/** The `sandbox url` command. */
export const url: Command = {
  usage: "sandbox url SANDBOX:PATH [--write]",
  about: `Prints an address of one file in a sandbox. Whoever has it can read the file, or write it, until it
expires or the sandbox ends, with nothing else: keep it as you would keep the file.`,
  flags,
  examples: [
    ['curl -O "$(syla sandbox url $id:plot.png)"', "read a file"],
    ['curl -T data.csv "$(syla sandbox url $id:data.csv --write --expires 10m)"', "write one"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(flags, args);
  const { write, expires, size } = values;
  const place = parsePlace(onePositional(positionals, "SANDBOX:PATH"));
  if (place === undefined || place.path === "") {
    throw usageFailure("The file must be in a sandbox, written SANDBOX:PATH.");
  }
  const { syla } = await connectRunning();
  const signed = await syla.file.presignFile({
    ...place,
    operation: write ? Operation.WRITE : Operation.READ,
    ...(expires === undefined
      ? {}
      : { expiresIn: durationFromMs(parseDurationMs(expires, "--expires")) }),
    maxBytes: BigInt(size === undefined ? 0 : parseBytes(size, "--size")),
  });
  await print(`${new URL(signed.url, syla.url).href}\n`);
  return 0;
}
