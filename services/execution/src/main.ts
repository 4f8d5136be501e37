// The execution service's composition root.
import type { Database } from "@syla/kit/database";
import type { Sql } from "@syla/kit/sql";
import { createClient } from "@syla/kit/client";
import type { Clock } from "@syla/kit/clock";
import { createDispatcher, type Dispatcher, type Interceptor } from "@syla/kit/dispatch";
import { uuidv7 } from "@syla/kit/id";
import { keepInstance } from "@syla/kit/instances";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import { createPageTokens } from "@syla/kit/page-token";
import { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import type { ExecutionConfig } from "./config.ts";
import { Executions } from "./execution.ts";
import { History } from "./history.ts";
import { replRpc } from "./repl.ts";
import { executionRpc } from "./rpc.ts";

export { type ExecutionConfig, executionSettings } from "./config.ts";

export interface ExecutionOptions {
  readonly config: ExecutionConfig;
  readonly database: Database;
  /** Where the sandbox service is. */
  readonly sandbox: Dispatcher;
  readonly interceptors: readonly Interceptor[];
  /** The installation's key, 32 bytes or more. */
  readonly key: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface ExecutionServer {
  readonly dispatcher: Dispatcher;
  /** Accepts nothing more and waits for what runs until the signal; then cancels it. */
  drain(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the service: brings its schema up to date, takes up what a crash left, and serves. */
export async function startExecution(options: ExecutionOptions): Promise<ExecutionServer> {
  const { config, database, clock, log, metrics } = options;
  const migrations = new URL("../migrations/", import.meta.url);
  const sql: Sql = await database.schema("execution", { migrations });
  const instanceId = uuidv7();
  const history = new History({
    sql,
    clock,
    pageTokens: createPageTokens({ key: options.key }),
    instanceId,
    unsavedMax: config.unsavedMax,
    // The embedded database is one platform's own: whoever else wrote to it is dead.
    instanceDeadMs: database.embedded ? 0 : config.instanceDeadMs,
  });
  const sandbox = createClient(RunnerService, options.sandbox);
  const executions = new Executions({ config, sandbox, history, clock, log });
  const recover = () => executions.recover();
  const renewMs = config.instanceRenewMs;
  const instance = await keepInstance({ sql, instanceId, renewMs, recover, clock, log });
  metrics.gauge({
    name: "syla_executions_running",
    help: "Executions in a jail now.",
    collect: (gauge) => gauge.set(executions.running),
  });
  metrics.gauge({
    name: "syla_executions_waiting",
    help: "Executions waiting for a slot.",
    collect: (gauge) => gauge.set(executions.waiting),
  });
  return {
    dispatcher: createDispatcher(
      [executionRpc({ executions, history, sandbox, config }), replRpc({ executions, sandbox })],
      options.interceptors,
    ),
    drain: (signal) => executions.drain(signal),
    stop: async () => {
      await history.close();
      await instance.stop();
    },
  };
}
