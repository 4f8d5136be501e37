// The events of an execution, of a process in a sandbox or of a cell in a session, as one unbroken sequence. They are
// numbered and kept by the platform, so a connection that breaks costs nothing: the next one asks for what comes after
// the last number seen.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExecutionEvent, ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import type { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import type {
  ProcessEvent,
  ProcessService,
  StartProcessStreamRequestSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import type {
  RunCellStreamRequestSchema,
  SessionEvent,
  SessionService,
} from "@syla/contract/syla/session/v1/session";
import type { CallOptions, Client } from "./call.ts";
import { SylaError } from "./error.ts";

/** How connections that break are made again. */
export interface RetryOptions {
  /** How many in a row may fail without a new event between them; 8 by default, 0 never tries again. */
  readonly attempts?: number;
  /** The wait before the first new one, in milliseconds; each further wait is twice as long. 100 by default. */
  readonly firstDelayMs?: number;
  /** The longest wait, in milliseconds; 5000 by default. */
  readonly maxDelayMs?: number;
}

/** How an execution or a process is followed. */
export interface FollowOptions {
  /** The number of the last event already seen; 0, the default, begins at the first. */
  readonly after?: number;
  /** Ends the following. */
  readonly signal?: AbortSignal;
  /** How connections that break are made again. */
  readonly retry?: RetryOptions;
}

/** How a program is run. */
export interface RunOptions {
  /** Ends the following, and the run with it. */
  readonly signal?: AbortSignal;
  /** How connections that break are made again. */
  readonly retry?: RetryOptions;
}

/** What to run; every field of the contract's ExecutionSpec. */
export type ExecutionSpec = MessageInitShape<typeof ExecutionSpecSchema>;

type Executions = Client<typeof ExecutionService>;
type Processes = Client<typeof ProcessService>;
type Sessions = Client<typeof SessionService>;

/** A process in a sandbox; the contract's Process is one. */
export interface ProcessRef {
  /** The sandbox's id. */
  readonly sandbox: string;
  /** The process's number in it. */
  readonly id: number;
}

interface Followed<E> {
  /** What it is, for messages. */
  readonly what: string;
  readonly watch: (after: number, call: CallOptions) => AsyncIterable<E>;
  readonly isLast: (event: E) => boolean;
}

// A connection that held this long before it broke was a good one: a quiet program may outlive many of them.
const heldMs = 10_000;

// Cancelling is the last courtesy of a caller that leaves; it must not keep him.
const cancelTimeoutMs = 5_000;

/** Follows an execution to its end; the last event is `finished`. Leaving does not disturb the execution. */
export function followExecution(
  executions: Executions,
  id: string,
  options: FollowOptions = {},
): AsyncGenerator<ExecutionEvent, void> {
  const followed = {
    what: `execution ${id}`,
    watch: (after: number, call: CallOptions) => executions.watchExecution({ id, after }, call),
    isLast: ({ event }: ExecutionEvent) => event.case === "finished",
  };
  return follow(followed, options);
}

/** Follows a process to its end; the last event is `ended`. Leaving does not disturb the process. */
export function followProcess(
  processes: Processes,
  { sandbox, id }: ProcessRef,
  options: FollowOptions = {},
): AsyncGenerator<ProcessEvent, void> {
  const followed = {
    what: `process ${id} in sandbox ${sandbox}`,
    watch: (after: number, call: CallOptions) =>
      processes.watchProcess({ sandbox, id, after }, call),
    isLast: ({ event }: ProcessEvent) => event.case === "ended",
  };
  return follow(followed, options);
}

/**
 * Starts a process and follows it from its first event, which names it; none is missed in between, as could be of a
 * process that was started before it is followed. Leaving does not disturb the process.
 */
export function followNewProcess(
  processes: Processes,
  request: MessageInitShape<typeof StartProcessStreamRequestSchema>,
  options: Omit<FollowOptions, "after"> = {},
): AsyncGenerator<ProcessEvent, void> {
  const begun = {
    what: "a new process",
    start: (call: CallOptions) => processes.startProcessStream(request, call),
    refOf: ({ event }: ProcessEvent) => (event.case === "started" ? event.value : undefined),
    isLast: ({ event }: ProcessEvent) => event.case === "ended",
    goOn: (ref: ProcessRef, after: number) => followProcess(processes, ref, { ...options, after }),
  };
  return followNew(begun, options.signal);
}

/**
 * Runs a cell and follows it from its first event to its last, which is `ended`; none is missed over dropped
 * connections. Leaving does not disturb the cell.
 */
export function followNewCell(
  sessions: Sessions,
  request: MessageInitShape<typeof RunCellStreamRequestSchema>,
  options: Omit<FollowOptions, "after"> = {},
): AsyncGenerator<SessionEvent, void> {
  const { session } = request;
  const isLast = ({ event }: SessionEvent) => event.case === "ended";
  const begun = {
    what: `a new cell in session ${session}`,
    start: (call: CallOptions) => sessions.runCellStream(request, call),
    refOf: ({ cell }: SessionEvent) => (cell === 0 ? undefined : cell),
    isLast,
    goOn: (cell: number, after: number) => {
      const followed = {
        what: `cell ${cell} in session ${session}`,
        watch: (last: number, call: CallOptions) =>
          sessions.watchSession({ ...withSession(session), cell, after: last }, call),
        isLast,
      };
      return follow(followed, { ...options, after });
    },
  };
  return followNew(begun, options.signal);
}

function withSession(session: string | undefined): { session?: string } {
  return session === undefined ? {} : { session };
}

interface Begun<E, R> {
  readonly what: string;
  /** Not done a second time: that would be a second one. */
  readonly start: (call: CallOptions) => AsyncIterable<E>;
  /** What names it, once an event tells. */
  readonly refOf: (event: E) => R | undefined;
  readonly isLast: (event: E) => boolean;
  readonly goOn: (ref: R, after: number) => AsyncIterable<E>;
}

async function* followNew<E extends { readonly number: number }, R>(
  { what, start, refOf, isLast, goOn }: Begun<E, R>,
  signal: AbortSignal | undefined,
): AsyncGenerator<E, void> {
  let ref: R | undefined;
  let after = 0;
  try {
    for await (const event of start(signal === undefined ? {} : { signal })) {
      after = event.number;
      ref ??= refOf(event);
      yield event;
      if (isLast(event)) return;
    }
  } catch (thrown) {
    if (ref === undefined) throw thrown;
    passing(thrown);
  }
  if (ref === undefined) throw brokenOff(what);
  yield* goOn(ref, after);
}

async function* follow<E extends { readonly number: number }>(
  { what, watch, isLast }: Followed<E>,
  options: FollowOptions,
): AsyncGenerator<E, void> {
  const { signal, retry = {} } = options;
  const { attempts = 8 } = retry;
  const call = signal === undefined ? {} : { signal };
  let after = options.after ?? 0;
  for (let failures = 0; ; failures += 1) {
    const began = performance.now();
    let failure = brokenOff(what);
    try {
      for await (const event of watch(after, call)) {
        if (event.number <= after) continue;
        after = event.number;
        failures = 0;
        yield event;
        if (isLast(event)) return;
      }
    } catch (thrown) {
      failure = passing(thrown);
    }
    if (performance.now() - began > heldMs) failures = 0;
    if (failures >= attempts) throw failure;
    await sleep(failure.retryAfterMs ?? delay(failures, retry), signal);
  }
}

/** Queues a program and follows it. Leaving before its end, or the signal, cancels the run. */
export async function* runProgram(
  executions: Executions,
  spec: ExecutionSpec,
  options: RunOptions = {},
): AsyncGenerator<ExecutionEvent, void> {
  throwIfAborted(options.signal);
  // Not given the signal: whoever leaves in the middle of this call could not name the execution to cancel it.
  const { id } = await executions.createExecution({ spec });
  let ended = false;
  try {
    throwIfAborted(options.signal);
    for await (const event of followExecution(executions, id, options)) {
      ended = event.event.case === "finished";
      yield event;
    }
  } finally {
    if (!ended) await cancelQuietly(executions, id);
  }
}

async function cancelQuietly(executions: Executions, id: string): Promise<void> {
  try {
    await executions.cancelExecution({ id }, { timeoutMs: cancelTimeoutMs });
  } catch {
    // The run's own limits end it; what the caller is to be told is already on its way.
  }
}

function brokenOff(what: string): SylaError {
  return new SylaError("unreachable", `The events of ${what} broke off.`, {
    status: "unavailable",
  });
}

/** A failure that may pass; any other is thrown. */
function passing(thrown: unknown): SylaError {
  if (!(thrown instanceof SylaError)) throw thrown;
  if (thrown.status === "unavailable" || thrown.status === "resource_exhausted") return thrown;
  if (thrown.status === "aborted") return thrown;
  throw thrown;
}

// Half of the wait is random, so that callers cut off together do not come back together.
function delay(failures: number, retry: RetryOptions): number {
  const { firstDelayMs = 100, maxDelayMs = 5_000 } = retry;
  const full = Math.min(maxDelayMs, firstDelayMs * 2 ** failures);
  return full / 2 + Math.random() * (full / 2);
}

function cancelled(signal: AbortSignal): SylaError {
  return new SylaError("cancelled", "The caller ended the call.", {
    status: "cancelled",
    cause: signal.reason,
  });
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal);
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  const timer = setTimeout(wake, ms);
  signal?.addEventListener("abort", wake, { once: true });
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
  throwIfAborted(signal);
}
