// All services in one process: what starts, in which order, and what each is given. Services reach one another by
// typed clients over in-memory dispatchers.
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { ReplService } from "@syla/contract/syla/repl/v1/repl";
import { FileService } from "@syla/contract/syla/sandbox/v1/file";
import { NetworkService } from "@syla/contract/syla/sandbox/v1/network";
import { PortService } from "@syla/contract/syla/sandbox/v1/port";
import { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SnapshotService } from "@syla/contract/syla/sandbox/v1/snapshot";
import { TemplateService } from "@syla/contract/syla/sandbox/v1/template";
import { SessionService } from "@syla/contract/syla/session/v1/session";
import { type ExecutionServer, startExecution } from "@syla/execution";
import { type Gateway, requiresKey, startGateway } from "@syla/gateway";
import { present } from "@syla/kit/assert";
import { systemClock } from "@syla/kit/clock";
import { type DataDirectory, openDataDirectory } from "@syla/kit/data-directory";
import { type Database, openDatabase } from "@syla/kit/database";
import { createDispatcher, type Interceptor, mergeDispatchers } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { createHealth } from "@syla/kit/health";
import { installationKey } from "@syla/kit/installation-key";
import type { Part } from "@syla/kit/lifecycle";
import { localAccess } from "@syla/kit/local-access";
import { type LocalKey, openLocalKey } from "@syla/kit/local-key";
import type { Log } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { observe } from "@syla/kit/observe";
import { validation } from "@syla/kit/validate";
import { type KeepOptions, type KeptServer, type SandboxServer, startSandbox } from "@syla/sandbox";
import { type SessionServer, startSession } from "@syla/session";
import type { Configuration } from "./configuration.ts";
import { collectWhenIdle } from "./idle-memory.ts";

export interface PlatformOptions {
  readonly configuration: Configuration;
  readonly version: string;
  readonly log: Log;
  /** For tests, whose sandboxes reach servers of their own; no setting leads here. */
  readonly networkForTests?: KeepOptions["networkForTests"];
}

/** How much of the time to drain is left to cancel what still runs. */
const cancelMs = 1000;

/** The parts of a platform, and what they are once started. */
export class Platform {
  readonly #options: PlatformOptions;
  readonly #metrics = createMetrics();
  /** One chain for all services: making a validator is not free. */
  #interceptors: readonly Interceptor[] = [];
  readonly #health = createHealth({
    services: [
      ...[ExecutionService, ReplService, SandboxService, ProcessService, FileService],
      ...[NetworkService, PortService, SnapshotService, TemplateService, SessionService],
    ],
  });
  #data: DataDirectory | undefined;
  #key: LocalKey | undefined;
  #database: Database | undefined;
  #sandboxStarting: Promise<SandboxServer> | undefined;
  #sandbox: SandboxServer | undefined;
  #kept: KeptServer | undefined;
  #session: SessionServer | undefined;
  #execution: ExecutionServer | undefined;
  #gateway: Gateway | undefined;
  #stopCollecting = () => {};

  constructor(options: PlatformOptions) {
    this.#options = options;
  }

  get data(): DataDirectory {
    return present(this.#data, "the data folder");
  }

  get key(): LocalKey {
    return present(this.#key, "the API key");
  }

  get sandbox(): SandboxServer {
    return present(this.#sandbox, "the sandbox service");
  }

  get gateway(): Gateway {
    return present(this.#gateway, "the gateway");
  }

  /** In the order in which they start. */
  get parts(): readonly Part[] {
    return [
      {
        name: "data folder",
        start: () => this.#openData(),
        stop: () => this.#data?.close(),
      },
      {
        // Most of its start is waiting for the host's tools, so the database starts beside it.
        name: "sandbox",
        start: () => this.#beginSandbox(),
        stop: async () => (await this.#sandboxStarting?.catch(() => undefined))?.stop(),
      },
      {
        name: "database",
        start: () => this.#openDatabase(),
        stop: () => this.#database?.close(),
      },
      {
        name: "execution",
        start: () => this.#startExecution(),
        stop: () => this.#execution?.stop(),
      },
      {
        name: "kept sandboxes",
        start: () => this.#keepSandboxes(),
        stop: () => this.#kept?.stop(),
      },
      {
        name: "sessions",
        start: () => this.#startSessions(),
        stop: () => this.#session?.stop(),
      },
      {
        name: "gateway",
        start: () => this.#startGateway(),
        drain: async () => {
          this.#health.setState("draining");
          // Together: the gateway's callers wait for what the executions do.
          const patience = AbortSignal.timeout(this.#drainMs);
          await Promise.all([this.#gateway?.drain(), this.#execution?.drain(patience)]);
        },
        stop: () => this.#gateway?.close(),
      },
      {
        name: "memory",
        start: () => {
          this.#stopCollecting = collectWhenIdle();
        },
        stop: () => this.#stopCollecting(),
      },
    ];
  }

  get #drainMs(): number {
    return Math.max(0, this.#options.configuration.gateway.drainMs - cancelMs);
  }

  async #openData(): Promise<void> {
    this.#data = await openDataDirectory(this.#options.configuration.platform.dataDirectory);
    this.#key = await openLocalKey(this.#data.path);
    const { configuration, log } = this.#options;
    const required = requiresKey(configuration.gateway);
    this.#interceptors = [
      observe({ log, metrics: this.#metrics }),
      localAccess({ key: this.#key, required }),
      validation(),
    ];
  }

  #beginSandbox(): void {
    this.#sandboxStarting = startSandbox({
      config: this.#options.configuration.sandbox,
      dataDirectory: this.data.path,
      interceptors: this.#interceptors,
      metrics: this.#metrics,
      log: this.#options.log,
    });
    this.#sandboxStarting.catch(() => undefined); // its error is thrown where it is awaited
  }

  async #openDatabase(): Promise<void> {
    const { databaseUrl } = this.#options.configuration.platform;
    const { log } = this.#options;
    this.#database = await openDatabase({ url: databaseUrl, dataDirectory: this.data, log });
  }

  async #startExecution(): Promise<void> {
    const database = present(this.#database, "the database");
    this.#sandbox = await this.#sandboxStarting;
    this.#execution = await startExecution({
      config: this.#options.configuration.execution,
      database,
      sandbox: this.sandbox.dispatcher,
      interceptors: this.#interceptors,
      key: await installationKey(await database.schema("platform"), "page_token"),
      clock: systemClock,
      log: this.#options.log,
      metrics: this.#metrics,
    });
    this.#health.register("database", () => database.check());
    this.#health.register("sandbox", async () => {
      const { unavailable } = this.sandbox;
      if (unavailable !== undefined) throw new SylaError("sandbox_unavailable", unavailable);
    });
  }

  async #keepSandboxes(): Promise<void> {
    const database = present(this.#database, "the database");
    const { instanceRenewMs, instanceDeadMs } = this.#options.configuration.execution;
    const keys = await database.schema("platform");
    this.#kept = await this.sandbox.keep({
      database,
      key: await installationKey(keys, "page_token"),
      presignKey: await installationKey(keys, "presigned_file"),
      networkForTests: this.#options.networkForTests,
      clock: systemClock,
      renewMs: instanceRenewMs,
      deadMs: instanceDeadMs,
    });
  }

  async #startSessions(): Promise<void> {
    const database = present(this.#database, "the database");
    const kept = present(this.#kept, "the kept sandboxes");
    const { configuration, log } = this.#options;
    const { instanceRenewMs, instanceDeadMs } = configuration.execution;
    this.#session = await startSession({
      config: configuration.session,
      database,
      sandbox: mergeDispatchers([this.sandbox.dispatcher, kept.dispatcher]),
      interceptors: this.#interceptors,
      key: await installationKey(await database.schema("platform"), "page_token"),
      clock: systemClock,
      log,
      metrics: this.#metrics,
      renewMs: instanceRenewMs,
      deadMs: instanceDeadMs,
    });
  }

  async #startGateway(): Promise<void> {
    const own = createDispatcher([this.#health.implementation], this.#interceptors);
    const execution = present(this.#execution, "the execution service");
    const kept = present(this.#kept, "the kept sandboxes");
    const session = present(this.#session, "the session service");
    const { configuration, version, log } = this.#options;
    this.#gateway = await startGateway({
      dispatcher: mergeDispatchers([
        execution.dispatcher,
        kept.dispatcher,
        session.dispatcher,
        own,
      ]),
      // Calls that outlast it are cancelled by the gateway, and their executions still have to end.
      config: { ...configuration.gateway, drainMs: this.#drainMs },
      version,
      log,
      key: this.key,
      health: {
        live: () => this.#health.live().alive,
        ready: async () => {
          const { ready, checks } = await this.#health.ready();
          return {
            ready,
            checks: Object.fromEntries(
              checks.map(({ name, ok, code }) => [name, ok ? "ok" : (code ?? "failing")]),
            ),
          };
        },
      },
      metrics: {
        text: async () => ({
          contentType: this.#metrics.contentType,
          body: await this.#metrics.text(),
        }),
      },
    });
    this.#health.setState("serving");
    await this.data.announce(this.#gateway.restUrl);
  }
}
