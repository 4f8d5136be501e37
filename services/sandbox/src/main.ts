// The sandbox service's composition root.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { createDispatcher, type Dispatcher, type Interceptor } from "@syla/kit/dispatch";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import { buildAgent } from "./agent-build.ts";
import { BuildCache } from "./build-cache.ts";
import { openCgroups } from "./cgroup.ts";
import type { SandboxConfig } from "./config.ts";
import { discoverLanguages } from "./languages.ts";
import { Jails } from "./jails.ts";
import { openSpawner } from "./jail-spawner.ts";
import { type LanguageReport, Offer } from "./offer.ts";
import { isOfDeadPlatform, platformName } from "./platform-name.ts";
import { prepareRoot } from "./root.ts";
import { sandboxRpc } from "./rpc.ts";
import { Runner } from "./run.ts";
import { seccompFilter } from "./seccomp.ts";

export { type SandboxConfig, sandboxSettings } from "./config.ts";
export { type Capability, probeHost } from "./host.ts";
export { discoverLanguages, missingLanguages } from "./languages.ts";
export type { LanguageReport } from "./offer.ts";

const rootsDirectory = "/var/lib/syla";

export interface SandboxOptions {
  readonly config: SandboxConfig;
  /** The platform's data folder. */
  readonly dataDirectory: string;
  readonly interceptors: readonly Interceptor[];
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface SandboxServer {
  readonly dispatcher: Dispatcher;
  /** Why no code can be run on this host; undefined when it can. */
  readonly unavailable: string | undefined;
  readonly languages: () => readonly LanguageReport[];
  /** Runs each language's first program; resolves when those that are ready had theirs. */
  runFirst(): Promise<void>;
  /** Ends what runs; resolves when nothing is left of it. */
  stop(): Promise<void>;
}

/** Starts the service. A host that cannot isolate gets a service that refuses to run anything. */
export async function startSandbox(options: SandboxOptions): Promise<SandboxServer> {
  const { config, dataDirectory, interceptors, log } = options;
  const cacheDirectory = config.cacheDirectory ?? join(dataDirectory, "languages");
  const stopped = new AbortController();
  const { signal } = stopped;
  const [languages, jails] = await Promise.all([
    discoverLanguages({ cacheDirectory, signal }),
    openJails(options).catch((error: unknown) => {
      log.error({ error }, "no code can be run on this host");
      return { unavailable: error instanceof Error ? error.message : String(error) };
    }),
  ]);
  const offer = new Offer(languages, log, signal);
  const runner = "unavailable" in jails ? jails : jails.runner;
  let preparing = Promise.resolve();
  return {
    dispatcher: createDispatcher(
      [sandboxRpc({ offer, runner, limits: config.limits })],
      interceptors,
    ),
    unavailable: "unavailable" in jails ? jails.unavailable : undefined,
    languages: () => offer.reports,
    runFirst: async () => {
      if ("unavailable" in runner) return;
      await offer.runFirst(runner);
      preparing = offer.prepareAll(runner);
    },
    stop: async () => {
      stopped.abort();
      await preparing;
      await offer.settle();
      if (!("unavailable" in jails)) await jails.close();
    },
  };
}

interface Opened {
  readonly runner: Runner;
  close(): Promise<void>;
}

async function openJails(options: SandboxOptions): Promise<Opened> {
  const { config, dataDirectory, metrics, log } = options;
  const agent = await buildAgent({ directory: join(dataDirectory, "agent") });
  const directory = rootDirectory(dataDirectory);
  const { path: agentPath, zygote, gatePath } = agent;
  const root = prepareRoot({ directory, agentPath, zygote, gatePath });
  const cgroups = await openCgroups({ limits: config.limits });
  const spawner = await openSpawner({ agentPath: agent.path });
  const filter = seccompFilter();
  const jails = new Jails({ config, cgroups, root, spawner, filter, metrics, log });
  const cache = openBuildCache(options);
  const builds = cache && { cache, agent: basename(agent.path) };
  const runner = new Runner({ config, jails, builds, log });
  return {
    runner,
    close: async () => {
      await runner.drain();
      await cache?.settle();
      await jails.close();
      await spawner.close();
      await cgroups.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function openBuildCache(options: SandboxOptions): BuildCache | undefined {
  const { config, dataDirectory, metrics, log } = options;
  const directory = join(dataDirectory, "builds");
  const bytesMax = config.buildCacheBytes;
  if (bytesMax > 0) return new BuildCache({ directory, bytesMax, metrics, log });
  rmSync(directory, { recursive: true, force: true });
  return undefined;
}

/**
 * Where the jails' read-only root is put together. A program can read this path in its `/proc/self/mountinfo`, so as
 * root it is one that says nothing of the host; another user has no such place that is surely executable and theirs.
 */
function rootDirectory(dataDirectory: string): string {
  if (process.getuid?.() !== 0) return join(dataDirectory, "root");
  mkdirSync(rootsDirectory, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(rootsDirectory)) {
    if (isOfDeadPlatform(name))
      rmSync(join(rootsDirectory, name), { recursive: true, force: true });
  }
  return join(rootsDirectory, platformName());
}
