// Where the repository is, which files are its own, and how a tool of it is run.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { delimiter, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's folder, without a slash at its end. */
export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");

const toolFolder = join(root, "node_modules", ".bin");

// What .gitignore names, and git's own folder.
const foreignFolders = new Set(["node_modules", ".git", ".syla", ".cache", "coverage"]);

/** Every file of a folder and below that belongs to the repository, as sorted paths relative to it, with `/`. */
export function listFiles(folder: string): readonly string[] {
  const found: string[] = [];
  const open = [folder];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const entry of readdirSync(next, { withFileTypes: true })) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) {
        if (!foreignFolders.has(entry.name)) open.push(path);
      } else if (entry.isFile() && entry.name !== ".git" && !entry.name.endsWith(".log")) {
        found.push(relative(folder, path).split(sep).join("/"));
      }
    }
  }
  return found.toSorted();
}

/** How a command ended, and what it wrote. */
export interface Outcome {
  /** The exit code; 128 when a signal ended it, 127 when it could not be started. */
  readonly code: number;
  /** Standard output and standard error, as they came. */
  readonly output: string;
  readonly stdout: Buffer;
}

/** Options of `runTool`. */
export interface ToolOptions {
  /** Where it runs; the repository's folder by default. */
  readonly cwd?: string;
  /** After how long it is killed; five minutes by default. */
  readonly timeoutMs?: number;
}

/** Runs a command, those in node_modules/.bin first, and collects what it writes. */
export function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<Outcome> {
  const { cwd = root, timeoutMs = 300_000 } = options;
  const path = [toolFolder, process.env["PATH"] ?? ""].join(delimiter);
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, PATH: path, NO_COLOR: "1", FORCE_COLOR: undefined },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const stdout: Buffer[] = [];
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout.push(chunk);
      output.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    const finish = (code: number, more: string) => {
      const text = Buffer.concat(output).toString("utf8") + more;
      resolve({ code, output: text, stdout: Buffer.concat(stdout) });
    };
    child.on("error", (error) => finish(127, `Cannot run ${command}: ${error.message}\n`));
    child.on("close", (code, signal) => {
      const why = signal === null ? "" : `${command} was ended by ${signal}.\n`;
      finish(code ?? 128, why);
    });
  });
}
