// The sandbox service's composition root.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Clock } from "@syla/kit/clock";
import type { Database } from "@syla/kit/database";
import { createDispatcher, type Dispatcher, type Interceptor } from "@syla/kit/dispatch";
import { uuidv7 } from "@syla/kit/id";
import { keepInstance } from "@syla/kit/instances";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import { createPageTokens } from "@syla/kit/page-token";
import { agentDirectory, buildAgent } from "./jail/agent-build.ts";
import { Blobs } from "./copies/blobs.ts";
import { BuildCache } from "./build/cache.ts";
import { openCgroups } from "./cgroup/cgroup.ts";
import type { SandboxConfig } from "./config.ts";
import { discoverLanguages } from "./languages/languages.ts";
import { Jails } from "./jail/jails.ts";
import { openSpawner } from "./jail/spawner.ts";
import { type NetworkForTests, networkParts } from "./network/parts.ts";
import type { NetworkParts } from "./network/sandbox-network.ts";
import { networkRpc } from "./network/rpc.ts";
import { type LanguageReport, Offer } from "./languages/offer.ts";
import { isOfDeadPlatform, platformName } from "./jail/platform-name.ts";
import { fileRpc } from "./files/rpc.ts";
import { findOrigin } from "./copies/origin.ts";
import { portRpc } from "./ports/rpc.ts";
import { processRpc } from "./processes/rpc.ts";
import { Presigner } from "./files/presign.ts";
import { sandboxRpc } from "./sandbox-rpc.ts";
import { Sandboxes } from "./sandboxes.ts";
import { prepareRoot } from "./jail/root.ts";
import { runnerRpc } from "./runner-rpc.ts";
import { Runner } from "./run.ts";
import { seccompFilter } from "./seccomp/seccomp.ts";
import { snapshotRpc } from "./copies/snapshot-rpc.ts";
import { readDigests } from "./copies/snapshot-store.ts";
import { Snapshots } from "./copies/snapshots.ts";
import { templateRpc } from "./copies/template-rpc.ts";
import { Templates } from "./copies/templates.ts";
import { makeTree } from "./copies/start.ts";
import { Trees } from "./copies/trees.ts";
import { plainLanguage } from "./languages/offered.ts";

export { type SandboxConfig, sandboxSettings } from "./config.ts";
export { type Capability, probeHost } from "./host.ts";
export { discoverLanguages, missingLanguages } from "./languages/languages.ts";
export type { LanguageReport } from "./languages/offer.ts";

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
  /** Serves sandboxes that stay, from when there is a database. */
  keep(options: KeepOptions): Promise<KeptServer>;
  /** Runs each language's first program; resolves when those that are ready had theirs. */
  runFirst(): Promise<void>;
  /** Ends what runs; resolves when nothing is left of it. */
  stop(): Promise<void>;
}

export interface KeepOptions {
  readonly database: Database;
  /** The installation's key, 32 bytes or more. */
  readonly key: Uint8Array;
  /** The one that addresses of files are signed with. */
  readonly presignKey: Uint8Array;
  readonly clock: Clock;
  /** How a platform says that it lives, and when its silence means that it does not. */
  readonly renewMs: number;
  readonly deadMs: number;
  /** No setting leads here. */
  readonly networkForTests?: NetworkForTests | undefined;
}

export interface KeptServer {
  readonly dispatcher: Dispatcher;
  /** Ends every sandbox. */
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
      [runnerRpc({ offer, runner, limits: config.limits, dataDirectory })],
      interceptors,
    ),
    unavailable: "unavailable" in jails ? jails.unavailable : undefined,
    languages: () => offer.reports,
    keep: (kept) => keepSandboxes({ ...options, ...kept, offer, jails }),
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

interface KeepAllOptions extends SandboxOptions, KeepOptions {
  readonly offer: Offer;
  readonly jails: Opened | { readonly unavailable: string };
}

async function keepSandboxes(options: KeepAllOptions): Promise<KeptServer> {
  const { config, database, clock, log, metrics, interceptors, offer, jails } = options;
  const migrations = new URL("../migrations/", import.meta.url);
  const sql = await database.schema("sandbox", { migrations });
  const instanceId = uuidv7();
  const forTests = options.networkForTests;
  const network = networkParts({ config, databaseUrl: database.url, metrics, log, forTests });
  if (!("unavailable" in jails)) jails.giveNetwork(network);
  const blobs = await Blobs.open(
    {
      directory: join(options.dataDirectory, "snapshots"),
      bytesMax: config.snapshotBytes,
      blobBytesMax: config.snapshotBytesEach,
    },
    await readDigests(sql),
  );
  const trees = "unavailable" in jails ? undefined : await openTrees(options, jails, blobs);
  const common = {
    ...{ config, offer, sql, instanceId, clock, log },
    pageTokens: createPageTokens({ key: options.key }),
    // The embedded database is one platform's own: whoever else wrote to it is dead.
    instanceDeadMs: database.embedded ? 0 : options.deadMs,
  };
  const sandboxes = new Sandboxes({
    ...{ ...common, network },
    jails: "unavailable" in jails ? undefined : jails.jails,
    origins: (spec) => findOrigin({ sql, blobs, trees }, spec),
  });
  const snapshots = new Snapshots({ ...common, sandboxes, blobs });
  const templates = new Templates({ ...common, sandboxes, blobs, trees });
  const recover = async () => {
    await sandboxes.recover();
    await templates.recover();
  };
  const { renewMs } = options;
  const instance = await keepInstance({ sql, instanceId, renewMs, recover, clock, log });
  countKept(metrics, sandboxes, blobs);
  const presigner = new Presigner(options.presignKey, () => clock.now());
  const implementations = [
    ...[sandboxRpc(sandboxes), processRpc(sandboxes, offer), fileRpc(sandboxes, presigner)],
    ...[snapshotRpc(snapshots), templateRpc(templates)],
    ...[networkRpc(sandboxes), ...portRpc(sandboxes, clock)],
  ];
  return {
    dispatcher: createDispatcher(implementations, interceptors),
    stop: async () => {
      await templates.close();
      await sandboxes.close();
      await trees?.close();
      await instance.stop();
    },
  };
}

async function openTrees(options: KeepAllOptions, opened: Opened, blobs: Blobs): Promise<Trees> {
  const { config, dataDirectory, offer, log } = options;
  const { jails, agentPath } = opened;
  const { keptMemoryBytes: memoryBytes, keptPids: pids, cpus } = config;
  const starting = { jails, entriesMax: config.diskInodes, log };
  const trees = await Trees.open({
    directory: join(dataDirectory, "trees"),
    ...{ agentPath, blobs, log },
    possible: jails.hasTrees,
    unpack: (path, content) => {
      const request = { language: plainLanguage(offer), limits: { memoryBytes, pids, cpus } };
      return makeTree(starting, request, path, content);
    },
  });
  blobs.onRemove((digest) => trees.forget(digest));
  return trees;
}

function countKept(metrics: Metrics, sandboxes: Sandboxes, blobs: Blobs): void {
  metrics.gauge({
    name: "syla_sandboxes_kept",
    help: "Sandboxes that are there now.",
    collect: (gauge) => gauge.set(sandboxes.size),
  });
  metrics.gauge({
    name: "syla_snapshot_bytes",
    help: "What snapshots and templates take in the data folder.",
    collect: (gauge) => gauge.set(blobs.bytes),
  });
}

interface Opened {
  readonly agentPath: string;
  readonly runner: Runner;
  readonly jails: Jails;
  /** What runs reach hosts by. */
  giveNetwork(parts: NetworkParts): void;
  close(): Promise<void>;
}

async function openJails(options: SandboxOptions): Promise<Opened> {
  const { config, dataDirectory, metrics, log } = options;
  const agent = await buildAgent({ directory: agentDirectory(dataDirectory) });
  const directory = rootDirectory(dataDirectory);
  const { path: agentPath, zygote, gatePath } = agent;
  const root = prepareRoot({ directory, agentPath, zygote, gatePath });
  const cgroups = await openCgroups({ limits: config.limits });
  const spawner = await openSpawner({ agentPath: agent.path });
  const filter = seccompFilter();
  const jails = new Jails({ config, cgroups, root, spawner, filter, metrics, log });
  const cache = openBuildCache(options);
  const builds = cache && { cache, agent: basename(agent.path) };
  const network = Promise.withResolvers<NetworkParts>();
  const runner = new Runner({ config, jails, builds, log, network: network.promise });
  return {
    agentPath,
    ...{ runner, jails, giveNetwork: network.resolve },
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
