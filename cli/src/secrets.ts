// The secrets of a run: from this command's environment, from files, or from standard input. Never from its arguments,
// which every process of the machine can read while it runs; and what is refused is not said back, for it may be a
// value that was put where a name belongs, and errors end up in logs.
import { usageFailure } from "./failure.ts";
import { asText, readSource, readStdin } from "./stdin.ts";

/** Whether a `--secret` flag takes its value from standard input. */
export function isFromStdin(flag: string): boolean {
  return flag.endsWith("=-");
}

/**
 * Values by name, of the flags `NAME`, `NAME=@FILE` and `NAME=-`. A line break at the end of a file or of standard
 * input is not part of one. What came from the environment is taken out of it, so that no process started here
 * inherits it.
 */
export async function readSecrets(
  flags: readonly string[],
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const [index, flag] of flags.entries()) {
    const which = flags.length === 1 ? "--secret" : `--secret number ${index + 1}`;
    const equals = flag.indexOf("=");
    const name = equals < 0 ? flag : flag.slice(0, equals);
    if (Object.hasOwn(secrets, name)) {
      throw usageFailure(`Cannot take ${which}: one before has the same name.`);
    }
    secrets[name] = await readValue(flag.slice(name.length + 1), { name, which, signal });
  }
  for (const flag of flags) delete process.env[flag];
  return secrets;
}

interface Asked {
  readonly name: string;
  /** The flag, for messages. */
  readonly which: string;
  readonly signal: AbortSignal;
}

async function readValue(source: string, { name, which, signal }: Asked): Promise<string> {
  const what = `the value of ${which}`;
  if (name === "" || source === "@") {
    throw usageFailure(`Cannot read ${which}: write NAME, NAME=@FILE or NAME=-.`);
  }
  if (source === "-") return withoutLineBreak(asText(await readStdin(what, signal), what));
  if (source.startsWith("@")) {
    return withoutLineBreak(asText(await readSource(source.slice(1), what), what));
  }
  const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined;
  if (source === "" && value !== undefined) return value;
  const why =
    source === ""
      ? "the environment has no variable of that name"
      : "every process on this machine can read a command line";
  throw usageFailure(
    `Cannot take ${which}: ${why}. Write NAME for a variable of the environment, NAME=@FILE or NAME=-.`,
  );
}

function withoutLineBreak(text: string): string {
  return text.replace(/\r?\n$/, "");
}
