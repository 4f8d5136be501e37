// Jails for runs: from the pool where one waits, else from a zygote, else opened by bubblewrap. All three have the same
// walls; what differs is what was done before the request came.
import type { SeccompFilter } from "../seccomp/seccomp.ts";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import type { CgroupLimits, Cgroups, CgroupSlot } from "../cgroup/cgroup.ts";
import type { SandboxConfig } from "../config.ts";
import { type Jail, type JailOptions, openJail } from "./jail.ts";
import type { Spawner } from "./spawner.ts";
import { DEFAULT_ENVIRONMENT, type Step } from "./step.ts";
import type { Language } from "../languages/language.ts";
import { type Lease, Pool, type PoolSlot } from "./pool.ts";
import { type JailRoot, ZYGOTE_LIBRARY } from "./root.ts";
import type { TreeDisk, Zygote } from "./zygote.ts";
import { Zygotes, type ZygoteSpec } from "./zygotes.ts";

export interface JailsOptions {
  readonly config: SandboxConfig;
  readonly cgroups: Cgroups;
  readonly root: JailRoot;
  readonly spawner: Spawner;
  readonly filter: SeccompFilter;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Of a language what decides which jail its programs get. */
export type JailLanguage = Pick<
  Language,
  | "name"
  | "version"
  | "binds"
  | "env"
  | "zygote"
  | "held"
  | "run"
  | "preload"
  | "heldEnv"
  | "heldDirectory"
>;

export interface JailRequest {
  readonly language: JailLanguage;
  /** It stays, so that no interpreter is to wait in it for one program. */
  readonly stays?: boolean;
  readonly limits: CgroupLimits;
  readonly diskBytes: number;
}

/** A jail that waits, or is in use. */
export interface WarmJail extends PoolSlot {
  readonly jail: Jail;
  readonly slot: CgroupSlot;
  /** How a program of the language is started in it. */
  readonly start: NonNullable<Step["start"]>;
}

/** When it is looked again whether a zygote can be started that could not be. */
const zygoteAgainMs = 1000;

interface OpenRequest extends Omit<JailRequest, "language"> {
  readonly spec: ZygoteSpec;
  readonly held?: JailOptions["held"];
  readonly tree?: TreeDisk;
}

function plainSpec(binds: Language["binds"]): ZygoteSpec {
  return { key: JSON.stringify(binds), binds };
}

/**
 * How an interpreter is started that waits for a program. The memory limit is told to some when they start, so that it
 * decides which one fits.
 */
export function heldOf(language: JailLanguage, { memoryBytes }: CgroupLimits): OpenRequest["held"] {
  const { held, run, env, preload, heldEnv, heldDirectory } = language;
  if (held === undefined) return undefined;
  const [file, ...args] = held;
  const preloading = preload === undefined ? {} : { LD_PRELOAD: preload };
  return {
    argv: run([file], args, { memoryBytes }),
    env: { ...env, ...preloading, ...heldEnv },
    directory: heldDirectory,
  };
}

/** Counts from here; what cannot be held to its limits is given back. */
function begun(lease: Lease<WarmJail>, { limits }: JailRequest): Lease<WarmJail> {
  try {
    lease.slot.slot.begin(limits);
    return lease;
  } catch (error) {
    void lease.release(false);
    throw error;
  }
}

export class Jails {
  readonly #options: JailsOptions;
  readonly #pool: Pool<WarmJail>;
  readonly #zygotes: Zygotes;

  constructor(options: JailsOptions) {
    const { config, metrics, log } = options;
    this.#options = options;
    this.#zygotes = new Zygotes(options);
    this.#pool = new Pool({
      config,
      metrics,
      onFailure: (kind, error) => log.warn({ kind, error }, "a jail could not be made in advance"),
    });
  }

  /** A jail with these limits, at once; what cannot be had shows as its end. */
  take(request: JailRequest): Lease<WarmJail> {
    const { kind, label, maker } = this.#shelf(request);
    const lease = this.#pool.take(kind, label, maker);
    try {
      return begun(lease, request);
    } catch {
      // Its group cannot be held to less than it was given: it is of no use to this request.
      return this.takeFresh(request);
    }
  }

  /** One that depends on nothing that was there before. */
  takeFresh(request: JailRequest): Lease<WarmJail> {
    const { kind, label } = this.#shelf(request);
    const wanted = { ...request, spec: plainSpec(request.language.binds) };
    const open = (): WarmJail => this.#open(wanted, "none");
    const maker = { open, openInAdvance: () => undefined };
    return begun(this.#pool.take(`${kind} fresh`, label, maker), request);
  }

  /** One whose disk begins with a tree, or is one, made now; undefined where there is no zygote to fork it from. */
  async takeOn(tree: TreeDisk, request: JailRequest): Promise<Lease<WarmJail> | undefined> {
    const spec = this.#spec(request.language);
    if (!this.hasTrees) return undefined;
    await this.#zygotes.settled(spec);
    const zygote = this.#zygote(spec);
    if (typeof zygote === "string") return undefined;
    const { kind, label } = this.#shelf(request);
    const open = (): WarmJail => this.#open({ ...request, spec, tree }, zygote);
    const maker = { open, openInAdvance: () => undefined };
    return begun(this.#pool.take(`${kind} tree`, label, maker), request);
  }

  /** Whether jails can be forked, to which disks can be handed that are made outside. */
  get hasTrees(): boolean {
    const { config, root } = this.#options;
    return root.zygotes && config.poolWarm > 0;
  }

  /** Resolves when jails can be made: at once, but for the moment in which the spawner is started again. */
  usable(): Promise<void> {
    return this.#options.spawner.listening;
  }

  /** Has one wait for such requests, before the first comes. */
  async warm(request: JailRequest): Promise<void> {
    if (this.#options.config.poolWarm === 0) return;
    await this.#zygotes.settled(this.#spec(request.language));
    const { kind, label, maker } = this.#shelf(request);
    this.#pool.warm(kind, label, maker);
  }

  async close(): Promise<void> {
    await this.#pool.close();
    await this.#zygotes.close();
  }

  #spec({ name, version, binds, env, zygote }: JailLanguage): ZygoteSpec {
    const { warmInterpreters } = this.#options.config;
    if (zygote === undefined || !warmInterpreters) return plainSpec(binds);
    const modules = name === "python" ? this.#options.config.pythonPreload : [];
    return {
      key: `${name} ${version}`,
      binds,
      program: {
        argv: [...zygote, ...modules],
        env: { ...DEFAULT_ENVIRONMENT, ...env, LD_PRELOAD: ZYGOTE_LIBRARY },
      },
    };
  }

  #shelf({ language, limits, diskBytes, stays = false }: JailRequest) {
    const spec = this.#spec(language);
    const wanted = { spec, limits, diskBytes };
    const held = !stays && this.#holds(language) ? heldOf(language, limits) : undefined;
    const kind = held === undefined ? spec.key : `${spec.key} ${held.argv.join(" ")}`;
    return {
      kind: `${kind} ${diskBytes}`,
      label: spec.program === undefined && held === undefined ? "plain" : language.name,
      maker: {
        open: () => {
          const zygote = this.#zygote(spec);
          return this.#open(wanted, zygote === "starting" ? "none" : zygote);
        },
        openInAdvance: () => {
          const zygote = this.#zygote(spec);
          if (typeof zygote === "object" || !this.#waitsForZygotes) {
            return this.#open({ ...wanted, held }, typeof zygote === "object" ? zygote : "none");
          }
          if (zygote === "starting") {
            void this.#zygotes.settled(spec).then(() => this.#pool.refill());
          } else {
            setTimeout(() => this.#pool.refill(), zygoteAgainMs).unref();
          }
          return undefined;
        },
      },
    };
  }

  /** Limits of processes are set when one is executed, which is before those of its program are known. */
  #holds({ preload }: JailLanguage): boolean {
    const { config, cgroups, root } = this.#options;
    return (
      config.warmInterpreters && cgroups.kind !== "rlimit" && (root.gate || preload === undefined)
    );
  }

  /** What bubblewrap opens waits only where nothing else can be had. */
  get #waitsForZygotes(): boolean {
    return this.#options.root.zygotes;
  }

  /** One without the interpreter where there is none with it; none at all where nothing is made in advance. */
  #zygote(spec: ZygoteSpec): ReturnType<Zygotes["take"]> {
    if (this.#options.config.poolWarm === 0) return "none";
    const zygote = this.#zygotes.take(spec);
    if (zygote !== "none" || spec.program === undefined) return zygote;
    return this.#zygotes.take(plainSpec(spec.binds));
  }

  #open({ spec, limits, diskBytes, held, tree }: OpenRequest, source: Zygote | "none"): WarmJail {
    const { config, cgroups, root, spawner, filter } = this.#options;
    const zygote = source === "none" ? undefined : source;
    const slot = cgroups.acquire(limits);
    const disk = { diskBytes, diskInodes: config.diskInodes };
    const { binds } = spec;
    const jail = openJail({ root, spawner, slot, filter, zygote, binds, held, tree, ...disk });
    return {
      jail,
      slot,
      start: held !== undefined ? "release" : zygote?.interprets === true ? "fork" : "execute",
      ready: jail.ready,
      ended: jail.ended,
      get alive() {
        return jail.alive;
      },
      get memoryBytes() {
        return slot.chargedBytes();
      },
      close: () => jail.close(),
    };
  }
}
