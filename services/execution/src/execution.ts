// The rules of executions. One lives here from its acceptance until its end is durable; then the database has it.
//
//   accept -> PENDING -> (a slot is free) RUNNING -> SUCCEEDED | FAILED | CANCELLED
//                                            `-- the platform dies --> LOST
//
// What is durable when: a queued execution before it is acknowledged; a followed one before its first event; one that
// a caller waits for after `recordAfterMs` as RUNNING, or else once at its end, on its way while the answer is.
// Events of a long run are written as it goes, so that a crash loses moments and not the log. Secrets are in memory
// only, so an execution that has some cannot wait for the next start of the platform: it is LOST.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Execution,
  type ExecutionEvent,
  ExecutionSchema,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";
import type { ExecutionSpec } from "@syla/contract/syla/execution/v1/spec";
import type { Finished, RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import type { Clock } from "@syla/kit/clock";
import { SylaError, toSylaError } from "@syla/kit/error";
import { uuidv7 } from "@syla/kit/id";
import type { Log } from "@syla/kit/log";
import type { ExecutionConfig } from "./config.ts";
import { EventLog } from "./event-log.ts";
import type { History } from "./history.ts";
import { createMask } from "./mask.ts";
import {
  collectOutput,
  failedRun,
  finishExecution,
  isCutOff,
  type RunEnd,
  runRequest,
  toArtifact,
} from "./outcome.ts";
import { type Bytes, type Place, RunQueue } from "./queue.ts";
import { RunOutput } from "./run-output.ts";
import { namesSecrets, type Secrets, withholdSecrets } from "./secrets.ts";
import { specBytes } from "./spec-rules.ts";

export interface ExecutionsOptions {
  readonly config: ExecutionConfig;
  readonly sandbox: Client<typeof RunnerService>;
  readonly history: History;
  readonly clock: Clock;
  readonly log: Log;
}

/** One execution while it lives in this process. */
interface Live {
  readonly execution: Execution;
  /** It may be written down, so it names the secrets and does not have them. */
  readonly spec: ExecutionSpec;
  /** Until it has ended; never there for what an earlier start of the platform accepted. */
  secrets: Secrets | undefined;
  readonly log: EventLog;
  /** Ends the run from outside. */
  readonly stop: AbortController;
  readonly place: Place;
  /** It waits for nobody: should the platform stop before its turn, the next start runs it. */
  readonly queued: boolean;
  /** How many of its events history has. */
  savedEvents: number;
  /** Resolves when nothing of it is being written; writes go one after another, so the log has no gaps. */
  saving: Promise<void>;
  /** Resolves once it has ended; never rejects. */
  ended: Promise<void>;
}

/** What makes a Live. */
interface Entry {
  readonly execution: Execution;
  readonly spec: ExecutionSpec;
  readonly secrets: Secrets | undefined;
  readonly queued: boolean;
  readonly bytes: Bytes;
}

/** Why a run is ended when the platform stops; any other reason is its owner's. */
const stopping = Symbol("the platform is stopping");

const isStopping = (signal: AbortSignal): boolean => signal.reason === stopping;

function stoppedBy(signal: AbortSignal): RunEnd {
  return { kind: isStopping(signal) ? "lost" : "cancelled" };
}

/** An execution as it is answered. */
function withOutput({ execution, log }: Live): Execution {
  return { ...execution, ...collectOutput(log.events) };
}

/** Resolves when a signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The executions of this process and, through their history, all others. */
export class Executions {
  readonly #options: ExecutionsOptions;
  readonly #queue: RunQueue;
  readonly #live = new Map<string, Live>();
  #draining = false;

  constructor(options: ExecutionsOptions) {
    this.#options = options;
    const { slots, waitingMax, waitingBytesMax, outputHeldBytes } = options.config;
    const runningBytesMax = outputHeldBytes;
    this.#queue = new RunQueue({ slots, waitingMax, waitingBytesMax, runningBytesMax });
  }

  get running(): number {
    return this.#queue.running;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /** Queues one; it is durable when this resolves. */
  async createExecution(spec: ExecutionSpec): Promise<Execution> {
    const one = this.#accept(spec, true);
    try {
      await this.#save(one);
    } catch (error) {
      one.place.release();
      this.#live.delete(one.execution.id);
      throw error;
    }
    const accepted = { ...one.execution };
    this.#start(one);
    return accepted;
  }

  /** Runs one to its end and answers it with its output. A caller that leaves cancels it. */
  async execute(spec: ExecutionSpec, context: CallContext): Promise<Execution> {
    const one = this.#accept(spec, false);
    const unlink = context.onAbort(() => one.stop.abort());
    this.#start(one);
    await one.ended;
    unlink();
    return withOutput(one);
  }

  /** Runs one and follows it; it is durable before its first event. A caller that leaves cancels it. */
  async *executeStream(spec: ExecutionSpec, context: CallContext): AsyncGenerator<ExecutionEvent> {
    const one = this.#accept(spec, false);
    const unlink = context.onAbort(() => one.stop.abort());
    this.#start(one);
    try {
      await this.#save(one);
      yield* one.log.watch(0, context);
    } finally {
      unlink();
      // Once it has ended this does nothing; before that, its follower has left.
      one.stop.abort();
    }
  }

  /** Answers one with its output. */
  async getExecution(id: string): Promise<Execution> {
    const one = this.#live.get(id);
    if (one === undefined) return this.#options.history.get(id);
    return withOutput(one);
  }

  /** Ends one that has not ended, and answers it as it then is. */
  async cancelExecution(id: string): Promise<Execution> {
    const one = this.#live.get(id);
    if (one === undefined) return this.#options.history.get(id);
    one.stop.abort();
    await one.ended;
    return withOutput(one);
  }

  /** Follows one from the event after a number. */
  async *watchExecution(
    id: string,
    after: number,
    context: CallContext,
  ): AsyncGenerator<ExecutionEvent> {
    const one = this.#live.get(id);
    if (one !== undefined) yield* one.log.watch(after, context);
    else yield* this.#options.history.events(id, after, context);
  }

  /** Takes up what dead processes left: what was queued is queued here, what was running is LOST. */
  async recover(): Promise<void> {
    for (const { execution, spec } of await this.#options.history.adopt()) {
      const bytes = this.#bytesOf(spec);
      const one = this.#enter({ execution, spec, secrets: undefined, queued: true, bytes });
      // Its first event is in the history already.
      one.savedEvents = 1;
      this.#start(one);
    }
  }

  /**
   * Accepts nothing more. What was queued and has not begun stays queued for the next start; what runs may end until
   * the signal, and is LOST then.
   */
  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    const all = [...this.#live.values()];
    for (const one of all) {
      if (one.execution.startedAt === undefined) one.stop.abort(stopping);
    }
    const ended = Promise.all(all.map((one) => one.ended));
    const patienceOver = aborted(signal);
    await Promise.race([ended, patienceOver]);
    for (const one of all) one.stop.abort(stopping);
    await ended;
    // An end that was answered is to be found after the next start, too.
    await Promise.race([Promise.all(all.map((one) => one.saving)), patienceOver]);
  }

  #accept(spec: ExecutionSpec, queued: boolean): Live {
    if (this.#draining) {
      throw new SylaError("shutting_down", "Cannot accept an execution: the platform is stopping.");
    }
    const bytes = this.#bytesOf(spec);
    this.#queue.assertRoom(bytes);
    this.#options.history.assertRoom();
    const execution = create(ExecutionSchema, {
      id: uuidv7(),
      language: spec.language,
      version: spec.version,
      createdAt: timestampFromMs(this.#options.clock.now()),
      metadata: spec.metadata,
    });
    return this.#enter({ execution, ...withholdSecrets(spec), queued, bytes });
  }

  #enter({ bytes, ...entry }: Entry): Live {
    const { execution } = entry;
    const one: Live = {
      ...entry,
      log: new EventLog(),
      stop: new AbortController(),
      place: this.#queue.enter(bytes),
      savedEvents: 0,
      saving: Promise.resolve(),
      ended: Promise.resolve(),
    };
    this.#live.set(execution.id, one);
    this.#setStatus(one, Status.PENDING, "");
    return one;
  }

  /** What a spec holds while it waits, and the output that its run may hold, of both streams. */
  #bytesOf(spec: ExecutionSpec): Bytes {
    const outputBytes = Number(spec.limits?.outputBytes || this.#options.config.outputBytes);
    return { waiting: specBytes(spec), running: 2 * outputBytes };
  }

  #setStatus(one: Live, status: Status, phase: string): void {
    one.execution.status = status;
    one.log.append({ case: "status", value: { status, phase } }, this.#options.clock.now());
  }

  /** Gives history the state and every event it does not have. */
  #save(one: Live): Promise<void> {
    const written = one.saving.then(async () => {
      const events = one.log.events.slice(one.savedEvents);
      const pending = one.execution.status === Status.PENDING;
      const spec = pending ? one.spec : undefined;
      // As it is with these events: it goes on while it waits to be written.
      await this.#options.history.save({ execution: { ...one.execution }, spec, events });
      one.savedEvents += events.length;
    });
    one.saving = written.catch(() => undefined);
    return written;
  }

  #start(one: Live): void {
    one.ended = this.#runToEnd(one);
  }

  async #runToEnd(one: Live): Promise<void> {
    const { clock } = this.#options;
    const end = await this.#waitAndRun(one).catch((thrown: unknown) => {
      const error = toSylaError(thrown);
      if (error.code === "internal")
        this.#options.log.error({ error: error.cause }, "a run failed");
      return failedRun(error);
    });
    one.secrets = undefined;
    one.place.release();
    if (end.kind === "kept") {
      one.place.forget();
      one.log.close();
      this.#live.delete(one.execution.id);
      return;
    }
    finishExecution(one.execution, end, clock.now());
    one.log.append({ case: "finished", value: one.execution }, clock.now());
    one.log.close();
    // Until history has the end, this process answers for the execution.
    void this.#save(one)
      .catch((error: unknown) =>
        this.#options.log.error({ error }, "the end of a run is not recorded"),
      )
      .finally(() => {
        this.#live.delete(one.execution.id);
        one.place.forget();
      });
  }

  async #waitAndRun(one: Live): Promise<RunEnd> {
    const { signal } = one.stop;
    if (one.secrets === undefined && namesSecrets(one.spec)) return { kind: "forgotten" };
    await Promise.race([one.place.turn, aborted(signal)]);
    if (signal.aborted) {
      if (!one.queued || !isStopping(signal)) return stoppedBy(signal);
      return { kind: namesSecrets(one.spec) ? "forgotten" : "kept" };
    }
    const { clock, config } = this.#options;
    one.execution.startedAt = timestampFromMs(clock.now());
    const recording = setInterval(() => this.#record(one), config.recordAfterMs);
    try {
      return await this.#run(one);
    } catch (thrown) {
      if (signal.aborted) return stoppedBy(signal);
      throw thrown;
    } finally {
      clearInterval(recording);
    }
  }

  /** Writes down how far a run is that is not over soon. */
  #record(one: Live): void {
    if (one.log.events.length === one.savedEvents) return;
    this.#save(one).catch((error: unknown) => {
      this.#options.log.warn({ error }, "the events of a running execution are not recorded yet");
    });
  }

  async #run(one: Live): Promise<RunEnd> {
    const { clock, config, sandbox } = this.#options;
    const { spec } = one;
    const secrets = one.secrets ?? { variables: {}, network: spec.network };
    const output = new RunOutput({
      emit: (stream, chunk) => one.log.append({ case: stream, value: chunk }, clock.now()),
      lingerMs: config.chunkLingerMs,
      chunkBytesMax: config.chunkBytesMax,
      mask: spec.maskSecrets ? createMask(Object.values(secrets.variables)) : undefined,
    });
    const request = runRequest(spec, { config, secrets, execution: one.execution.id });
    let finished: Finished | undefined;
    try {
      for await (const { event } of sandbox.run(request, { signal: one.stop.signal })) {
        switch (event.case) {
          case "started":
            one.execution.version = event.value.version;
            this.#setStatus(one, Status.RUNNING, event.value.phase);
            // History has it as waiting, and would have it run again after a crash.
            if (one.savedEvents > 0) this.#record(one);
            break;
          case "stdout":
          case "stderr":
            output.write(event.case, event.value);
            break;
          case "artifact": {
            output.flush();
            const artifact = output.artifact(toArtifact(event.value));
            one.log.append({ case: "artifact", value: artifact }, clock.now());
            break;
          }
          case "finished":
            // The stream ends after it. To leave it here would be to end a call that is not over.
            finished = event.value;
            break;
          default:
        }
      }
    } finally {
      output.end({ cut: finished === undefined || isCutOff(finished) });
    }
    if (finished !== undefined) return { kind: "finished", finished };
    return failedRun(new SylaError("internal", "The sandbox ended the run without saying how."));
  }
}
