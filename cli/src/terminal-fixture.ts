// The CLI in its own process, as a shell would start it, for tests.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";

const main = join(import.meta.dirname, "main.ts");

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
