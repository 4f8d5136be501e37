// A process of a sandbox that behaves as if it ran here, without a terminal: its output comes out as it is written,
// what is piped in is its input, its exit code is the command's, and a signal goes to it. The second signal ends it.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Process,
  ProcessEvent,
  ProcessSpecSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import { type ProcessRef, type Syla, SylaError } from "@syla/sdk";
import { platformFailure } from "../failure.ts";
import type { Interrupt } from "../interrupt.ts";
import { exitCodeOfProcess } from "../outcome.ts";
import { note } from "../output.ts";
import { printable } from "../render.ts";
import { printOutput } from "../run.ts";
import { keepSandbox } from "./stay.ts";
import { formatBytes } from "../size.ts";
import { isPiped } from "../stdin.ts";

/** A stay in a sandbox, for the length of a command. */
export interface Visit {
  readonly syla: Syla;
  /** The sandbox's id. */
  readonly sandbox: string;
  readonly interrupt: Interrupt;
  /** Ends it: the interrupt's, or that of a platform that died. */
  readonly signal: AbortSignal;
  /** How long the sandbox is to stay from any moment on. */
  readonly lifetimeMs: number;
}

/** What to start, of the contract's ProcessSpec. */
export type NewProcess = MessageInitShape<typeof ProcessSpecSchema>;

// A courtesy of one who leaves; it must not keep him.
const courtesyTimeoutMs = 5_000;

/** Runs a process to its end; answers its exit code. However this ends, the process has ended. */
export async function runInSandbox(visit: Visit, spec: NewProcess): Promise<number> {
  const { syla, sandbox, interrupt } = visit;
  const input = isPiped() || process.stdin.isTTY;
  const over = new AbortController();
  const failed = new AbortController();
  const signal = AbortSignal.any([visit.signal, failed.signal]);
  void keepSandbox(syla, sandbox, visit.lifetimeMs, over.signal);
  let started: ProcessRef | undefined;
  let ended: Process | undefined;
  const attach = (ref: ProcessRef) => {
    started = ref;
    interrupt.divert((name) => void signalQuietly(syla, ref, name));
    if (input) feed(syla, ref).catch((thrown: unknown) => failed.abort(thrown));
  };
  try {
    const request = { sandbox, spec: { ...spec, input } };
    for await (const { event } of syla.followNewProcess(request, { signal })) {
      if (event.case === "started") attach({ sandbox, id: event.value.id });
      if (event.case === "ended") ended = event.value;
      await printProcessEvent(event);
    }
  } catch (thrown) {
    throw failed.signal.aborted ? failed.signal.reason : thrown;
  } finally {
    over.abort();
    interrupt.divert(undefined);
    process.stdin.destroy();
    if (started !== undefined && ended === undefined) {
      await signalQuietly(syla, started, "SIGKILL");
    }
  }
  return tellEnd(visit, ended);
}

/** A process's exit code; says what that does not tell. */
export async function tellEnd(
  { syla, sandbox }: Pick<Visit, "syla" | "sandbox">,
  ended: Process | undefined,
): Promise<number> {
  if (ended === undefined) throw platformFailure("The process's events ended before it did.");
  if (ended.endReason === "timeout") await note("ended after its time was over (timeout)");
  if (ended.endReason === "killed") {
    const { endMessage = "" } = await syla.sandbox.getSandbox({ id: sandbox });
    await note(`the sandbox has ended. ${printable(endMessage)}`.trim());
  }
  return exitCodeOfProcess(ended);
}

/** Writes what a process wrote to the stream that it came from, and says what is not kept any more. */
export async function printProcessEvent(event: ProcessEvent["event"]): Promise<void> {
  if (event.case === "lostBytes") {
    await note(`${formatBytes(event.value)} of earlier output are not kept any more`);
  }
  await printOutput(event);
}

/** Signals a process; that it has ended meanwhile, or cannot be reached, is no matter. */
async function signalQuietly(syla: Syla, ref: ProcessRef, signal: string): Promise<void> {
  const call = { timeoutMs: courtesyTimeoutMs };
  await syla.process.signalProcess({ ...ref, signal }, call).catch(() => {});
}

/** Whether a process has ended its input, or itself. */
export function isInputClosed(thrown: unknown): boolean {
  return thrown instanceof SylaError && thrown.code === "process_input_closed";
}

async function feed(syla: Syla, ref: ProcessRef): Promise<void> {
  try {
    const input: AsyncIterable<Buffer> = process.stdin;
    for await (const value of input) {
      await syla.process.writeInput({ ...ref, data: { case: "base64", value } });
    }
    await syla.process.writeInput({ ...ref, end: true });
  } catch (thrown) {
    if (!isInputClosed(thrown) && !isClosedHere(thrown)) throw thrown;
  }
}

// Of a standard input that was destroyed while it was read, because what it was for is over.
function isClosedHere(thrown: unknown): boolean {
  return (
    thrown instanceof Error && "code" in thrown && thrown.code === "ERR_STREAM_PREMATURE_CLOSE"
  );
}
