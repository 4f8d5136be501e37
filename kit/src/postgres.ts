// The embedded database: a real PostgreSQL 18 as a child process, reached by a Unix socket in its own folder (0700,
// which is all the authentication there is). It writes safely (fsync and synchronous_commit stay on) and small: 24 ms
// to start, 22 MB. When it ends unasked it is started again, ever more slowly; meanwhile connections are refused.
//
//   starting -> running -> (ended unasked) waiting -> starting ...      any -> stopping -> stopped
//
// When the platform is killed, a guard process of one line of shell, which waits for the end of a pipe, shuts the
// database down (Node cannot ask the kernel for that). Should the guard die too, postgres-orphans.ts cleans up.
import { type ChildProcess, spawn } from "node:child_process";
import { type FileHandle, open, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "./clock.ts";
import type { DataDirectory } from "./data-directory.ts";
import { SylaError } from "./error.ts";
import type { Log } from "./log.ts";
import {
  type Cluster,
  clusterPath,
  clusterRole,
  databaseFailed,
  prepareCluster,
} from "./postgres-cluster.ts";
import { stopOrphans } from "./postgres-orphans.ts";
import { clusterEnvironment } from "./postgres-programs.ts";

/** How the database process ended. */
export interface PostgresExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface PostgresOptions {
  /** Held by this process; the data goes into its folder `postgres`. */
  readonly dataDirectory: DataDirectory;
  readonly log: Log;
  readonly clock?: Clock;
  /** Called whenever the database ended without having been asked to. */
  readonly onExit?: (exit: PostgresExit) => void;
}

/** A PostgreSQL that runs as a child of this process. */
export interface Postgres {
  /** Where to connect: a `postgresql:` URL with the socket's folder as `host`. */
  readonly url: string;
  readonly state: "starting" | "running" | "waiting" | "stopping" | "stopped";
  /** The pid of the database's first process, while there is one. */
  readonly pid: number | undefined;
  /** Shuts down, aborting what is open; resolves when the process is gone. */
  stop(): Promise<void>;
}

const connectionsMax = 60;

const settings: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_directories: ".",
  unix_socket_permissions: "0700",
  max_connections: String(connectionsMax),
  shared_buffers: "32MB",
  max_wal_size: "256MB",
  min_wal_size: "32MB",
  // Nothing replicates from it: less is written ahead, and no processes wait for replicas.
  wal_level: "minimal",
  max_wal_senders: "0",
  max_logical_replication_workers: "0",
  max_parallel_workers: "0",
  autovacuum_max_workers: "1",
  // Reads of a small, cached database gain nothing from three processes of their own.
  io_method: "sync",
  jit: "off",
  fsync: "on",
  synchronous_commit: "on",
  update_process_title: "off",
  idle_in_transaction_session_timeout: "60s",
  // Statements and their values stay out of the log: they are tenants' data.
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
  log_line_prefix: "",
  cluster_name: "syla",
  timezone: "UTC",
};

const startMsMax = 60_000;
const startPollMs = 3;
const stopMsMax = 15_000;
const quickStopMs = 5000;
const retryFirstMs = 100;
const retryMostMs = 5000;
const outputLinesKept = 20;
// What fits into sockaddr_un, without its terminating zero.
const socketPathBytesMax = 107;
const socketName = ".s.PGSQL.5432";

/** Makes the database if it is missing, and starts it. Resolves when it takes connections. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { dataDirectory, log, clock = systemClock, onExit = () => undefined } = options;
  const cluster = await prepareCluster({ dataDirectory: dataDirectory.path, log });
  const folder = await open(cluster.directory);
  const url = await socketUrl(cluster.directory, folder);
  const server = new Server(cluster, log, clock, onExit);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    await folder.close();
    throw error;
  }
  return {
    url,
    get state() {
      return server.state;
    },
    get pid() {
      return server.pid;
    },
    stop: async () => {
      if (server.state === "stopped") return;
      await server.stop();
      await folder.close();
    },
  };
}

// A folder too deep for a socket's path is reached through this process's handle of it.
async function socketUrl(directory: string, folder: FileHandle): Promise<string> {
  const path = await realpath(directory);
  const fits = Buffer.byteLength(join(path, socketName)) <= socketPathBytesMax;
  const host = fits ? path : `/proc/${process.pid}/fd/${folder.fd}`;
  return `postgresql://${clusterRole}@localhost/postgres?host=${encodeURIComponent(host)}`;
}

interface Running {
  readonly child: ChildProcess;
  readonly guard: ChildProcess;
  readonly exited: Promise<PostgresExit>;
  readonly output: string[];
}

class Server {
  readonly #cluster: Cluster;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #onExit: (exit: PostgresExit) => void;
  readonly #stop = new AbortController();
  #running: Running | undefined;
  #supervision: Promise<void> = Promise.resolve();
  state: Postgres["state"] = "starting";

  constructor(cluster: Cluster, log: Log, clock: Clock, onExit: (exit: PostgresExit) => void) {
    this.#cluster = cluster;
    this.#log = log;
    this.#clock = clock;
    this.#onExit = onExit;
  }

  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  async start(): Promise<void> {
    const running = await this.#launch();
    this.#supervision = this.#supervise(running);
  }

  async stop(): Promise<void> {
    this.state = "stopping";
    this.#stop.abort(new SylaError("shutting_down", "The database is stopping."));
    if (this.#running !== undefined) await shutDown(this.#running, this.#clock);
    await this.#supervision;
    this.state = "stopped";
  }

  async #supervise(first: Running): Promise<void> {
    let running: Running | undefined = first;
    let waitMs = retryFirstMs;
    while (!this.#stop.signal.aborted) {
      if (running !== undefined) {
        const exit = await running.exited;
        if (this.#stop.signal.aborted) return;
        this.#log.error({ ...exit, output: running.output }, "the database ended unasked");
        this.#onExit(exit);
      }
      this.state = "waiting";
      await this.#clock.sleep(waitMs, this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
      running = await this.#launch().catch((error: unknown) => {
        this.#log.error({ error }, "the database did not start again");
        return undefined;
      });
      waitMs = running === undefined ? Math.min(waitMs * 2, retryMostMs) : retryFirstMs;
    }
  }

  async #launch(): Promise<Running> {
    this.state = "starting";
    const { directory } = this.#cluster;
    await stopOrphans({ directory, log: this.#log, clock: this.#clock });
    this.#stop.signal.throwIfAborted();
    const startMs = this.#clock.now();
    const running = spawnServer(this.#cluster, this.#log);
    this.#running = running;
    try {
      await this.#ready(running);
    } catch (error) {
      await shutDown(running, this.#clock);
      throw error;
    }
    this.state = "running";
    this.#log.info(
      { durationMs: this.#clock.now() - startMs, pid: this.pid },
      "the database is ready",
    );
    return running;
  }

  // By postmaster.pid, as pg_ctl does: its eighth line says "ready" when connections are taken.
  async #ready({ child, exited, output }: Running): Promise<void> {
    let exit: PostgresExit | undefined;
    void exited.then((ended) => (exit = ended));
    const endMs = this.#clock.now() + startMsMax;
    const file = join(this.#cluster.directory, "postmaster.pid");
    for (;;) {
      const lines = (await readFile(file, "utf8").catch(() => "")).split("\n");
      if (lines[0] === String(child.pid) && lines[7]?.trim() === "ready") return;
      if (exit !== undefined)
        throw databaseFailed(`it ended with ${exit.code ?? exit.signal}`, output);
      if (this.#clock.now() > endMs) throw databaseFailed(`not ready in ${startMsMax} ms`, output);
      await this.#clock.sleep(startPollMs, this.#stop.signal);
    }
  }
}

function spawnServer({ directory, programs, user }: Cluster, log: Log): Running {
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(programs, "postgres"), ["-D", clusterPath, ...flags], {
    ...user,
    cwd: directory,
    env: clusterEnvironment,
    stdio: ["ignore", "ignore", "pipe"],
    // In a session of its own: Ctrl-C is for the platform, which still writes while it drains.
    detached: true,
  });
  const output: string[] = [];
  let rest = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) log.debug({ line }, "database");
    output.push(...lines);
    output.splice(0, output.length - outputLinesKept);
  });
  const guard = spawnGuard(directory, user, child.pid);
  const exited = new Promise<PostgresExit>((resolve) => {
    const end = (exit: PostgresExit) => {
      guard.kill("SIGKILL");
      resolve(exit);
    };
    child.once("close", (code, signal) => end({ code, signal }));
    child.once("error", (error) => {
      output.push(error.message);
      if (child.pid === undefined) end({ code: null, signal: null });
    });
  });
  return { child, guard, exited, output };
}

// Asks for a fast shutdown when this process is gone, if the pid is then still a process of this folder.
const guardScript = 'read -r _; [ "/proc/$1/cwd" -ef . ] && kill -INT "$1"';

function spawnGuard(
  directory: string,
  user: Cluster["user"],
  pid: number | undefined,
): ChildProcess {
  const guard = spawn("/bin/sh", ["-c", guardScript, "syla-database-guard", String(pid)], {
    ...user,
    cwd: directory,
    env: clusterEnvironment,
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.on("error", () => undefined);
  guard.stdin?.on("error", () => undefined);
  return guard;
}

async function shutDown({ child, exited }: Running, clock: Clock): Promise<void> {
  const steps: readonly [NodeJS.Signals, number][] = [
    ["SIGINT", stopMsMax],
    ["SIGQUIT", quickStopMs],
    ["SIGKILL", quickStopMs],
  ];
  for (const [signal, withinMs] of steps) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) break;
    child.kill(signal);
    const patience = new AbortController();
    await Promise.race([exited, clock.sleep(withinMs, patience.signal).catch(() => undefined)]);
    patience.abort();
  }
  await exited;
}
