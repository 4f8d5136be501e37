// The sandbox service's composition root.
import { join } from "node:path";
import { createDispatcher, type Dispatcher, type Interceptor } from "@syla/kit/dispatch";
import type { Log } from "@syla/kit/log";
import { buildAgent } from "./agent-build.ts";
import { openCgroups } from "./cgroup.ts";
import type { SandboxConfig } from "./config.ts";
import { type FirstRun, FirstRuns } from "./first-runs.ts";
import { discoverLanguages, type Language } from "./languages.ts";
import { openSpawner } from "./jail-spawner.ts";
import { prepareRoot } from "./root.ts";
import { sandboxRpc } from "./rpc.ts";
import { Runner } from "./run.ts";
import { seccompFilter } from "./seccomp.ts";

export { type SandboxConfig, sandboxDefaults } from "./config.ts";
export { type Capability, probeHost } from "./host.ts";

export interface SandboxOptions {
  readonly config: SandboxConfig;
  /** The platform's data folder. */
  readonly dataDirectory: string;
  readonly interceptors: readonly Interceptor[];
  readonly log: Log;
}

/** A language and its first jailed run; undefined while that is not over. */
export interface LanguageReport {
  readonly language: Language;
  readonly firstRun: FirstRun | undefined;
}

export interface SandboxServer {
  readonly dispatcher: Dispatcher;
  /** Why no code can be run on this host; undefined when it can. */
  readonly unavailable: string | undefined;
  /** Resolves when every language has had its first jailed run. */
  readonly firstRuns: Promise<void>;
  languages(): LanguageReport[];
  /** Ends what runs; resolves when nothing is left of it. */
  stop(): Promise<void>;
}

/** Starts the service. A host that cannot isolate gets a service that refuses to run anything. */
export async function startSandbox(options: SandboxOptions): Promise<SandboxServer> {
  const { interceptors, log } = options;
  const stopped = new AbortController();
  const languages = await discoverLanguages({
    dataDirectory: options.dataDirectory,
    signal: stopped.signal,
  });
  const firstRuns = new FirstRuns();
  const jails = await openJails(options).catch((error: unknown) => {
    log.error({ error }, "no code can be run on this host");
    return error instanceof Error ? error.message : String(error);
  });
  const runner = typeof jails === "string" ? { unavailable: jails } : jails.runner;
  return {
    dispatcher: createDispatcher([sandboxRpc({ languages, firstRuns, runner })], interceptors),
    unavailable: typeof jails === "string" ? jails : undefined,
    firstRuns:
      typeof jails === "string"
        ? Promise.resolve()
        : firstRuns.runAll(languages, jails.runner, log),
    languages: () =>
      languages.map((language) => ({ language, firstRun: firstRuns.result(language) })),
    stop: async () => {
      stopped.abort();
      if (typeof jails !== "string") await jails.close();
    },
  };
}

interface Jails {
  readonly runner: Runner;
  close(): Promise<void>;
}

async function openJails({ config, dataDirectory, log }: SandboxOptions): Promise<Jails> {
  const agent = await buildAgent({ directory: join(dataDirectory, "agent") });
  const root = prepareRoot({
    directory: join(dataDirectory, "root"),
    agentPath: agent.path,
  });
  const cgroups = await openCgroups({ limits: config.limits });
  const spawner = await openSpawner({ agentPath: agent.path });
  const runner = new Runner({ config, cgroups, root, spawner, filter: seccompFilter(), log });
  return {
    runner,
    close: async () => {
      await runner.drain();
      await spawner.close();
      await cgroups.close();
    },
  };
}
