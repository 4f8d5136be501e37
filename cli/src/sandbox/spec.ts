// From a command line to the sandbox that is asked for.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Flags } from "../command.ts";
import { usageFailure } from "../failure.ts";
import { parseNetwork } from "../network.ts";
import { envFlags, parseEnv, roomFlags } from "../program-flags.ts";
import { readSecrets } from "../secrets.ts";
import { parseBytes, parseCount, parseDurationMs } from "../size.ts";

/** The flags of every command that makes a sandbox. */
export const sandboxFlags = {
  language: {
    type: "string",
    short: "l",
    hint: "NAME",
    help: "a language to have at hand at once; the others can be used as well",
  },
  template: { type: "string", hint: "NAME", help: "a template to begin with" },
  snapshot: { type: "string", hint: "ID", help: "a snapshot to begin with" },
  lifetime: { type: "string", hint: "DURATION", help: "how long it stays, such as 10m" },
  network: {
    type: "string",
    hint: "WHAT",
    help: "what it may reach: none, full, or allow:HOST[:PORT],…",
  },
  ...roomFlags,
  ...envFlags,
  label: {
    type: "string",
    multiple: true,
    default: [],
    hint: "K=V",
    help: "a label of your own, kept with it",
  },
} as const satisfies Flags;

/** The values of these flags. */
export interface SandboxValues {
  readonly language?: string | undefined;
  readonly template?: string | undefined;
  readonly snapshot?: string | undefined;
  readonly lifetime?: string | undefined;
  readonly network?: string | undefined;
  readonly memory?: string | undefined;
  readonly pids?: string | undefined;
  readonly disk?: string | undefined;
  readonly env: readonly string[];
  readonly secret: readonly string[];
  readonly label: readonly string[];
}

/** The first flag for a new sandbox that was given, for commands that have no use for it. */
export function givenFlag(values: SandboxValues): string | undefined {
  const given = Object.entries(values).find(
    ([name, value]) =>
      Object.hasOwn(sandboxFlags, name) && (Array.isArray(value) ? value.length > 0 : value),
  );
  return given?.[0];
}

/** The sandbox that the flags ask for; reads the secrets. */
export async function readSandboxSpec(values: SandboxValues, signal: AbortSignal) {
  const { language = "", template = "", snapshot = "", lifetime, network } = values;
  const { memory, pids, disk } = values;
  const lifetimeMs = lifetime === undefined ? undefined : parseDurationMs(lifetime, "--lifetime");
  return {
    ...{ language, template, snapshot },
    ...(lifetimeMs === undefined ? {} : { lifetime: durationFromMs(lifetimeMs) }),
    ...(network === undefined ? {} : { network: parseNetwork(network) }),
    limits: {
      memoryBytes: BigInt(memory === undefined ? 0 : parseBytes(memory, "--memory")),
      pids: pids === undefined ? 0 : parseCount(pids, "--pids"),
      diskBytes: BigInt(disk === undefined ? 0 : parseBytes(disk, "--disk")),
    },
    env: Object.fromEntries(values.env.map(parseEnv)),
    metadata: Object.fromEntries(values.label.map(parseLabel)),
    secrets: await readSecrets(values.secret, signal),
  };
}

function parseLabel(flag: string): [string, string] {
  const equals = flag.indexOf("=");
  if (equals > 0) return [flag.slice(0, equals), flag.slice(equals + 1)];
  throw usageFailure(`Cannot read --label '${flag}': write KEY=VALUE.`);
}
