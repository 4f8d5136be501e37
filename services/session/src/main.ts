// The session service's composition root.
import { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import { createClient } from "@syla/kit/client";
import type { Clock } from "@syla/kit/clock";
import type { Database } from "@syla/kit/database";
import { createDispatcher, type Dispatcher, type Interceptor } from "@syla/kit/dispatch";
import { uuidv7 } from "@syla/kit/id";
import { keepInstance } from "@syla/kit/instances";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import { createPageTokens } from "@syla/kit/page-token";
import type { SessionConfig } from "./config.ts";
import { sessionRpc } from "./rpc.ts";
import { Sessions } from "./sessions.ts";

export { type SessionConfig, sessionSettings } from "./config.ts";

export interface SessionOptions {
  readonly config: SessionConfig;
  readonly database: Database;
  /** Where the sandbox service is. */
  readonly sandbox: Dispatcher;
  readonly interceptors: readonly Interceptor[];
  /** The installation's key, 32 bytes or more. */
  readonly key: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How a platform says that it lives, and when its silence means that it does not. */
  readonly renewMs: number;
  readonly deadMs: number;
}

export interface SessionServer {
  readonly dispatcher: Dispatcher;
  /** Ends every session. */
  stop(): Promise<void>;
}

/** Starts the service: brings its schema up to date, takes up what a crash left, and serves. */
export async function startSession(options: SessionOptions): Promise<SessionServer> {
  const { config, database, sandbox, clock, log, renewMs } = options;
  const migrations = new URL("../migrations/", import.meta.url);
  const sql = await database.schema("session", { migrations });
  const instanceId = uuidv7();
  const sessions = new Sessions({
    ...{ config, sql, instanceId, clock, log },
    runner: createClient(RunnerService, sandbox),
    sandboxes: createClient(SandboxService, sandbox),
    processes: createClient(ProcessService, sandbox),
    pageTokens: createPageTokens({ key: options.key }),
    // The embedded database is one platform's own: whoever else wrote to it is dead.
    instanceDeadMs: database.embedded ? 0 : options.deadMs,
  });
  const recover = () => sessions.recover();
  const instance = await keepInstance({ sql, instanceId, renewMs, recover, clock, log });
  options.metrics.gauge({
    name: "syla_sessions",
    help: "Sessions that are there now.",
    collect: (gauge) => gauge.set(sessions.size),
  });
  return {
    dispatcher: createDispatcher([sessionRpc(sessions)], options.interceptors),
    stop: async () => {
      await sessions.close();
      await instance.stop();
    },
  };
}
