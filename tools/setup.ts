// Sets up what npm cannot: the system packages Syla stands on. Runs before `npm start` and `npm test`, so it looks
// before it imports anything heavy, and takes some milliseconds when nothing is missing. As root it installs what is
// missing with the system's own package manager; otherwise it prints the one line that does.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** A package manager, how it is called, and what it calls the packages. */
interface Manager {
  readonly command: string;
  readonly install: readonly string[];
  /** More arguments, of no interest to a person who installs by hand. */
  readonly patience?: readonly string[];
  /** Run once when installing failed, because the lists of packages may be absent or old. */
  readonly refresh: readonly string[];
  readonly packages: Readonly<Record<Need, string>>;
}

type Need =
  | "bubblewrap"
  | "compiler"
  | "headers"
  | "python"
  | "curl"
  | "git"
  | "browser"
  | "pip"
  | "figures"
  | "tables"
  | "r";

const managers: readonly Manager[] = [
  {
    command: "apt-get",
    install: ["install", "-y", "--no-install-recommends"],
    // A machine may be updating itself right after its start.
    patience: ["-o", "DPkg::Lock::Timeout=120"],
    refresh: ["update"],
    packages: {
      bubblewrap: "bubblewrap",
      compiler: "gcc",
      headers: "libc6-dev",
      python: "python3",
      curl: "curl",
      git: "git",
      browser: "chromium",
      pip: "python3-pip",
      figures: "python3-matplotlib",
      r: "r-base-core",
      tables: "python3-pandas",
    },
  },
  {
    command: "dnf",
    install: ["install", "-y", "--setopt=install_weak_deps=False"],
    refresh: ["makecache"],
    packages: {
      bubblewrap: "bubblewrap",
      compiler: "gcc",
      headers: "glibc-devel kernel-headers",
      python: "python3",
      curl: "curl",
      git: "git",
      browser: "chromium",
      pip: "python3-pip",
      figures: "python3-matplotlib",
      r: "R-core",
      tables: "python3-pandas",
    },
  },
  {
    command: "apk",
    install: ["add"],
    refresh: ["update"],
    packages: {
      bubblewrap: "bubblewrap",
      compiler: "gcc",
      headers: "musl-dev linux-headers",
      python: "python3",
      curl: "curl",
      git: "git",
      browser: "chromium",
      pip: "py3-pip",
      figures: "py3-matplotlib",
      r: "R",
      tables: "py3-pandas",
    },
  },
  {
    command: "pacman",
    install: ["-S", "--noconfirm", "--needed"],
    refresh: ["-Sy"],
    packages: {
      bubblewrap: "bubblewrap",
      compiler: "gcc",
      headers: "glibc linux-api-headers",
      python: "python",
      curl: "curl",
      git: "git",
      browser: "chromium",
      pip: "python-pip",
      figures: "python-matplotlib",
      r: "r",
      tables: "python-pandas",
    },
  },
  {
    command: "zypper",
    install: ["--non-interactive", "install", "--no-recommends"],
    refresh: ["--non-interactive", "refresh"],
    packages: {
      bubblewrap: "bubblewrap",
      compiler: "gcc",
      headers: "glibc-devel linux-glibc-devel",
      python: "python3",
      curl: "curl",
      git: "git",
      browser: "chromium",
      pip: "python3-pip",
      figures: "python3-matplotlib",
      r: "R-base",
      tables: "python3-pandas",
    },
  },
];

// Package managers keep their programs here, also where a user's PATH does not name it.
const systemFolders = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

// The names under which systems have a browser that the tests can use.
const browsers = ["chromium", "chromium-browser", "google-chrome"];

function hasProgram(name: string): boolean {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...systemFolders];
  return folders.some((folder) => existsSync(join(folder, name)));
}

function hasHeaders(): boolean {
  return ["/usr/include/stdio.h", "/usr/include/linux/seccomp.h"].every((path) => existsSync(path));
}

// The platform starts without Python, but it is what most try first: who is not root is not asked for it.
function findMissing(forTests: boolean): readonly Need[] {
  const wantsPython = forTests || process.getuid?.() === 0;
  const missing: Need[] = [];
  if (!hasProgram("bwrap")) missing.push("bubblewrap");
  if (!hasProgram("cc")) missing.push("compiler");
  if (!hasHeaders()) missing.push("headers");
  if (wantsPython && !hasProgram("python3")) missing.push("python");
  if (forTests && !hasProgram("curl")) missing.push("curl");
  if (forTests && !hasProgram("git")) missing.push("git");
  return missing;
}

function findMissingBrowser(): readonly Need[] {
  return browsers.some((name) => hasProgram(name)) ? [] : ["browser"];
}

function findMissingR(): readonly Need[] {
  return hasProgram("Rscript") ? [] : ["r"];
}

// For the system's own interpreter, whatever PATH names before it.
function findMissingLibrary(need: Need, library: string): readonly Need[] {
  const folders = ["/usr/lib", "/usr/lib64"].filter((folder) => existsSync(folder));
  const pythons = folders.flatMap((folder) =>
    readdirSync(folder).flatMap((name) => (name.startsWith("python3") ? [join(folder, name)] : [])),
  );
  const places = pythons.flatMap((folder) => [
    join(folder, "dist-packages", library),
    join(folder, "site-packages", library),
  ]);
  return places.some((place) => existsSync(place)) ? [] : [need];
}

async function install(manager: Manager, packages: readonly string[]): Promise<boolean> {
  const { spawnSync } = await import("node:child_process");
  const run = (args: readonly string[]) =>
    spawnSync(manager.command, args, {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "pipe"],
      encoding: "utf8",
    });
  const command = [...manager.install, ...(manager.patience ?? []), ...packages];
  if (run(command).status === 0) return true;
  run([...manager.refresh, ...(manager.patience ?? [])]);
  const second = run(command);
  if (second.status === 0) return true;
  console.error(
    second.stderr === null ? "" : second.stderr.trim().split("\n").slice(-5).join("\n"),
  );
  return false;
}

/** Sees to it that nothing is missing, or says how to get it; answers whether it is there. */
async function provide(find: () => readonly Need[]): Promise<boolean> {
  const missing = find();
  if (missing.length === 0) return true;
  const manager = managers.find(({ command }) => hasProgram(command));
  if (manager === undefined) {
    console.error(`Syla needs ${missing.join(", ")}, and no package manager it knows is here.`);
    return false;
  }
  const packages = missing.flatMap((need) => manager.packages[need].split(" "));
  const line = [manager.command, ...manager.install, ...packages].join(" ");
  if (process.getuid?.() === 0) {
    console.log(`Installing ${packages.join(", ")} with ${manager.command}.`);
    if ((await install(manager, packages)) && find().length === 0) return true;
    console.error(`Cannot install ${packages.join(", ")}. Try it by hand:\n  ${line}`);
  } else {
    console.error(`Syla needs ${packages.join(", ")}. Run this, then start again:\n  sudo ${line}`);
  }
  return false;
}

/** Clients for Python that tests use: those of tests/requirements.txt, in a folder of their own. */
async function provideClients(): Promise<void> {
  const root = join(import.meta.dirname, "..");
  const list = join(root, "tests/requirements.txt");
  const folder = join(root, ".cache/test/python");
  const mark = join(folder, "requirements.txt");
  const wanted = readFileSync(list, "utf8");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  if (!(await provide(() => findMissingLibrary("pip", "pip")))) return;
  console.log("Installing E2B's clients for Python with pip.");
  const { spawnSync } = await import("node:child_process");
  rmSync(folder, { recursive: true, force: true });
  const args = ["-m", "pip", "install", "--quiet", "--target", folder, "-r", list];
  const env = {
    ...process.env,
    PIP_ROOT_USER_ACTION: "ignore",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
  };
  const { status } = spawnSync("/usr/bin/python3", args, {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status === 0) return writeFileSync(mark, wanted);
  rmSync(folder, { recursive: true, force: true });
  console.error("Cannot install E2B's clients for Python; the tests of them are skipped.");
}

async function main(forTests: boolean): Promise<void> {
  const isComplete = await provide(() => findMissing(forTests));
  // Not every system has packages of these; a test that does without says so.
  if (forTests) {
    await provide(findMissingBrowser);
    await provide(() => findMissingLibrary("figures", "matplotlib"));
    await provide(() => findMissingLibrary("tables", "pandas"));
    await provide(findMissingR);
    await provideClients();
  }
  // Without the others the platform starts and refuses to run code, saying why; the tests would fail one by one.
  if (forTests && !isComplete) process.exitCode = 1;
}

await main(process.argv.includes("--tests"));
