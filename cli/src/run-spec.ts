// From a command line to what the platform is asked to run.
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Language } from "@syla/contract/syla/execution/v1/execution";
import { NetworkPolicySchema } from "@syla/contract/syla/sandbox/v1/network";
import type { ExecutionSpec, Syla } from "@syla/sdk";
import { type ArtifactPlaces, parseArtifacts } from "./artifacts.ts";
import type { Flags } from "./command.ts";
import { usageFailure } from "./failure.ts";
import { detectLanguage, findLanguage, isNamedFor } from "./language.ts";
import type { LimitWords } from "./outcome.ts";
import { parseNetwork } from "./network.ts";
import { isFromStdin, readSecrets } from "./secrets.ts";
import { envFlags, parseEnv, roomFlags } from "./program-flags.ts";
import { formatBytes, formatSpan, parseBytes, parseCount, parseDurationMs } from "./size.ts";
import { asText, isPiped, readSource, readStdin } from "./stdin.ts";

/** The flags of `syla run`. */
export const runFlags = {
  language: {
    type: "string",
    short: "l",
    hint: "NAME",
    help: "its language; else told by the file",
  },
  version: {
    type: "string",
    hint: "V",
    help: "a version of it or the beginning of one, such as 3.11",
  },
  stdin: { type: "string", hint: "FILE", help: "what it reads on standard input" },
  arg: { type: "string", multiple: true, default: [], help: "an argument; or put them after --" },
  ...envFlags,
  network: {
    type: "string",
    hint: "POLICY",
    help: "what it may reach: none, full or allow:HOST[:PORT],…",
  },
  "mask-secrets": {
    type: "boolean",
    default: false,
    help: "write *** for secrets in output and text artifacts",
  },
  file: {
    type: "string",
    multiple: true,
    default: [],
    hint: "NAME=PATH",
    help: "a further file beside it",
  },
  artifact: {
    type: "string",
    multiple: true,
    default: [],
    hint: "PATH[=LOCAL]",
    help: "a file to bring back",
  },
  timeout: {
    type: "string",
    short: "t",
    hint: "DURATION",
    help: "longest by the clock, such as 5s",
  },
  "cpu-time": { type: "string", hint: "DURATION", help: "longest on processors" },
  ...roomFlags,
  "output-limit": { type: "string", hint: "SIZE", help: "most output on each stream" },
  json: {
    type: "boolean",
    default: false,
    help: "print the finished execution as JSON, and nothing else",
  },
} as const satisfies Flags;

/** The values of the flags of `syla run`. */
export interface RunValues {
  readonly language?: string | undefined;
  readonly version?: string | undefined;
  readonly stdin?: string | undefined;
  readonly arg: readonly string[];
  readonly env: readonly string[];
  readonly secret: readonly string[];
  readonly network?: string | undefined;
  readonly "mask-secrets": boolean;
  readonly file: readonly string[];
  readonly artifact: readonly string[];
  readonly timeout?: string | undefined;
  readonly "cpu-time"?: string | undefined;
  readonly memory?: string | undefined;
  readonly pids?: string | undefined;
  readonly disk?: string | undefined;
  readonly "output-limit"?: string | undefined;
  readonly json: boolean;
}

/** What a command line asks for, read and checked as far as it can be without a platform. */
export interface RunRequest {
  /** The program's path; undefined when it came on standard input. */
  readonly path: string | undefined;
  readonly source: Uint8Array;
  readonly language: string | undefined;
  readonly extraFiles: readonly NamedFile[];
  readonly places: ArtifactPlaces;
  readonly limitWords: LimitWords;
  /** Everything that does not depend on the language. */
  readonly rest: Omit<ExecutionSpec & object, "$typeName" | "$unknown">;
}

interface NamedFile {
  readonly name: string;
  readonly content: Uint8Array;
}

/** Reads everything that a run needs from this machine. */
export async function readRequest(
  file: string | undefined,
  args: readonly string[],
  values: RunValues,
  signal: AbortSignal,
): Promise<RunRequest> {
  const path = file === "-" || (file === undefined && isPiped()) ? undefined : file;
  if (path === undefined && file === undefined && !isPiped()) {
    throw usageFailure(
      "There is nothing to run: give a file, or '-' and the program on standard input.",
    );
  }
  if (path === undefined && values.language === undefined) {
    throw usageFailure(
      "The language of a program on standard input cannot be told: give it with -l.",
    );
  }
  const holds = stdinHolds(path, values.secret);
  const { limits, limitWords } = parseLimits(values);
  const places = parseArtifacts(values.artifact);
  const env = Object.fromEntries(values.env.map(parseEnv));
  const extraFiles = await Promise.all(values.file.map(readExtraFile));
  const source =
    path === undefined
      ? await readStdin("the program", signal)
      : await readSource(path, "the program");
  const secrets = await readSecrets(values.secret, signal);
  const stdin = await readInput(values.stdin, holds, signal);
  const rest = {
    version: values.version ?? "",
    args: [...values.arg, ...args],
    env,
    secrets,
    maskSecrets: values["mask-secrets"],
    stdin,
    limits,
    artifacts: [...places.keys()],
    ...(values.network === undefined
      ? {}
      : { network: create(NetworkPolicySchema, parseNetwork(values.network)) }),
  };
  return { path, source, language: values.language, extraFiles, places, limitWords, rest };
}

/** The spec to run, with the language settled by what the platform offers. */
export async function toSpec(request: RunRequest, syla: Syla): Promise<ExecutionSpec> {
  const { path, source, extraFiles, rest } = request;
  const { languages } = await syla.execution.listLanguages({});
  const language =
    request.language === undefined
      ? detectLanguage(path ?? "-", source, languages)
      : findLanguage(request.language, languages);
  const main = mainName(path, language);
  // Without a name, the platform gives the file the one that the language's tools expect.
  if (main === undefined && extraFiles.length === 0) {
    return { ...rest, language: language.name, code: asText(source, "the program") };
  }
  const name = main ?? `main.${language.extensions[0] ?? "txt"}`;
  const files = [{ name, content: source }, ...extraFiles].map((file) => ({
    name: file.name,
    body: { case: "contentBase64" as const, value: file.content },
  }));
  return { ...rest, language: language.name, files };
}

function mainName(path: string | undefined, language: Language): string | undefined {
  return path !== undefined && isNamedFor(path, language) ? basename(path) : undefined;
}

/** What standard input is, when it is not the program's own. */
function stdinHolds(path: string | undefined, secrets: readonly string[]): string | undefined {
  const holders = [
    ...(path === undefined ? ["the program"] : []),
    ...secrets.filter(isFromStdin).map(() => "a secret"),
  ];
  if (holders.length < 2) return holders[0];
  throw usageFailure(`Standard input cannot be ${holders.slice(0, 2).join(" and ")} at once.`);
}

async function readInput(
  flag: string | undefined,
  holds: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const what = "the program's input";
  if (flag !== undefined && flag !== "-") return asText(await readSource(flag, "--stdin"), what);
  if (flag === "-" && holds !== undefined)
    throw usageFailure(`Standard input holds ${holds} already.`);
  if (holds !== undefined || (flag === undefined && !isPiped())) return "";
  return asText(await readStdin(what, signal), what);
}

async function readExtraFile(flag: string): Promise<NamedFile> {
  const equals = flag.indexOf("=");
  const name = equals < 0 ? basename(flag) : flag.slice(0, equals);
  const path = equals < 0 ? flag : flag.slice(equals + 1);
  if (name === "" || path === "")
    throw usageFailure(`Cannot read --file '${flag}': write NAME=PATH.`);
  return { name, content: await readSource(path, "--file") };
}

function parseLimits(values: RunValues) {
  const limitWords: Record<string, string> = {};
  const take = (
    flag: LimitFlag,
    errorType: string,
    parse: Parse,
    format: (value: number) => string,
  ) => {
    const text = values[flag];
    if (text === undefined) return undefined;
    const value = parse(text, `--${flag}`);
    limitWords[errorType] = format(value);
    return value;
  };
  const wallMs = take("timeout", "timeout", parseDurationMs, formatSpan);
  const cpuMs = take("cpu-time", "cpu_time", parseDurationMs, formatSpan);
  const limits = {
    ...(wallMs === undefined ? {} : { wallTime: durationFromMs(wallMs) }),
    ...(cpuMs === undefined ? {} : { cpuTime: durationFromMs(cpuMs) }),
    memoryBytes: BigInt(take("memory", "memory", parseBytes, formatBytes) ?? 0),
    pids: take("pids", "pids", parseCount, String) ?? 0,
    diskBytes: BigInt(take("disk", "disk", parseBytes, formatBytes) ?? 0),
    outputBytes: BigInt(take("output-limit", "output", parseBytes, formatBytes) ?? 0),
  };
  return { limits, limitWords };
}

type Parse = (text: string, flag: string) => number;

type LimitFlag = "timeout" | "cpu-time" | "memory" | "pids" | "disk" | "output-limit";
