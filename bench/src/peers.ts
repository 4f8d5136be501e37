// The peers that are installed here, found by a variable, else in PATH, else where they serve by default. One that is
// not installed is said so in the results, with what gets it; bench/README.md tells how each is used.
import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { Client } from "./client.ts";
import { httpRunner, processRunner, type Runner } from "./runner.ts";
import type { Command } from "./timer.ts";

/** The interpreter that is measured on every side: a host may have several. */
export const python = "/usr/bin/python3";

export type Peer =
  | {
      readonly kind: "installed";
      readonly name: string;
      readonly version: string;
      /** Runs a text of Python. */
      readonly python: (code: string) => Runner;
    }
  | { readonly kind: "missing"; readonly name: string; readonly get: string };

/** Looks for all of them. */
export async function findPeers(): Promise<readonly Peer[]> {
  return [bubblewrap(), isolate(), await piston(), gvisor()];
}

/** An executable's absolute path: what the variable says, else the one in PATH. */
function findProgram(name: string, variable: string): string | undefined {
  const given = process.env[variable];
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const candidates = given === undefined ? folders.map((path) => join(path, name)) : [given];
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function firstVersion(program: string): string {
  const said = execFileSync(program, ["--version"], { encoding: "utf8" });
  return /\d+(?:\.\d+)+(?:~\d+)?\S*/.exec(said)?.[0] ?? "of unknown version";
}

function bubblewrap(): Peer {
  const name = "bubblewrap";
  const program = findProgram("bwrap", "BENCH_BWRAP");
  if (program === undefined) return { kind: "missing", name, get: "apt-get install bubblewrap" };
  const walls = [
    ...[program, "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"],
    ...["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc"],
    ...["--dev", "/dev", "--tmpfs", "/tmp", "--die-with-parent", "--new-session", "--clearenv"],
  ];
  const run = (code: string) => processRunner(name, () => [[...walls, python, "-c", code]]);
  return { kind: "installed", name, version: firstVersion(program), python: run };
}

/** Piston's API counts its boxes from 0 to 998. */
const lastBox = 999;

function isolate(): Peer {
  const name = "isolate";
  const program = findProgram("isolate", "BENCH_ISOLATE");
  if (program === undefined) {
    return { kind: "missing", name, get: "see https://github.com/ioi/isolate#readme" };
  }
  const works = (options: readonly string[]) =>
    ["--init", "--cleanup"].every(
      (step) => spawnSync(program, [...options, "-b", String(lastBox), step]).status === 0,
    );
  const [group] = [["--cg"], []].filter(works);
  if (group === undefined) {
    return { kind: "missing", name, get: `repair ${program}: it cannot make a box` };
  }
  const limits = ["--processes=64", "--wall-time=10", ...group.map(() => "--cg-mem=262144")];
  const commands = (code: string) => (lane: number) => {
    const box = [program, ...group, "-b", String(lastBox - lane)];
    const run = [...box, ...limits, "--silent", "--run", "--", python, "-c", code];
    return [[...box, "--init"], run, [...box, "--cleanup"]];
  };
  const how = group.length > 0 ? "with control groups" : "without control groups";
  return {
    ...{ kind: "installed", name, version: `${firstVersion(program)} ${how}` },
    python: (code) => processRunner(name, commands(code)),
  };
}

async function piston(): Promise<Peer> {
  const name = "Piston";
  const url = process.env["BENCH_PISTON_URL"] ?? "http://127.0.0.1:2000";
  const missing = (get: string): Peer => ({ kind: "missing", name, get });
  const client = new Client(url);
  try {
    const { body: hello } = await client.call("/");
    const version = /Piston v([\d.]+)/.exec(hello)?.[1];
    const { body: runtimes } = await client.call("/api/v2/runtimes");
    const installed = execFileSync(python, ["--version"], { encoding: "utf8" }).split(" ")[1];
    const language = installed?.trim() ?? "";
    if (version === undefined) return missing(`stop what is not Piston at ${url}`);
    if (!runtimes.includes(`"${language}"`)) return missing(`give it Python ${language}`);
    const path = "/api/v2/execute";
    const body = (content: string) =>
      JSON.stringify({ language: "python", version: language, files: [{ content }] });
    const run = (code: string) =>
      httpRunner(name, { url, path, body: body(code), expect: '"code":0,' });
    return { kind: "installed", name, version, python: run };
  } catch {
    return missing("see https://github.com/engineer-man/piston#installation");
  } finally {
    client.close();
  }
}

function gvisor(): Peer {
  const name = "gVisor";
  const program = findProgram("runsc", "BENCH_RUNSC");
  if (program === undefined) return { kind: "missing", name, get: "apt-get install runsc" };
  const platform = process.env["BENCH_RUNSC_PLATFORM"] ?? "ptrace";
  const box: Command = [program, `--platform=${platform}`, "--network=none", "do"];
  return {
    ...{ kind: "installed", name, version: `runsc ${firstVersion(program)}, ${platform}` },
    python: (code) => processRunner(name, () => [[...box, python, "-c", code]], true),
  };
}
