// The CLI in its own process, as a shell would start it, for tests.
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";

const main = join(import.meta.dirname, "..", "main.ts");

/** How the CLI is started. */
export interface Start {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What is piped in; without it standard input is /dev/null. */
  readonly input?: string | Uint8Array;
}

/** How a command went. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
}

type Child =
  | ChildProcessByStdio<null, Readable, Readable>
  | ChildProcessByStdio<Writable, Readable, Readable>;

/** A command that is running. */
export interface Started {
  readonly child: Child;
  readonly ended: Promise<Ended>;
  /** Resolves once standard output holds a text. */
  readonly saw: (text: string) => Promise<void>;
}

/** A fresh empty folder, gone when the tests have ended. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "syla-cli-"));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Starts `syla` with arguments. */
export function start(args: readonly string[], options: Start = {}): Started {
  const { PATH = "", HOME = "" } = process.env;
  const place = { cwd: options.cwd ?? freshFolder(), env: { PATH, HOME, ...options.env } };
  const argv = [main, ...args];
  const child =
    options.input === undefined
      ? spawn(process.execPath, argv, { ...place, stdio: ["ignore", "pipe", "pipe"] })
      : spawn(process.execPath, argv, { ...place, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin?.end(options.input);
  return { child, ended: untilEnd(child), saw: (text) => untilSeen(child.stdout, text) };
}

/** Runs `syla` with arguments to its end. */
export function syla(args: readonly string[], options: Start = {}): Promise<Ended> {
  return start(args, options).ended;
}

/** A command on a terminal of its own. */
export interface OnTerminal {
  /** Resolves once the terminal has shown a text that it had not when the last call of this resolved. */
  readonly saw: (text: string) => Promise<void>;
  readonly type: (keys: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Signals the command as another process would. */
  readonly signal: (name: NodeJS.Signals) => void;
  readonly ended: Promise<OnTerminalEnded>;
}

/** How a command on a terminal went. */
export interface OnTerminalEnded {
  readonly code: number | null;
  readonly shown: string;
  /** The terminal's settings are those that it had before. */
  readonly clean: boolean;
}

// script(1) gives it the terminal; its shell notes which one, and how it was set before and after.
const onTerminal = `
stty cols 90 rows 30; tty > tty; stty -g > before
"$0" "$@" & echo $! > pid; fg %+ > fg
code=$?; stty -g > after; exit $code`;

const shownMsMax = 20_000;
const endMsMax = 60_000;

/** Starts `syla` with arguments on a terminal of 90 by 30. */
export function startOnTerminal(args: readonly string[], options: Start = {}): OnTerminal {
  const { PATH = "", HOME = "" } = process.env;
  const { cwd = freshFolder() } = options;
  const quoted = ["bash", "-mc", onTerminal, process.execPath, main, ...args].map(quote).join(" ");
  const child = spawn("script", ["-qefc", quoted, "/dev/null"], {
    cwd,
    env: { PATH, HOME, SHELL: "/bin/sh", TERM: "xterm", ...options.env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const late = setTimeout(() => child.kill("SIGKILL"), endMsMax).unref();
  const read = (name: string) => {
    const path = join(cwd, name);
    return existsSync(path) ? readFileSync(path, "utf8").trim() : name;
  };
  let shown = "";
  let from = 0;
  const waiting = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
    for (const look of waiting) look();
  });
  const saw = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const fail = () => reject(new Error(`'${text}' was not shown:\n${shown.slice(from)}`));
      const timer = setTimeout(fail, shownMsMax);
      const look = () => {
        const at = shown.indexOf(text, from);
        if (at < 0) return;
        from = at + text.length;
        waiting.delete(look);
        child.off("close", fail);
        clearTimeout(timer);
        resolve();
      };
      waiting.add(look);
      child.on("close", fail);
      look();
    });
  const ended = new Promise<OnTerminalEnded>((resolve) => {
    child.on("close", (code) => {
      clearTimeout(late);
      resolve({ code, shown, clean: read("before") === read("after") });
    });
  });
  return {
    saw,
    type: (keys) => void child.stdin.write(keys),
    resize: (columns, rows) => {
      execFileSync("stty", ["-F", read("tty"), "cols", `${columns}`, "rows", `${rows}`]);
    },
    signal: (name) => void process.kill(Number(read("pid")), name),
    ended,
  };
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

async function untilEnd(child: Child): Promise<Ended> {
  const exited = new Promise<number | null>((resolve) => child.on("exit", resolve));
  const [stdout, stderr, code] = await Promise.all([
    buffer(child.stdout).catch(() => Buffer.alloc(0)),
    buffer(child.stderr),
    exited,
  ]);
  return { code, stdout: stdout.toString(), stderr: stderr.toString(), stdoutBytes: stdout };
}

function untilSeen(stream: Readable, text: string): Promise<void> {
  let seen = "";
  return new Promise((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
  });
}
