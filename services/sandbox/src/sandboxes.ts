// All sandboxes of this platform: made, found, listed, and their ends recorded.
import { clone, create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ListSandboxesRequest,
  type Sandbox as SandboxMessage,
  SandboxLimitsSchema,
  SandboxSchema,
  type SandboxSpec,
  SandboxSpecSchema,
  Sandbox_Status as Status,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { uuidv7 } from "@syla/kit/id";
import { readPage } from "@syla/kit/list";
import type { Log } from "@syla/kit/log";
import type { PageTokens } from "@syla/kit/page-token";
import type { Sql } from "@syla/kit/sql";
import type { SandboxConfig } from "./config.ts";
import type { Jails } from "./jail/jails.ts";
import type { Language } from "./languages/language.ts";
import type { Offer } from "./languages/offer.ts";
import { noIsolation, offered, plainLanguage } from "./languages/offered.ts";
import type { Origin } from "./copies/origin.ts";
import { type NetworkParts, SandboxNetwork } from "./network/sandbox-network.ts";
import { ended, Sandbox } from "./sandbox.ts";
import { SandboxEnds } from "./sandbox-ends.ts";
import { startJail } from "./copies/start.ts";
import {
  filterColumns,
  parseSandbox,
  readSandbox,
  takeSandboxes,
  writeSandbox,
} from "./sandbox-store.ts";

export interface SandboxesOptions {
  readonly config: SandboxConfig;
  /** Undefined on a host that cannot isolate. */
  readonly jails: Jails | undefined;
  readonly offer: Offer;
  readonly network: NetworkParts;
  /** What a spec begins with, where that is not nothing. */
  readonly origins: (spec: SandboxSpec) => Promise<Origin | undefined>;
  readonly sql: Sql;
  readonly pageTokens: PageTokens;
  /** This platform process. */
  readonly instanceId: string;
  /** How long a process may be silent before it counts as dead, in milliseconds. */
  readonly instanceDeadMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const sampleMs = 15_000;

export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #there = new Map<string, Sandbox>();
  readonly #ends: SandboxEnds;
  readonly #sampling: NodeJS.Timeout;
  /** Those that are being made count as there. */
  #making = 0;
  #stopping = false;

  constructor(options: SandboxesOptions) {
    this.#options = options;
    const { sql, instanceId, log } = options;
    this.#ends = new SandboxEnds({
      write: (message) => writeSandbox(sql, instanceId, message),
      log,
    });
    this.#sampling = setInterval(() => {
      for (const sandbox of this.#there.values()) sandbox.sample();
    }, sampleMs).unref();
  }

  get size(): number {
    return this.#there.size;
  }

  /** Makes one; it is recorded and can be used when this resolves. A fork brings what it begins with. */
  async make(
    spec: SandboxSpec = create(SandboxSpecSchema),
    fork?: Origin,
  ): Promise<SandboxMessage> {
    const { config, origins } = this.#options;
    if (this.#stopping)
      throw new SylaError("shutting_down", "Cannot make a sandbox: the platform is stopping.");
    if (this.#there.size + this.#making >= config.keptMax) {
      throw new SylaError(
        "sandboxes_full",
        `Cannot make a sandbox: ${config.keptMax} are kept already.`,
      );
    }
    this.#making += 1;
    try {
      await this.#ends.write();
      return (await this.#make(spec, fork ?? (await origins(spec)))).message;
    } finally {
      this.#making -= 1;
    }
  }

  /** One that is there; throws `sandbox_not_found`, or `sandbox_ended` saying how. */
  async find(id: string): Promise<Sandbox> {
    const there = this.#there.get(id);
    if (there !== undefined) return there;
    throw ended(await this.get(id));
  }

  /** What is known of one, also when it has ended. */
  async get(id: string): Promise<SandboxMessage> {
    return this.#there.get(id)?.message ?? this.#read(id);
  }

  /** A page, newest first. */
  async list(request: ListSandboxesRequest) {
    const { sql, pageTokens } = this.#options;
    await this.#ends.write(); // for it to be true
    const list = { sql, pageTokens, table: "sandboxes", columns: filterColumns };
    return readPage(request, { ...list, parse: parseSandbox });
  }

  /** Ends one that is there; answers it as it then is. */
  async kill(id: string): Promise<SandboxMessage> {
    await this.#there.get(id)?.end("killed");
    return this.get(id);
  }

  /** One as it is now, and again after every change, to its end. */
  async *watch(id: string, context: CallContext): AsyncGenerator<SandboxMessage> {
    const there = this.#there.get(id);
    if (there === undefined) {
      yield await this.get(id);
      return;
    }
    let wake = () => {};
    const stops = [there.onChange(() => wake()), context.onAbort(() => wake())];
    try {
      for (;;) {
        const change = new Promise<void>((resolve) => (wake = resolve));
        context.throwIfAborted();
        yield clone(SandboxSchema, there.message);
        if (there.message.status === Status.ENDED) return;
        await change;
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Records what could not be, and marks what dead platforms had as LOST: their jails died with them. */
  async recover(): Promise<void> {
    const { sql, instanceId, instanceDeadMs, clock } = this.#options;
    await this.#ends.write();
    for (const message of await takeSandboxes(sql, instanceId, instanceDeadMs)) {
      message.status = Status.LOST;
      message.endReason = "lost";
      message.endMessage = "The platform died while it was there, and it with the platform.";
      message.endedAt = timestampFromMs(clock.now());
      await writeSandbox(sql, instanceId, message);
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#sampling);
    await Promise.all([...this.#there.values()].map((sandbox) => sandbox.end("stopped")));
  }

  async #read(id: string): Promise<SandboxMessage> {
    const found = this.#ends.get(id) ?? (await readSandbox(this.#options.sql, id));
    if (found !== undefined) return found;
    throw new SylaError("sandbox_not_found", `Cannot find a sandbox with the id ${id}.`);
  }

  async #make(spec: SandboxSpec, origin: Origin | undefined): Promise<Sandbox> {
    const { config, jails, clock, sql, instanceId, network, log, offer } = this.#options;
    if (jails === undefined) throw noIsolation();
    if (spec.network !== undefined) SandboxNetwork.check(spec.network, "/spec/network");
    const language = this.#language(spec, origin);
    const message = this.#message(spec, language, origin);
    const limits = { ...limitsOf(message), cpus: config.cpus };
    const request = {
      ...{ language: language ?? plainLanguage(offer), limits, stays: true },
      diskBytes: Number(message.limits?.diskBytes),
    };
    const starting = { jails, entriesMax: config.diskInodes, log };
    const { lease, channels } = await startJail(starting, request, origin);
    try {
      await writeSandbox(sql, instanceId, message);
    } catch (error) {
      await lease.release(false);
      throw error;
    }
    const sandbox = new Sandbox({
      ...{ message, lease, clock, network, channels },
      env: { ...origin?.env, ...spec.env, ...spec.secrets },
      directory: origin?.directory ?? "",
      outputBytesMax: config.processOutputBytes,
      changed: (changed) => this.#record(changed),
    });
    this.#there.set(message.id, sandbox);
    if (spec.network !== undefined) {
      try {
        await sandbox.changeNetwork(spec.network, "/spec/network");
      } catch (error) {
        await sandbox.end("killed");
        throw error;
      }
    }
    return sandbox;
  }

  async #record(message: SandboxMessage): Promise<void> {
    const { sql, instanceId } = this.#options;
    if (message.status !== Status.ENDED) return writeSandbox(sql, instanceId, message);
    const recorded = this.#ends.add(message);
    this.#there.delete(message.id);
    await recorded;
  }

  #language({ language, version }: SandboxSpec, origin: Origin | undefined): Language | undefined {
    const { offer } = this.#options;
    if (language !== "") return offered(offer, language, version);
    if (origin === undefined || origin.language === "") return undefined;
    // The host may have another version by now; files are files with any.
    const isThere = offer.languages.some((one) => {
      return one.name === origin.language && one.version === origin.version;
    });
    return offered(offer, origin.language, isThere ? origin.version : "");
  }

  #message(
    spec: SandboxSpec,
    language: Language | undefined,
    origin: Origin | undefined,
  ): SandboxMessage {
    const { config, clock } = this.#options;
    const limits = [spec.limits, origin?.limits];
    const nowMs = clock.now();
    const lifetimeMs =
      spec.lifetime === undefined ? config.keptLifetimeMs : durationMs(spec.lifetime);
    return create(SandboxSchema, {
      id: uuidv7(),
      status: Status.RUNNING,
      ...(language === undefined ? {} : { language: language.name, version: language.version }),
      limits: create(SandboxLimitsSchema, {
        memoryBytes: firstOf(
          limits.map((one) => one?.memoryBytes),
          BigInt(config.keptMemoryBytes),
        ),
        pids: firstOf(
          limits.map((one) => one?.pids),
          config.keptPids,
        ),
        diskBytes: firstOf(
          limits.map((one) => one?.diskBytes),
          BigInt(config.keptDiskBytes),
        ),
      }),
      template: origin?.template ?? "",
      snapshot: origin?.snapshot ?? "",
      metadata: spec.metadata,
      createdAt: timestampFromMs(nowMs),
      expiresAt: timestampFromMs(nowMs + lifetimeMs),
    });
  }
}

/** The first that is given and not zero. */
function firstOf<T extends number | bigint>(values: readonly (T | undefined)[], otherwise: T): T {
  return values.find((value) => value !== undefined && Number(value) !== 0) ?? otherwise;
}

function limitsOf({ limits }: SandboxMessage) {
  return { memoryBytes: Number(limits?.memoryBytes), pids: Number(limits?.pids) };
}
