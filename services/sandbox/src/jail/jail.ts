/**
 * A jail: from asking for it to the moment nothing of it is left.
 *
 *   opening --READY--> idle --exec--> running --EXIT--> idle ... --close or death--> closed
 *
 * Opening is the slow part and needs no request; whatever is asked of a jail that is still opening
 * is sent at once and waits in its socket, so a cold run pays no round trip either. The agent
 * inside (../agent) enforces wall time and output; this side watches what an agent could be kept
 * from watching, and believes the agent nothing that does not parse.
 */
import type { SeccompFilter } from "../seccomp/seccomp.ts";
import { Channels } from "./channels.ts";
import { type Artifact, Collection } from "./artifacts.ts";
import { watchCpu } from "./cpu.ts";
import type { HostCause } from "./outcome.ts";
import type { SpawnedProcess, Spawner } from "./spawner.ts";
import { type Step, type StepEnd, requestOf } from "./step.ts";
import { TreeCollection } from "./tree.ts";
import type { CgroupSlot } from "../cgroup/cgroup.ts";
import {
  type AgentFrame,
  type JailFile,
  type JailUsage,
  type WantedArtifact,
  type WantedTree,
  collectFrame,
  collectTreeFrame,
  createFrameReader,
  execFrames,
  fileFrames,
  keepFrame,
  killFrame,
  parseFrame,
  setupFrame,
} from "./frames.ts";
import { isKept } from "./keep-frames.ts";
import { type JailRoot, UID_BASE } from "./root.ts";
import type { Bind } from "../languages/language.ts";
import type { TreeDisk, Zygote } from "./zygote.ts";

export type { Artifact } from "./artifacts.ts";
export type { Step, StepEnd } from "./step.ts";

export interface JailOptions {
  readonly root: JailRoot;
  readonly spawner: Spawner;
  readonly slot: CgroupSlot;
  /** The seccomp filter, as seccompFilter() makes it. */
  readonly filter: SeccompFilter;
  /** The disk is memory: what is on it counts towards the slot's memory limit too. */
  readonly diskBytes: number;
  readonly diskInodes: number;
  /** Host paths outside /usr that the language needs, read-only. */
  readonly binds?: readonly Bind[];
  /** The zygote to fork it from, which has its root and filter from its own start; without, bubblewrap opens it. */
  readonly zygote?: Zygote | undefined;
  /** What its disk begins with, or is; only with a zygote. */
  readonly tree?: TreeDisk | undefined;
  /** An interpreter to start, which then waits for the program of a step with `start: "release"`. */
  readonly held?: Pick<Step, "argv" | "env" | "directory"> | undefined;
}

/** How long a jail may take to be ready, and then a program to its start, on a host under load. */
const START_MS_MAX = 10_000;
/** How much later than the agent the host ends a step by itself. */
const BACKSTOP_MS = 1_000;
/** How often one that talks on after its time is looked at once more: what waits in buffers is little. */
const LATE_LOOKS_MAX = 5;
/** Files come from memory: this is for an agent that is stuck. */
const COLLECT_MS_MAX = 30_000;
/** How long a jail may take to go by itself once its socket is closed. */
const CLOSE_MS_MAX = 1_000;

interface Running {
  readonly step: Step;
  readonly resolve: (end: StepEnd) => void;
  /** Stops every timer and listener of the step. */
  readonly stops: (() => void)[];
  backstop: NodeJS.Timeout | undefined;
  cause: HostCause | undefined;
  usage: JailUsage | undefined;
  started: boolean;
  lateLooks: number;
  readonly leftBytes: { stdout: number; stderr: number };
}

/** Starts a jail; returns at once. The slot belongs to it until close() has resolved. */
export const openJail = (options: JailOptions): Jail => new Jail(options);

export class Jail {
  /** Resolves when the jail waits for work; rejects when it could not be made. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, or is being closed. */
  readonly ended: Promise<void>;
  readonly #end: () => void;
  readonly #slot: CgroupSlot;
  readonly #process: SpawnedProcess;
  readonly #holds: boolean;
  readonly #becomeReady: () => void;
  readonly #failReady: (error: Error) => void;
  #state: "opening" | "idle" | "closed" = "opening";
  #running: Running | undefined;
  #collection: Collection | TreeCollection | undefined;
  #channels: Channels | undefined;
  #beside: Channels | undefined;
  #closing: Promise<void> | undefined;
  #agentError: string | undefined;
  /** Why it is closed, if it is. */
  #cause: HostCause | undefined;
  #processes = 0;
  #heardMs = 0;

  constructor(options: JailOptions) {
    this.#slot = options.slot;
    const end = Promise.withResolvers<void>();
    this.ended = end.promise;
    this.#end = end.resolve;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {}); // who execs at once need not look at it
    this.ready = promise;
    const { zygote } = options;
    const askedMs = performance.now();
    const late = setTimeout(() => {
      zygote?.doubt(askedMs);
      this.#die("internal", "it was not ready in time");
    }, START_MS_MAX);
    this.#becomeReady = () => {
      clearTimeout(late);
      zygote?.heard();
      resolve();
    };
    this.#failReady = (error) => {
      clearTimeout(late);
      reject(error);
    };
    this.#process = start(options);
    this.#listen();
    if (zygote === undefined) this.#send(setupFrame(options.filter));
    this.#holds = options.held !== undefined;
    if (options.held !== undefined) this.#send(holdFrames(options.held, options.slot));
  }

  /** False once it has died or is closing: a warm jail is asked before it is used. */
  get alive(): boolean {
    return this.#state !== "closed" && !this.#closing;
  }

  writeFile(file: JailFile): void {
    this.#send(fileFrames(file));
  }

  /** Runs one program to its end. What can happen to a program is a StepEnd, never a rejection. */
  exec(step: Step): Promise<StepEnd> {
    this.#assertFree("exec");
    const { promise, resolve } = Promise.withResolvers<StepEnd>();
    if (!this.alive) {
      const cause = this.#cause ?? "internal";
      resolve({ cause, detail: "the jail has ended", cgroup: this.#slot.usage() });
      return promise;
    }
    this.#agentError = undefined;
    this.#processes = (this.#processes % 65_535) + 1;
    const request = { step, slot: this.#slot, process: this.#processes };
    const frames = execFrames(requestOf(request));
    this.#running = runningOf(step, resolve);
    this.#send(frames);
    this.#watch(this.#running);
    return promise;
  }

  /** Regular files below /work, in the order asked; only between steps. */
  collect(wanted: readonly WantedArtifact[]): Promise<Artifact[]> {
    this.#assertFree("collect");
    const { promise, resolve } = Promise.withResolvers<Artifact[]>();
    const collection = new Collection(wanted, resolve);
    if (wanted.length === 0) resolve([]);
    else if (!this.alive) collection.abandon("the jail has ended");
    else return this.#gather(collection, collectFrame(wanted), promise);
    return promise;
  }

  /** A file in /work, or a folder there with all that is in it; undefined when not to be had whole. Between steps. */
  collectTree(wanted: WantedTree): Promise<readonly JailFile[] | undefined> {
    this.#assertFree("collect");
    if (!this.alive) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<readonly JailFile[] | undefined>();
    return this.#gather(new TreeCollection(wanted, resolve), collectTreeFrame(wanted), promise);
  }

  #gather<T>(
    collection: Collection | TreeCollection,
    frames: readonly Uint8Array[],
    gathered: Promise<T>,
  ): Promise<T> {
    this.#collection = collection;
    this.#send(frames);
    const late = (): void => this.#die("internal", "the agent did not collect in time");
    const timer = setTimeout(late, COLLECT_MS_MAX);
    return gathered.finally(() => clearTimeout(timer));
  }

  /** From here on it stays, for many processes at a time; only when it is ready and has run nothing. */
  keep(): Channels {
    this.#assertFree("keep");
    const channels = new Channels((frames) => this.#send(frames));
    this.#channels = channels;
    if (this.alive) this.#send(keepFrame());
    else channels.end(new Error("The jail has ended"));
    return channels;
  }

  /** Listeners beside the program that runs, and the connections that they take: nothing else may be begun on these. */
  beside(): Channels {
    const channels = (this.#beside ??= new Channels((frames) => this.#send(frames)));
    if (!this.alive) channels.end(new Error("The jail has ended"));
    return channels;
  }

  /** Stops reading output: the program then blocks when its pipes are full. */
  pause(): void {
    this.#process.socket.pause();
  }

  resume(): void {
    this.#process.socket.resume();
  }

  /** Ends the running step, or else the jail and so whatever step would come, with this cause. */
  kill(cause: HostCause): void {
    const running = this.#running;
    if (!running) return this.#die(cause, "ended before its program began");
    if (running.cause !== undefined) return;
    running.cause = cause;
    this.#send(killFrame(9));
    // An agent that does not answer is ended from outside.
    const end = (): void => this.#die(cause, "the agent did not end the program");
    const timer = setTimeout(end, BACKSTOP_MS);
    running.stops.push(() => clearTimeout(timer));
  }

  /** Resolves when every process is gone and the slot is free for the next jail. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#die("cancelled", "the jail was closed");
    const { socket, exited, kill } = this.#process;
    socket.destroy(); // the agent reads EOF, and with PID 1 everything inside ends
    const timer = setTimeout(kill, CLOSE_MS_MAX);
    await exited;
    clearTimeout(timer);
    await this.#slot.release();
  }

  #assertFree(what: string): void {
    if (this.#running || this.#collection || this.#channels)
      throw new Error(`Cannot ${what}: the jail is busy`);
  }

  #send(frames: readonly Uint8Array[]): void {
    const { socket } = this.#process;
    if (socket.destroyed) return;
    // A program follows its files at once, and both wake the agent once: after what was awaited meanwhile, too.
    if (socket.writableCorked === 0) {
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    for (const bytes of frames) socket.write(bytes);
  }

  #listen(): void {
    const { socket, exited } = this.#process;
    const parse = createFrameReader((raw) => {
      const channels = this.#channels ?? (isKept(raw) ? this.#beside : undefined);
      if (channels === undefined) this.#onFrame(parseFrame(raw));
      else if (this.#state !== "closed") channels.take(raw);
    });
    socket.on("data", (chunk: Buffer) => {
      this.#heardMs = performance.now();
      try {
        parse(chunk);
      } catch (error) {
        this.#die("internal", error instanceof Error ? error.message : String(error));
      }
    });
    const ended = async (): Promise<void> => {
      const said = await exited;
      this.#die("internal", this.#agentError ?? (said || "it ended without a word"));
    };
    socket.on("error", () => void ended());
    socket.on("close", () => void ended());
  }

  #watch(running: Running): void {
    const { step, stops } = running;
    const late = (): void => this.#die("internal", "the program did not start in time");
    running.backstop = setTimeout(late, START_MS_MAX);
    const { cpuMs } = step.limits;
    const cpu = watchCpu({ slot: this.#slot, cpuMs, exceeded: () => this.kill("cpu_time") });
    const abort = (): void => this.kill("cancelled");
    step.signal?.addEventListener("abort", abort);
    stops.push(() => clearTimeout(running.backstop), cpu.stop);
    stops.push(() => step.signal?.removeEventListener("abort", abort));
    if (step.signal?.aborted) abort();
  }

  /**
   * The agent keeps the time; this is for one that the program found a way to hold up. One that
   * still talks is not held up: its EXIT may be waiting behind output that is read slowly. It is not to talk for ever.
   */
  #backstop(running: Running): void {
    const late = (): void => {
      const silent = performance.now() - this.#heardMs >= BACKSTOP_MS;
      if (!this.#process.socket.isPaused()) {
        running.lateLooks += 1;
        if (silent || running.lateLooks > LATE_LOOKS_MAX) {
          return this.#die("timeout", "the agent did not keep time");
        }
      }
      running.backstop = setTimeout(late, BACKSTOP_MS);
    };
    clearTimeout(running.backstop);
    running.backstop = setTimeout(late, running.step.limits.wallMs + BACKSTOP_MS);
  }

  #finish(end: Omit<StepEnd, "cgroup" | "usage">): void {
    const running = this.#running;
    if (!running) return;
    this.#running = undefined;
    for (const stop of running.stops) stop();
    running.resolve({ ...end, usage: running.usage, cgroup: this.#slot.usage() });
  }

  /** The jail is not to be believed or used any more. */
  #die(cause: HostCause, detail: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cause = cause;
    this.#end();
    this.#failReady(new Error(`The jail ended: ${detail}`));
    const killed = this.#running !== undefined;
    this.#finish({ cause: this.#running?.cause ?? cause, detail });
    this.#collection?.abandon(detail);
    this.#collection = undefined;
    for (const channels of [this.#channels, this.#beside]) {
      channels?.end(new Error(`The jail ended: ${detail}`));
    }
    this.#process.socket.destroy();
    // An agent that runs a program may not be listening.
    if (killed || cause === "internal") this.#process.kill();
  }

  #onFrame(frame: AgentFrame): void {
    if (this.#state === "closed") return;
    switch (frame.type) {
      case "ready":
        if (this.#state !== "opening") return this.#die("internal", "READY twice");
        this.#state = "idle";
        return this.#holds ? undefined : this.#becomeReady();
      case "held":
        return this.#becomeReady();
      case "error":
        this.#agentError = `${frame.stage}: ${frame.message} (errno ${frame.errno})`;
        return;
      case "started":
      case "stdout":
      case "stderr":
      case "usage":
      case "exit":
        if (!this.#running || frame.process !== this.#processes) break;
        return this.#onProgramFrame(this.#running, frame);
      default:
        if (!this.#collection) break;
        return this.#onCollected(this.#collection, frame);
    }
    this.#die("internal", `unexpected ${frame.type}`);
  }

  #onProgramFrame(running: Running, frame: ProgramFrame): void {
    if (!isDue(frame, running.started)) return this.#die("internal", `unexpected ${frame.type}`);
    switch (frame.type) {
      case "started":
        running.started = true;
        this.#backstop(running);
        return running.step.onStarted?.();
      case "stdout":
      case "stderr":
        running.leftBytes[frame.type] -= frame.data.length;
        if (running.leftBytes[frame.type] < 0) {
          return this.#die("internal", `more of ${frame.type} than it may send`);
        }
        return running.step.onOutput(frame.type, frame.data);
      case "usage":
        running.usage = frame.usage;
        return;
      case "exit":
        this.#finish({ cause: running.cause, end: frame.end, detail: this.#agentError });
    }
  }

  #onCollected(collection: Collection | TreeCollection, frame: AgentFrame): void {
    const state = collection.take(frame);
    if (state === "done") this.#collection = undefined;
    if (state === "wrong") this.#die("internal", `unexpected ${frame.type}`);
  }
}

type ProgramFrame = Extract<AgentFrame, { process: number }>;

/** STARTED comes once, and before all else but the end of a program that did not start. */
const isDue = (frame: ProgramFrame, started: boolean): boolean => {
  if (frame.type === "started") return !started;
  const notStarted = frame.type === "exit" && frame.end.kind === "notStarted";
  return started || notStarted || frame.type === "usage";
};

const runningOf = (step: Step, resolve: (end: StepEnd) => void): Running => ({
  ...{ step, resolve, stops: [], started: false, lateLooks: 0 },
  ...{ backstop: undefined, cause: undefined, usage: undefined },
  leftBytes: { stdout: step.limits.stdoutBytes, stderr: step.limits.stderrBytes },
});

const holdFrames = (held: NonNullable<JailOptions["held"]>, slot: CgroupSlot) => {
  const limits = { wallMs: 0, stdoutBytes: 0, stderrBytes: 0 };
  const step: Step = { ...held, limits, onOutput: () => {} };
  return execFrames({ ...requestOf({ step, slot, process: 0 }), start: "hold" });
};

const start = (options: JailOptions): SpawnedProcess => {
  const { root, slot, spawner, zygote, tree, diskBytes, diskInodes, binds = [] } = options;
  const disk = { diskBytes, diskInodes };
  const uid = 1 + slot.index; // 0 is the zygotes'
  if (zygote !== undefined) return zygote.fork(slot.launchArguments, { uid, tree, ...disk });
  const command = root.command({ binds, hostUid: UID_BASE + uid, ...disk });
  return spawner.spawn([...slot.launchArguments, "--", ...command]);
};
