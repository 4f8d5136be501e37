// What ends a command early, in one sentence on standard error, and the exit codes that scripts can rely on.

/** Exit codes that are the command's own, chosen as `timeout`, `env` and shells have them. */
export const exitCodes = {
  /** The command line cannot be understood, or asks for something that is not there. */
  usage: 2,
  /** A limit of time was hit. */
  timeout: 124,
  /** The platform could not do its part. */
  platform: 125,
  /** Added to a signal's number. */
  signal: 128,
} as const;

/** A command that cannot go on. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "Failure";
    this.exitCode = exitCode;
  }
}

/** The user's mistake: exit code 2. */
export function usageFailure(message: string): Failure {
  return new Failure(exitCodes.usage, message);
}

/** The platform's or the machine's: exit code 125. */
export function platformFailure(message: string): Failure {
  return new Failure(exitCodes.platform, message);
}

/** What the operating system said of a path, without its code words. */
export function pathFailure(doing: string, path: string, thrown: unknown): Failure {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const said: Readonly<Record<string, string>> = {
    ENOENT: "there is no such file",
    EACCES: "permission denied",
    EISDIR: "it is a directory",
    ENOTDIR: "a part of the path is not a directory",
    ENOSPC: "the disk is full",
  };
  return usageFailure(`Cannot ${doing} '${path}': ${said[code] ?? (code || String(thrown))}.`);
}
