/**
 * Builds syla-agent, the program that is PID 1 of every jail, from its C source with the host's
 * compiler, once: the result is kept under a name made of the source and the compiler's version.
 */
import { createHash, randomUUID } from "node:crypto";
import { execFile } from "node:child_process";
import { access, chmod, mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const SOURCE_DIRECTORY = fileURLToPath(new URL("../../agent/", import.meta.url));
const COMPILE_MS_MAX = 60_000;
const FLAGS = ["-std=gnu11", "-Os", "-s", "-Wall", "-Wextra", "-fno-strict-aliasing"];

/** What to type when there is no C compiler; also shown by `syla doctor`. */
export const COMPILER_REMEDY = "apt-get install -y gcc libc6-dev";

export interface AgentBuildOptions {
  /** Where the binary is kept; made when missing. */
  readonly directory: string;
  /** The C compiler, default `cc`. */
  readonly compiler?: string;
}

/** Where a platform keeps it. */
export const agentDirectory = (dataDirectory: string): string => join(dataDirectory, "agent");

/** The library that makes an interpreter a zygote, and the script that it then runs. */
export interface ZygoteFiles {
  readonly libraryPath: string;
  readonly scriptPath: string;
}

export interface Agent {
  readonly path: string;
  /** The library by which interpreters wait for their program; undefined as below. */
  readonly gatePath: string | undefined;
  /** Undefined where the compiler makes no shared library: interpreters are then started for each run. */
  readonly zygote: ZygoteFiles | undefined;
}

/** Answers the path of a current syla-agent, compiling it first when there is none. */
export const buildAgent = async (options: AgentBuildOptions): Promise<Agent> => {
  const compiler = options.compiler ?? "cc";
  const names = (await readdir(SOURCE_DIRECTORY)).filter(isSource).toSorted();
  const hash = createHash("sha256").update(await compilerVersion(compiler));
  hash.update([process.arch, ...FLAGS, ...LIBRARY_FLAGS].join(" "));
  for (const name of names) {
    hash.update(`\n${name}\n`).update(await readFile(join(SOURCE_DIRECTORY, name)));
  }
  const path = join(options.directory, `syla-agent-${hash.digest("hex").slice(0, 16)}`);
  const libraryPath = `${path}.so`;
  const gatePath = `${path}-gate.so`;
  await mkdir(options.directory, { recursive: true });
  const sources = names.filter((name) => name.endsWith(".c"));
  const ofProgram = sources.filter((name) => !LIBRARY_ONLY.has(name) && name !== GATE);
  const ofLibrary = sources.filter((name) => !PROGRAM_ONLY.has(name) && name !== GATE);
  const building = { compiler, attempts: ATTEMPTS, sources: ofProgram, path };
  const libraries = { compiler, attempts: LIBRARY_ATTEMPTS };
  const [, library, gate] = await Promise.allSettled([
    build(building),
    build({ ...libraries, sources: ofLibrary, path: libraryPath }),
    build({ ...libraries, sources: [GATE], path: gatePath }),
  ]);
  await build(building); // tells what went wrong
  const zygote = { libraryPath, scriptPath: join(SOURCE_DIRECTORY, "zygote.py") };
  return {
    path,
    gatePath: gate.status === "fulfilled" ? gatePath : undefined,
    zygote: library.status === "fulfilled" ? zygote : undefined,
  };
};

/** Renamed into place when whole, since two may build at once. */
const build = async ({ path, ...options }: BuildOptions): Promise<void> => {
  if (await exists(path)) return;
  const building = `${path}.${randomUUID()}`;
  try {
    await compile({ ...options, output: building });
    await chmod(building, 0o755);
    await rename(building, path);
  } finally {
    await rm(building, { force: true });
  }
};

interface BuildOptions {
  readonly compiler: string;
  readonly attempts: readonly (readonly string[])[];
  readonly sources: readonly string[];
  readonly path: string;
}

const isSource = (name: string): boolean => /\.[ch]$/.test(name);

interface CompileOptions extends Omit<BuildOptions, "path"> {
  readonly output: string;
}

/**
 * Static by preference: 0.3 ms to start against 0.7; without libc.a the jail's /usr/lib will do.
 * And a warning is an error, but one that only a newer compiler knows must not keep a host from
 * working.
 */
const ATTEMPTS = [["-static", "-Werror"], ["-static"], []];
const LIBRARY_FLAGS = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,now"];
const LIBRARY_ATTEMPTS = [[...LIBRARY_FLAGS, "-Werror"], LIBRARY_FLAGS];
const LIBRARY_ONLY = new Set(["python.c", "python-end.c"]);
const GATE = "gate.c";
const PROGRAM_ONLY = new Set([
  ...["main.c", "spawn.c", "zygotes.c", "layers.c", "shed.c"],
  ...["box.c", "pack.c", "watch.c", "tree.c", "hush.c"],
]);

const compile = async ({ compiler, attempts, sources, output }: CompileOptions): Promise<void> => {
  const options = { cwd: SOURCE_DIRECTORY, timeout: COMPILE_MS_MAX };
  let failure: unknown;
  for (const attempt of attempts) {
    try {
      await run(compiler, [...attempt, ...FLAGS, "-o", output, ...sources, "-ldl"], options);
      return;
    } catch (error) {
      failure = error;
    }
  }
  const said = failure instanceof Error ? failure.message : String(failure);
  const message = `Cannot compile syla-agent: ${said}; install: ${COMPILER_REMEDY}`;
  throw new Error(message, { cause: failure });
};

const compilerVersion = async (compiler: string): Promise<string> => {
  try {
    return (await run(compiler, ["--version"], { timeout: 10_000 })).stdout;
  } catch (cause) {
    const message = `Cannot build syla-agent: no C compiler "${compiler}"; run: ${COMPILER_REMEDY}`;
    throw new Error(message, { cause });
  }
};

const exists = async (path: string): Promise<boolean> => {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
};
