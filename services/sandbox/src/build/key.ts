/**
 * The key of a build: SHA-256 over everything that decides what a compiler makes of a program.
 *
 *   the format of what is kept, and the agent      who runs the compiler, as which user, with which umask
 *   the language's version and folders shown       what the jail has beside /usr
 *   the toolchain's files, by size and times       compiler, linker, libc, headers: see `toolchain`
 *   the command's words, the environment           optimisation, standard, memory flags, order of the sources
 *   name, mode and bytes of every file sent        any may be included, embedded or imported
 *
 * A compiler has no other input: no network, no secret, no variable of the program's, no standard input, and a disk
 * that was empty. Its limits are none of these: they decide whether there is a build, and one that ran into a limit is
 * not kept. What is left is the clock, so a C program that asks for it while it is compiled has no key; and a source
 * that includes files of /proc or /dev, which gets the first build's answer.
 */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { JailFile } from "../jail/frames.ts";
import { DEFAULT_ENVIRONMENT } from "../jail/step.ts";
import { type Language, PROGRAM } from "../languages/language.ts";

/** Changes with whatever is kept, or with what a key is made of. */
const format = 1;

/** What is to be built. */
export interface BuildRequest {
  readonly language: Language;
  /** The command that builds it. */
  readonly argv: readonly string[];
  readonly files: readonly JailFile[];
  /** Names the agent that runs the compiler: its source's hash is in its name. */
  readonly agent: string;
}

/** Undefined for a program whose build must not be kept. */
export function buildKey({ language, argv, files, agent }: BuildRequest): string | undefined {
  if (files.some(isInTheWay) || files.some(asksTheClock)) return undefined;
  const { name, version, binds } = language;
  const env = { ...DEFAULT_ENVIRONMENT, ...language.env };
  const listed = files.map(({ path, mode, content }) => [path, mode, content.length]);
  const words = [format, agent, name, version, binds, toolchain(language), argv, env, listed];
  // The lengths are in the words, so that no byte can be counted to another file.
  const hash = createHash("sha256").update(`${JSON.stringify(words)}\n`);
  for (const { content } of files) hash.update(content);
  return hash.digest("hex");
}

/** A file of the program's own where the compiler's output goes would be there before a kept build comes. */
function isInTheWay({ path }: JailFile): boolean {
  return path === PROGRAM || path.startsWith(`${PROGRAM}/`);
}

function asksTheClock({ content }: JailFile): boolean {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return ["__TIME__", "__DATE__", "__TIMESTAMP__"].some((macro) => bytes.includes(macro));
}

/** Each changes when the system's package manager changes anything. */
const packageDatabases = [
  "/var/lib/dpkg/status",
  "/lib/apk/db/installed",
  "/var/lib/rpm",
  "/usr/lib/sysimage/rpm",
  "/var/lib/pacman/local",
];

/** What compilers use without being told, of the system's and of what was installed beside it. */
const systemTools = [
  ...["/usr/bin/as", "/usr/bin/ld", "/usr/lib", "/usr/lib64", "/usr/include"],
  ...["/usr/local/bin", "/usr/local/lib", "/usr/local/include"],
];

/**
 * Size and times of the files that tell a toolchain from the next, looked at for each build (20 us), since a host is
 * upgraded while it runs. A package manager sets the time of a file's change, but not that of its inode's.
 */
function toolchain(language: Language): readonly string[] {
  const paths = [...packageDatabases, ...systemTools, ...toolsOf(language)];
  return paths.map((path) => {
    const about = statSync(path, { bigint: true, throwIfNoEntry: false });
    return about === undefined ? "" : `${about.size} ${about.mtimeNs} ${about.ctimeNs}`;
  });
}

const known = new WeakMap<Language, readonly string[]>();

/** The programs that its command names, on the host, and the folders that toolchains have beside them. */
function toolsOf(language: Language): readonly string[] {
  let tools = known.get(language);
  if (tools === undefined) {
    // For the usual file and not the program's own: no name that was sent is ever looked up here.
    const words = language.compile?.([language.defaultFile]) ?? [];
    const named = words.flatMap((word) => /^(?:[\w-]+=)?(\/.+)$/.exec(word)?.[1] ?? []);
    tools = named.map((path) => hostPath(language, path)).flatMap(withNeighbours);
    known.set(language, tools);
  }
  return tools;
}

function hostPath({ binds }: Language, path: string): string {
  const bind = binds.find(({ target }) => path === target || path.startsWith(`${target}/`));
  return bind === undefined ? path : join(bind.source, path.slice(bind.target.length));
}

/** A toolchain is a folder with `bin`; a tool that lies elsewhere is a file by itself. */
function withNeighbours(tool: string): string[] {
  const folder = dirname(tool);
  if (basename(folder) !== "bin") return [tool];
  return [tool, folder, ...["lib", "include"].map((name) => join(dirname(folder), name))];
}
