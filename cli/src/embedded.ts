// A platform for one call: a child process that says on its standard output where it listens, and that ends when its
// standard input closes, so that it cannot outlive the command however the command ends.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { createInterface } from "node:readline";
import { Failure, exitCodes, platformFailure } from "./failure.ts";

/** A platform that was started for one call. */
export interface Embedded {
  readonly url: string;
  /** Aborted, with a failure that says why, when the platform ends without being asked to. */
  readonly died: AbortSignal;
  /** Ends it and waits for that. */
  readonly stop: () => Promise<void>;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

// The first start on a machine sets up the database and builds the jail's agent.
const readyTimeoutMs = 60_000;

const stopTimeoutMs = 5_000;

// The end of what a platform that failed wrote says why; the rest is of no use here.
const stderrBytesMax = 16_384;

/** The platform's entry, found from where this file really is, not from the link that was called. */
export function platformMain(): string {
  const root = join(realpathSync(import.meta.dirname), "..", "..");
  const main = join(root, "services", "platform", "src", "main.ts");
  if (existsSync(main)) return main;
  throw platformFailure(
    "The platform is not installed beside this command: name a running one in SYLA_URL.",
  );
}

/** Starts a platform and waits until it is ready. */
export async function startEmbedded(
  signal?: AbortSignal,
  main: string = platformMain(),
): Promise<Embedded> {
  const child = spawn(process.execPath, [main, "--embedded"], {
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own: Ctrl-C on the terminal reaches the command alone, which cancels and then ends it.
    detached: true,
    env: { ...process.env, SERVER_HOST: "127.0.0.1", REST_PORT: "0", GRPC_PORT: "0" },
  });
  child.stdin.on("error", () => {});
  const said = tail(child.stderr);
  const died = new AbortController();
  child.on("close", (code) => died.abort(platformFailure(ending("ended early", code, said()))));
  const stop = () => stopChild(child);
  try {
    return { url: await untilReady(child, said, signal), died: died.signal, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function untilReady(
  child: Child,
  said: () => string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const url = parseReady(line);
    if (url !== undefined) resolve(url);
  });
  child.on("error", (error) =>
    reject(platformFailure(`Cannot start the platform: ${error.message}`)),
  );
  // `close` rather than `exit`: what it said last has then been read.
  child.on("close", (code) => reject(platformFailure(ending("did not start", code, said()))));
  const onAbort = () => reject(new Failure(exitCodes.platform, "Interrupted."));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const late = () =>
    reject(platformFailure(`The platform was not ready within ${readyTimeoutMs / 1000} s.`));
  const timer = setTimeout(late, readyTimeoutMs);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function ending(how: string, code: number | null, said: string): string {
  const why = said.trim();
  return `The platform ${how} (exit code ${code ?? "none"})${why === "" ? "." : `:\n${why}`}`;
}

function parseReady(line: string): string | undefined {
  try {
    const { ready, url } = JSON.parse(line) as { ready?: unknown; url?: unknown };
    return ready === true && typeof url === "string" ? url : undefined;
  } catch {
    return undefined;
  }
}

function tail(stream: Readable): () => string {
  let kept = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    kept = (kept + text).slice(-stderrBytesMax);
  });
  return () => kept;
}

async function stopChild(child: Child): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.stdin.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
  await exited;
  clearTimeout(timer);
}
