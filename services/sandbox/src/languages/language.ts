/**
 * What a language is to the sandbox: where its tool lies, what the tool needs to be seen inside the
 * jail, and the commands that build and run a program. The words of languages/table.ts.
 */

/** A host path shown read-only inside the jail, at a path that tells nothing about the host. */
export interface Bind {
  readonly source: string;
  readonly target: string;
}

export interface RunOptions {
  /** The run's memory limit, for tools that size their heap at start. Default: not told. */
  readonly memoryBytes?: number | undefined;
}

/** One language at one version, as found on this host. */
export interface Language {
  readonly name: string;
  readonly aliases: readonly string[];
  /** As the tool tells it, such as 3.12.1. */
  readonly version: string;
  /** Endings of file names, without the dot. */
  readonly extensions: readonly string[];
  /** The name that a program without a name gets. */
  readonly defaultFile: string;
  /** Read-only, needed beside /usr and the jail's own /etc. */
  readonly binds: readonly Bind[];
  /** Over the jail's default environment, under what the user sets. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * The command that builds, in /work; absent where nothing is built. The first file is the
   * program's entry, the others lie beside it. A failing exit is a compile error.
   */
  readonly compile?: (files: readonly string[]) => string[];
  /** The command that runs, in /work. Its first word is an absolute path inside the jail. */
  readonly run: (
    files: readonly string[],
    args: readonly string[],
    options?: RunOptions,
  ) => string[];
  /** The file name for a program given as text alone; Java's depends on its public class. */
  readonly fileFor: (code: string) => string;
  /** The command of an interpreter that can become a zygote, which then runs what `run` answers. */
  readonly zygote?: readonly string[];
  /** The file that `run` runs in an interpreter that waits for its program, and that file's arguments. */
  readonly held?: readonly [file: string, ...args: string[]];
  /** The library that such an interpreter waits by, where `held` is the program itself: none but a file of its name. */
  readonly preload?: string;
  /** What else such an interpreter is started with, and its program does not see. */
  readonly heldEnv?: Readonly<Record<string, string>>;
  /** Where it waits, if not where its program runs. */
  readonly heldDirectory?: string;
  /** A program that prints "hello" and a newline: the first jailed run. */
  readonly hello: string;
  /** Below this the tool itself does not start or compile. */
  readonly memoryBytesMin: number;
  /** Threads count as processes: below this many the tool cannot start its own. */
  readonly pidsMin: number;
  /** A remark for the person who runs the platform or writes programs. */
  readonly note?: string;
  /**
   * Prepares on the host, once, what makes this language fast, and answers with the language to use
   * from then on; absent where there is nothing to prepare. Takes long: start it in the background.
   */
  readonly prepare?: (options: { signal: AbortSignal }) => Promise<Language>;
}

/** A tool found on the host. */
export interface Tool {
  readonly version: string;
  /** The program's path inside the jail. */
  readonly binary: string;
  readonly binds: readonly Bind[];
  /** The folder of the whole tool inside the jail: a GOROOT, a JDK, a Python prefix. */
  readonly home: string;
  /** The same folder on the host. */
  readonly hostHome: string;
  /** What a script of the tool sets before it becomes the program, which is started without that here. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a language's tool is used, once it is found. */
export interface Recipe {
  readonly env?: Readonly<Record<string, string>>;
  readonly binds?: readonly Bind[];
  readonly compile?: Language["compile"];
  readonly run: Language["run"];
  readonly zygote?: Language["zygote"];
  readonly held?: Language["held"];
  readonly preload?: Language["preload"];
  readonly heldEnv?: Language["heldEnv"];
  readonly heldDirectory?: Language["heldDirectory"];
  readonly note?: string;
  readonly prepare?: (options: { signal: AbortSignal }) => Promise<Recipe>;
}

/** Where compiled programs go, below /work; a dot keeps it out of the way of the user's names. */
export const PROGRAM = ".program";
export const PROGRAM_PATH = `/work/${PROGRAM}`;

/** Where a jail's programs look for others. */
export const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin";
