// A whole platform in a process of its own, as the tests from outside need it: started on a data folder of its own,
// ended well (`stop`), or as a power cut would end it (`kill`).
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ownProgram = fileURLToPath(new URL("../services/platform/src/main.ts", import.meta.url));
const readyMsMax = 60_000;
const endMsMax = 30_000;
const refusalMsMax = 15_000;
const saidCharsMax = 100_000;

export interface PlatformOptions {
  /** The data folder; by default a new one, which goes with the platform. */
  readonly data?: string;
  /** More settings. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What is run instead of the platform's own main. */
  readonly program?: string;
}

/** A platform that serves. */
export interface Platform {
  readonly pid: number;
  readonly url: string;
  /** Host and port of gRPC alone. */
  readonly grpcAddress: string;
  readonly data: string;
  /** What it logged, the end of it. */
  readonly log: () => string;
  /** Sends a signal and does not wait. */
  readonly signal: (name: NodeJS.Signals) => void;
  /** Resolves with the exit code, or the signal, when it has ended. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Closes its standard input, as a parent that dies does, and waits for its end. */
  readonly stop: () => Promise<number | NodeJS.Signals>;
  /** kill -9. */
  readonly kill: () => Promise<void>;
}

/** A process that may become a platform, or may refuse to. */
export interface Attempt {
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly log: () => string;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** Where programs run: jails made for each, jails that wait, or interpreters that wait (see tools/test.ts). */
const slotSettings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  fresh: { SYLA_SANDBOX_POOL_WARM: "0" },
  pooled: { SYLA_SANDBOX_WARM_INTERPRETERS: "false" },
  started: {},
};

/** What a language prepares once for all its runs is prepared once for all tests, and kept between them. */
const languageCache = fileURLToPath(new URL("../.cache/test/languages", import.meta.url));

/** A new data folder, below one that the system cleans up. */
export function makeDataDirectory(): string {
  return mkdtempSync(join(tmpdir(), "syla-test-"));
}

/** Starts a platform; resolves when it serves. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const data = options.data ?? makeDataDirectory();
  const { child, ended, log } = launch(data, options.environment, options.program);
  const { url, grpcAddress } = await readyLine(child, ended, log);
  const { pid } = child;
  if (pid === undefined) throw new Error("A process without a pid is ready.");
  const forget = () => {
    if (options.data === undefined) rmSync(data, { recursive: true, force: true });
  };
  return {
    ...{ pid, url, grpcAddress, data, log, ended },
    signal: (name) => void child.kill(name),
    stop: async () => {
      child.stdin.end();
      const end = await inTime(ended, endMsMax, log);
      forget();
      return end;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
      forget();
    },
  };
}

/** Starts a platform that is expected not to come up. */
export function attemptPlatform(data: string): Attempt {
  const { child, ended, log } = launch(data, {});
  // Its standard input stays open: who is refused ends without being told to.
  const inTimeOrNever = inTime(ended, refusalMsMax, log).finally(() => child.kill("SIGKILL"));
  return { ended: inTimeOrNever, log };
}

function launch(
  data: string,
  more: Readonly<Record<string, string>> = {},
  program: string = ownProgram,
) {
  const environment = {
    SYLA_DATA: data,
    SYLA_SANDBOX_CACHE_DIRECTORY: languageCache,
    REST_PORT: "0",
    GRPC_PORT: "0",
    LOG_LEVEL: "warn",
    ...slotSettings[process.env["SYLA_TEST_SLOTS"] ?? "started"],
    ...more,
  };
  const child: Child = spawn(process.execPath, [program, "--embedded"], {
    env: { ...cleanEnvironment(), ...homeless(data), ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-saidCharsMax);
  });
  const ended = once(child, "close").then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
    return code ?? signal ?? 1;
  });
  return { child, ended, log: () => said };
}

// Whoever runs the tests may have settings of their own. The mark by which what a test leaves behind is found goes on
// under a name that is no setting.
function cleanEnvironment(): Record<string, string | undefined> {
  const others = Object.entries(process.env).filter(([name]) => {
    return !/^(SYLA_.*|DATABASE_URL|SERVER_HOST|CORS_ORIGINS)$/.test(name);
  });
  const mark = `SYLA_TEST_RUN=${process.env["SYLA_TEST_RUN"] ?? ""}`;
  return { ...Object.fromEntries(others), TEST_MARK: mark };
}

// Only the system's own interpreters: the tests are to see the same ones whoever runs them, and few of them.
function homeless(data: string): Record<string, string | undefined> {
  const managers = { PYENV_ROOT: undefined, RUSTUP_HOME: undefined, JAVA_HOME: undefined };
  return {
    ...managers,
    HOME: data,
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  };
}

async function readyLine(
  child: Child,
  ended: Promise<number | NodeJS.Signals>,
  log: () => string,
): Promise<{ url: string; grpcAddress: string }> {
  const lines = createInterface({ input: child.stdout });
  const ready = once(lines, "line").then(([line]: string[]) => parseReady(line ?? ""));
  const early = ended.then((end) => {
    throw new Error(`The platform ended (${end}) before it was ready:\n${log()}`);
  });
  try {
    return await inTime(Promise.race([ready, early]), readyMsMax, log);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

async function inTime<T>(outcome: Promise<T>, msMax: number, log: () => string): Promise<T> {
  const patience = new AbortController();
  const late = sleep(msMax, undefined, { signal: patience.signal }).then(
    () => Promise.reject(new Error(`The platform took over ${msMax} ms:\n${log()}`)),
    () => outcome,
  );
  return Promise.race([outcome, late]).finally(() => patience.abort());
}

function parseReady(line: string): { url: string; grpcAddress: string } {
  const json = JSON.parse(line) as { url: string; grpcAddress?: string; grpc?: string };
  return { url: json.url, grpcAddress: json.grpcAddress ?? json.grpc ?? "" };
}
