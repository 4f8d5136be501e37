// Starts a server of the repository as a process of its own, waits for the line it prints when ready, and stops it.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** From its start to its ready line, in milliseconds. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

/** Runs a script that prints `{"ready":true,"url":…}` once it serves, and ends when its stdin does. */
export async function startServer(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const begin = performance.now();
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const url = await readyUrl(child);
  return {
    url,
    pid: child.pid ?? 0,
    readyMs: performance.now() - begin,
    stop: async () => {
      const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.stdin.end();
      await exited;
    },
  };
}

async function readyUrl(child: ChildProcessByStdio<Writable, Readable, null>): Promise<string> {
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("{")) continue;
    const message: unknown = JSON.parse(line);
    if (typeof message === "object" && message !== null && "url" in message)
      return String(message.url);
  }
  throw new Error("Cannot go on: the server ended before it was ready.");
}
