/**
 * How each kind of tool is found. Version managers (pyenv, rbenv, asdf, rustup) put shims in PATH
 * that choose a version at every call and take a shell to do so; a tool is therefore asked who it
 * really is, once, and the jail gets that file.
 *
 * Every function answers with the host's default first.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { foldersIn, isExecutable, place, realPath } from "./host.ts";
import type { Host, Place } from "./host.ts";
import { SYSTEM_PATH, type Tool } from "./language.ts";

export type Find = (host: Host) => Promise<Tool[]>;

const VERSION = /\d+(?:\.\d+)+/;
/** A toolchain's channel is part of its version: 1.97.0-nightly. */
const RUST_VERSION = /\d+(?:\.\d+)+(?:-[\w.]+)?/;
const OLDEST_PYTHON_MINOR = 8;
const NEWEST_PYTHON_MINOR = 30;

/** The Node that runs the platform: it is there, and it is known to strip types. */
export async function findNode(): Promise<Tool[]> {
  const binary = realPath(process.execPath);
  // Only the file: its folder may hold other programs, or be a project's node_modules.
  const target = "/opt/node/bin/node";
  const version = process.version.slice(1);
  const placed = place({ binary, home: dirname(binary), target: dirname(target) });
  if (placed?.binds.length === 0) return [{ version, ...placed }];
  const home = "/opt/node";
  return [{ version, binary: target, home, hostHome: binary, binds: [{ source: binary, target }] }];
}

/** Prints its version, its own path and its folder, a line each. */
const ASK_PYTHON = [
  "import sys, os",
  "print('.'.join(map(str, sys.version_info[:3])))",
  "print(os.path.realpath(sys.executable))",
  "print(sys.base_prefix)",
].join("\n");

export async function findPython(host: Host): Promise<Tool[]> {
  const minors = Array.from(
    { length: NEWEST_PYTHON_MINOR - OLDEST_PYTHON_MINOR + 1 },
    (_, index) => `python3.${NEWEST_PYTHON_MINOR - index}`,
  );
  const managed = [
    host.environment["PYENV_ROOT"] ?? join(host.home, ".pyenv"),
    join(host.home, ".local/share/uv/python"),
  ].flatMap((root) => [...foldersIn(join(root, "versions")), ...foldersIn(root)]);
  const candidates = [
    ...host.executables(["python3"]),
    // A shim answers for one version only, and those of other names fail slowly.
    ...host.executables(minors).filter((path) => basename(dirname(path)) !== "shims"),
    ...managed.map((folder) => join(folder, "bin/python3")).filter(isExecutable),
  ];
  const tools = await askEach(host, candidates, ["-I", "-c", ASK_PYTHON], (version, home) => ({
    target: `/opt/python/${version}`,
    home,
  }));
  return tools.filter((tool) => Number(tool.version.split(".")[1]) >= OLDEST_PYTHON_MINOR);
}

/** Python with a shared library looks for it where it was installed, not where the jail has it. */
export function sharedPythonLibrary(home: string): boolean {
  const folder = join(home, "lib");
  return (
    existsSync(folder) && readdirSync(folder).some((name) => /^libpython3\.\d+\.so/.test(name))
  );
}

/** For an interpreter that prints version, path and folder when run with `args`. */
export function findInterpreter(names: readonly string[], args: readonly string[]): Find {
  return (host) =>
    askEach(host, host.executables(names), args, (_, home) => ({ target: null, home }));
}

type Placing = (version: string, home: string) => Omit<Place, "binary">;

async function askEach(
  host: Host,
  candidates: readonly string[],
  args: readonly string[],
  placing: Placing,
): Promise<Tool[]> {
  const answers = await Promise.all(distinct(candidates).map((path) => host.ask(path, args)));
  return answers.flatMap((answer) => {
    const [version, binary, home] = answer?.split("\n") ?? [];
    if (version === undefined || binary === undefined || home === undefined) return [];
    const placed = place({ binary, ...placing(version, home) });
    return placed === null ? [] : [{ version, ...placed }];
  });
}

/** ccache and distcc stand in for compilers and want a cache or a network that no jail has. */
export function programs(host: Host, names: readonly string[]): string[] {
  return host
    .executables(names)
    .filter((path) => !/^(ccache|distcc)/.test(basename(realPath(path))));
}

/** For a program that only knows its version: its folder is the one above bin. */
export function findProgram(names: readonly string[], args: readonly string[]): Find {
  return async (host) => {
    const candidates = distinct(programs(host, names));
    const answers = await Promise.all(candidates.map((path) => host.ask(path, args)));
    return candidates.flatMap((path, index) => {
      const version = VERSION.exec(answers[index] ?? "")?.[0];
      const home = dirname(dirname(realPath(path)));
      const placed = place({ binary: path, home, target: null });
      return version === undefined || placed === null ? [] : [{ version, ...placed }];
    });
  };
}

/** What the script that starts R sets; R itself does not start without. */
const R_VARIABLES = ["R_HOME", "R_SHARE_DIR", "R_INCLUDE_DIR", "R_DOC_DIR", "LD_LIBRARY_PATH"];

/** Prints its version, its program, its prefix and those variables, a line each. */
const ASK_R = [
  "cat(format(getRversion()), commandArgs()[1], normalizePath(file.path(R.home(), '../..'))",
  ...R_VARIABLES.map((name) => `Sys.getenv('${name}')`),
  "sep = '\\n')",
].join(", ");

function withoutEnd(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, -end.length) : text;
}

/** Asked of Rscript, which knows the place of its R. It only works where it was installed. */
export async function findR(host: Host): Promise<Tool[]> {
  const args = ["--vanilla", "--default-packages=NULL", "-e", ASK_R];
  const candidates = distinct(host.executables(["Rscript"]));
  const answers = await Promise.all(candidates.map((path) => host.ask(path, args)));
  return answers.flatMap((answer, index) => {
    const [version, binary, home, ...values] = answer?.split("\n") ?? [];
    if (version === undefined || binary === undefined || home === undefined) return [];
    const placed = place({ binary, home, target: null });
    if (placed === null || values.length < R_VARIABLES.length) return [];
    // The program's own folder has no Rscript, and an R that is not the script.
    const folder = dirname(realPath(candidates[index] ?? ""));
    const path = placed.binds.length === 0 ? SYSTEM_PATH : `${folder}:${SYSTEM_PATH}`;
    // What the platform was started with comes last in that list, and is the host's own.
    const own = `:${host.environment["LD_LIBRARY_PATH"] ?? ""}`;
    const set = R_VARIABLES.map((name, at) => [name, withoutEnd(values[at] ?? "", own)] as const);
    return [{ version, ...placed, env: { ...Object.fromEntries(set), R_ARCH: "", PATH: path } }];
  });
}

export async function findGo(host: Host): Promise<Tool[]> {
  const standard = ["/usr/local/go/bin/go"].filter(isExecutable);
  const candidates = distinct([...host.executables(["go"]), ...standard]);
  const asked = candidates.map((path) => host.ask(path, ["env", "GOROOT", "GOVERSION"]));
  return (await Promise.all(asked)).flatMap((answer) => {
    const [home, goVersion] = answer?.split("\n") ?? [];
    if (home === undefined || goVersion === undefined) return [];
    const version = goVersion.replace(/^go/, "").replace(/\s.*$/, "");
    return placedIn(home, "bin/go", version, `/opt/go/${version}`);
  });
}

export async function findRust(host: Host): Promise<Tool[]> {
  const rustup = host.environment["RUSTUP_HOME"] ?? join(host.home, ".rustup");
  const candidates = [
    ...host.executables(["rustc"]),
    ...[join(host.home, ".cargo/bin/rustc")].filter(isExecutable),
  ];
  // Only one question to the shims: what it says is the default, and the rest lies beside it.
  const [shim] = candidates;
  const sysroot = shim === undefined ? null : await host.ask(shim, ["--print", "sysroot"]);
  const others = foldersIn(join(rustup, "toolchains"));
  const homes = [...new Set([...(sysroot === null ? [] : [sysroot]), ...others].map(realPath))];
  const answers = homes.map((home) => host.ask(join(home, "bin/rustc"), ["--version"]));
  return (await Promise.all(answers)).flatMap((answer, index) => {
    const version = RUST_VERSION.exec(answer ?? "")?.[0];
    if (version === undefined) return [];
    return placedIn(homes[index] ?? "", "bin/rustc", version, `/opt/rust/${version}`);
  });
}

/** A JDK tells its version in a file, which saves starting a virtual machine for each. */
export async function findJava(host: Host): Promise<Tool[]> {
  const sdkman = foldersIn(join(host.home, ".sdkman/candidates/java"));
  const onPath = await Promise.all(host.executables(["java"]).map((path) => javaHome(host, path)));
  const fromEnvironment = host.environment["JAVA_HOME"];
  const homes = [
    ...onPath,
    ...(fromEnvironment === undefined ? [] : [fromEnvironment]),
    ...[...foldersIn("/usr/lib/jvm"), ...sdkman],
  ].flatMap((home) => (home === null ? [] : [realPath(home)]));
  return [...new Set(homes)]
    .filter((home) => isExecutable(join(home, "bin/javac")))
    .flatMap((home) => {
      const version = releaseVersion(home);
      return version === null ? [] : placedIn(home, "bin/java", version, `/opt/java/${version}`);
    });
}

async function javaHome(host: Host, binary: string): Promise<string | null> {
  const home = dirname(dirname(realPath(binary)));
  if (releaseVersion(home) !== null) return home;
  const answer = await host.ask(binary, ["-XshowSettings:properties", "-version"]);
  return /^\s*java\.home = (.+)$/m.exec(answer ?? "")?.[1] ?? null;
}

function releaseVersion(home: string): string | null {
  try {
    const release = readFileSync(join(home, "release"), "utf8");
    return /^JAVA_VERSION="([^"]+)"$/m.exec(release)?.[1] ?? null;
  } catch {
    return null;
  }
}

function placedIn(home: string, binary: string, version: string, target: string): Tool[] {
  const placed = place({ binary: join(home, binary), home, target });
  return placed === null ? [] : [{ version, ...placed }];
}

/** Without the second name of the same file. Shims of one manager are links to one file: kept. */
function distinct(paths: readonly string[]): string[] {
  const seen = new Map<string, string>();
  for (const path of paths) {
    const real = realPath(path);
    const key = basename(real) === basename(path) || isVersioned(real) ? real : path;
    if (!seen.has(key)) seen.set(key, path);
  }
  return [...seen.values()];
}

function isVersioned(path: string): boolean {
  return /\d$/.test(path);
}
