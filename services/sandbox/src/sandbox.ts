// A sandbox: a jail that stays, as a state machine that tells the truth.
//
//   RUNNING <--pause, resume--> PAUSED
//      '---------'--killed, expired, stopped, or its jail died--> ENDED
//
// What runs in it are its processes; whatever ends it ends them, and its end is told once they have theirs.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { NetworkPolicy } from "@syla/contract/syla/sandbox/v1/network";
import type { Process, ProcessSpec } from "@syla/contract/syla/sandbox/v1/process";
import {
  type Sandbox as SandboxMessage,
  type SandboxMetrics,
  SandboxMetricsSchema,
  Sandbox_Status as Status,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { Box, type StartBox } from "./files/box.ts";
import { boxStarter } from "./files/box-start.ts";
import type { Channel, ChannelListener, Channels } from "./jail/channels.ts";
import type { WarmJail } from "./jail/jails.ts";
import type { Lease } from "./jail/pool.ts";
import { SandboxProcess } from "./processes/process.ts";
import {
  type NetworkParts,
  SandboxNetwork,
  type WriteAuthorities,
} from "./network/sandbox-network.ts";
import { type PackReport, packTree } from "./copies/tree-copy.ts";

export type EndReason = "killed" | "expired" | "stopped" | "internal";

export interface SandboxOptions {
  /** As it is told; its status, its end and its expiry are changed here. */
  readonly message: SandboxMessage;
  /** Variables of every process, secrets among them. */
  readonly env: Readonly<Record<string, string>>;
  /** Where processes start that name no folder. */
  readonly directory: string;
  readonly lease: Lease<WarmJail>;
  readonly channels: Channels;
  readonly outputBytesMax: number;
  readonly network: NetworkParts;
  readonly clock: Clock;
  /** Told of every change of its message; it is recorded when that resolves. */
  readonly changed: (message: SandboxMessage) => Promise<void>;
}

/** How many that have ended are remembered. */
const endedMax = 100;
const metricsMax = 120;
/** A tenant can keep the authorities' file from being written, and nobody waits for that. */
const authorityMsMax = 10_000;

const sentences: Readonly<Record<EndReason, string>> = {
  killed: "Ended by its owner.",
  expired: "Its lifetime was over.",
  stopped: "Ended with the platform.",
  internal: "Its jail ended by itself; the platform's log says why.",
};

/** One sandbox that is there. */
export class Sandbox {
  readonly message: SandboxMessage;
  readonly box: Box;
  readonly network: SandboxNetwork;
  readonly #options: SandboxOptions;
  readonly #processes = new Map<number, SandboxProcess>();
  readonly #watchers = new Set<() => void>();
  readonly #metrics: SandboxMetrics[] = [];
  readonly #startBox: StartBox;
  #lastProcess = 0;
  /** It is copied, paused and resumed one after the other, and nothing is started in it meanwhile. */
  #turn: Promise<unknown> = Promise.resolve();
  /** It stands still, or is about to, or may not have come to it. */
  #frozen = false;
  readonly #endBegun = Promise.withResolvers<void>();
  #ending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SandboxOptions) {
    this.#options = options;
    this.message = options.message;
    const { channels, clock, network, message, lease } = options;
    this.#startBox = boxStarter(channels, lease.slot.slot);
    this.box = new Box((...started) => {
      this.assertRunning();
      return this.#startBox(...started);
    });
    this.network = new SandboxNetwork({ ...network, channels, clock, sandbox: message.id });
    this.#expire();
    void options.lease.slot.jail.ended.then(() => this.end("internal"));
  }

  /** Starts a process; resolves when it runs. */
  async start(given: ProcessSpec): Promise<SandboxProcess> {
    await this.#turn;
    this.assertRunning();
    const { channels, outputBytesMax, clock, lease } = this.#options;
    const env = { ...this.network.environment, ...this.#options.env };
    const spec = { ...given, directory: given.directory || this.directory };
    const id = (this.#lastProcess += 1);
    const { slot } = lease.slot;
    const options = { id, sandbox: this.message.id, spec, env, slot, channels };
    const starting = SandboxProcess.start({ ...options, outputBytesMax, clock });
    const process = await this.#unlessEnded(starting);
    this.#processes.set(id, process);
    void process.ended.then(() => this.#forget());
    return process;
  }

  /** Connects to a port of its loopback. */
  connect(port: number, listener: ChannelListener): Channel {
    this.assertRunning();
    return this.#options.channels.connect(port, listener);
  }

  get isRunning(): boolean {
    return this.#ending === undefined && this.message.status === Status.RUNNING;
  }

  /** Variables of every process, secrets among them. */
  get env(): Readonly<Record<string, string>> {
    return this.#options.env;
  }

  /** Where processes start that name no folder. */
  get directory(): string {
    return this.#options.directory;
  }

  /** Gives the sink all of its files, one copy at a time; what runs in it stands still meanwhile. */
  pack(sink: (piece: Buffer) => Promise<void>): Promise<PackReport> {
    return this.#inTurn(() => {
      this.assertRunning();
      return packTree(this.#startBox, sink);
    });
  }

  process(id: number): SandboxProcess {
    const found = this.#processes.get(id);
    if (found !== undefined) return found;
    throw new SylaError(
      "process_not_found",
      `Cannot find a process with the id ${id} in sandbox ${this.message.id}.`,
    );
  }

  /** Oldest first. */
  processes(tag: string): Process[] {
    const messages = [...this.#processes.values()].map(({ message }) => message);
    return tag === "" ? messages : messages.filter((message) => message.tag === tag);
  }

  /** It ends so long from now. */
  async extend(lifetimeMs: number): Promise<void> {
    this.#assertThere();
    this.message.expiresAt = timestampFromMs(this.#options.clock.now() + lifetimeMs);
    this.#expire();
    await this.#changed();
  }

  /** Sets what it may reach; answers that without secrets. `pointer` is where it stands in the request. */
  async changeNetwork(network: NetworkPolicy | undefined, pointer: string): Promise<NetworkPolicy> {
    this.assertRunning();
    const write: WriteAuthorities = (file) => this.box.write([file], authorityMsMax);
    try {
      await this.#unlessEnded(this.network.change(network, write, pointer));
    } finally {
      // It may hold and be no use to programs.
      this.message.network = this.network.message;
      await this.#changed();
    }
    return this.network.message;
  }

  pause(): Promise<void> {
    return this.#inTurn(() => this.#stand(true));
  }

  resume(): Promise<void> {
    return this.#inTurn(() => this.#stand(false));
  }

  /** Resolves when nothing of it is left. */
  end(reason: EndReason): Promise<void> {
    return (this.#ending ??= this.#endBecause(reason));
  }

  /** What it used until now, oldest first, and now. */
  metrics(): SandboxMetrics[] {
    return this.#ending === undefined ? [...this.#metrics, this.#measure()] : [...this.#metrics];
  }

  /** Takes a measure for metrics(). */
  sample(): void {
    if (this.#ending !== undefined) return;
    this.#metrics.push(this.#measure());
    if (this.#metrics.length > metricsMax) this.#metrics.shift();
  }

  /** Calls back at every change until it is told to stop. */
  onChange(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  assertRunning(): void {
    this.#assertThere();
    if (this.message.status === Status.RUNNING) return;
    throw new SylaError(
      "sandbox_paused",
      `Cannot use sandbox ${this.message.id}: it is paused. Resume it first.`,
    );
  }

  /** What fails because the sandbox ends meanwhile says that. */
  async #unlessEnded<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof SylaError)) this.#assertThere();
      throw error;
    }
  }

  #assertThere(): void {
    if (this.#ending !== undefined) throw ended(this.message);
  }

  #measure(): SandboxMetrics {
    const { slot } = this.#options.lease.slot;
    const { cpuUs, memoryPeakBytes } = slot.usage();
    const nowMs = this.#options.clock.now();
    const before = this.#metrics.at(-1);
    const beforeMs =
      before?.time === undefined ? timestampMs(createdAt(this.message)) : timestampMs(before.time);
    const cpuMs = cpuUs / 1000;
    const elapsedMs = Math.max(1, nowMs - beforeMs);
    return create(SandboxMetricsSchema, {
      time: timestampFromMs(nowMs),
      cpuMs,
      cpuMillicores: Math.max(0, ((cpuMs - (before?.cpuMs ?? 0)) * 1000) / elapsedMs),
      ...slot.now(),
      memoryPeakBytes,
      networkSentBytes: this.network.bytes.sent,
      networkReceivedBytes: this.network.bytes.received,
    });
  }

  #expire(): void {
    clearTimeout(this.#timer);
    const { expiresAt } = this.message;
    if (expiresAt === undefined || this.#ending !== undefined) return;
    const leftMs = Math.max(0, timestampMs(expiresAt) - this.#options.clock.now());
    this.#timer = setTimeout(() => void this.end("expired"), leftMs);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // whoever asked for it is told
    return done;
  }

  async #stand(frozen: boolean): Promise<void> {
    this.#assertThere();
    const status = frozen ? Status.PAUSED : Status.RUNNING;
    if (this.message.status === status) return;
    await this.#freeze(frozen);
    this.message.status = status;
    await this.#changed();
  }

  async #freeze(frozen: boolean): Promise<void> {
    const { freeze } = this.#options.lease.slot.slot;
    if (freeze === undefined) {
      const why = "this host has no control group that can be frozen";
      throw new SylaError("unimplemented", `Cannot pause sandbox ${this.message.id}: ${why}.`);
    }
    this.#frozen = true;
    try {
      // Its end does not wait for a group to come to a stand, nor does whoever wanted that.
      await Promise.race([freeze(frozen), this.#endBegun.promise]);
      this.#assertThere();
      this.#frozen = frozen;
    } catch (error) {
      if (frozen) await this.#thaw();
      throw error;
    }
  }

  /** As well as it goes: what cannot be let go on is ended all the same, or stays. */
  async #thaw(): Promise<void> {
    if (!this.#frozen) return;
    await this.#options.lease.slot.slot.freeze?.(false).catch(() => {});
    this.#frozen = false;
  }

  async #endBecause(reason: EndReason): Promise<void> {
    clearTimeout(this.#timer);
    this.#endBegun.resolve();
    const { lease, clock } = this.#options;
    this.network.close();
    // What is frozen cannot be ended on control groups of version 1.
    await this.#thaw();
    // Before its processes end: whoever hears of that asks for the reason.
    this.message.status = Status.ENDED;
    this.message.endReason = reason;
    this.message.endMessage = sentences[reason];
    this.message.endedAt = timestampFromMs(clock.now());
    await lease.release(false).catch(() => undefined); // the pool has told the log
    await Promise.all([...this.#processes.values()].map((process) => process.ended));
    await this.#changed();
  }

  async #changed(): Promise<void> {
    for (const listener of this.#watchers) listener();
    await this.#options.changed(this.message);
  }

  #forget(): void {
    const over = [...this.#processes.values()].filter(({ message }) => !message.running);
    for (const { message } of over.slice(0, Math.max(0, over.length - endedMax))) {
      this.#processes.delete(message.id);
    }
  }
}

/** The error of a sandbox that is not there any more. */
export function ended({ id, endReason }: SandboxMessage): SylaError {
  const why = endReason === undefined ? "it is ending" : `it has ended (${endReason})`;
  return new SylaError("sandbox_ended", `Cannot use sandbox ${id}: ${why}.`);
}

function createdAt({ createdAt: at }: SandboxMessage) {
  return at ?? timestampFromMs(0);
}
