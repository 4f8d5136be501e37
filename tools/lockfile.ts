// Holds package-lock.json complete. npm writes into it only the packages for other platforms that it could see when it
// last resolved them, and `npm ci` then refuses the file as out of step. What is missing is exactly known: the parent
// names the version, and the name says the platform. Adds such entries; with --check, fails when there are any.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "./repository.ts";

interface Entry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lockfile {
  readonly packages: Record<string, Entry>;
}

const path = join(root, "package-lock.json");

const systems: Readonly<Record<string, string>> = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  sunos: "sunos",
  win32: "win32",
  windows: "win32",
};

const processors: Readonly<Record<string, string>> = {
  aarch64: "arm64",
  arm: "arm",
  arm64: "arm64",
  armv7: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  x64: "x64",
};

const libraries: readonly (readonly [pattern: RegExp, libc: string])[] = [
  [/-musl/, "musl"],
  [/linux.*-gnu/, "glibc"],
];

// The shape is npm's own, version 3, of which this reads and keeps everything.
function parseLockfile(text: string): Lockfile {
  return JSON.parse(text) as Lockfile;
}

/** What npm would have written for a package that is named for its platform, without what only a registry knows. */
export function platformEntry(name: string, version: string, parent: Entry): Entry | undefined {
  const words = name.slice(name.lastIndexOf("/") + 1).split("-");
  const os = words.map((word) => systems[word]).find((found) => found !== undefined);
  const cpu = words.map((word) => processors[word]).find((found) => found !== undefined);
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+/.test(version)) return undefined;
  const libc = libraries.find(([pattern]) => pattern.test(name))?.[1];
  return {
    version,
    cpu: [cpu],
    ...(parent.dev === true ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [os],
  };
}

/** Whether node, looking from a package's folder upwards as it does, finds a package of a name. */
function isThere(packages: Lockfile["packages"], from: string, name: string): boolean {
  const above = [...from.matchAll(/\/node_modules\//g)].map(({ index }) => from.slice(0, index));
  return (
    [from, ...above].some((folder) => `${folder}/node_modules/${name}` in packages) ||
    `node_modules/${name}` in packages
  );
}

/** The entries that are missing, by the path they belong at. */
export function findMissing(lockfile: Lockfile): ReadonlyMap<string, Entry> {
  const missing = new Map<string, Entry>();
  for (const [from, parent] of Object.entries(lockfile.packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      if (isThere(lockfile.packages, from, name)) continue;
      const entry = platformEntry(name, version, parent);
      if (entry !== undefined) missing.set(`node_modules/${name}`, entry);
    }
  }
  return missing;
}

function main(checkOnly: boolean): void {
  const lockfile = parseLockfile(readFileSync(path, "utf8"));
  const missing = findMissing(lockfile);
  if (missing.size === 0) return;
  if (checkOnly) {
    for (const place of missing.keys()) console.log(`package-lock.json lacks ${place}`);
    console.log("npm ci would refuse it. Run: npm run lock");
    process.exitCode = 1;
    return;
  }
  const all = [...Object.entries(lockfile.packages), ...missing];
  const packages = Object.fromEntries(all.toSorted(([a], [b]) => a.localeCompare(b, "en")));
  writeFileSync(path, `${JSON.stringify({ ...lockfile, packages }, undefined, 2)}\n`);
  console.log(`Added ${missing.size} packages for other platforms to package-lock.json.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.includes("--check"));
