// The wire of ProcessService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  type GetProcessOutputRequest,
  type GetProcessOutputResponse,
  GetProcessOutputResponseSchema,
  ListProcessesResponseSchema,
  type ProcessEvent,
  ProcessService,
  type ProcessSpec,
  type RunProcessResponse,
  RunProcessResponseSchema,
  WriteInputResponseSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import { type CallContext, tooLate } from "@syla/kit/call";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { Tail } from "@syla/kit/tail";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { invalidRequest } from "@syla/kit/validate";
import type { Offer } from "../languages/offer.ts";
import type { SandboxProcess } from "./process.ts";
import { planProgram } from "./plan.ts";
import type { Sandboxes } from "../sandboxes.ts";

/** Of what a process printed, in one answer. */
const answerBytesMax = 1024 ** 2;

export function processRpc(sandboxes: Sandboxes, offer: Offer): Implementation {
  const start = async (sandbox: string, spec: ProcessSpec | undefined): Promise<SandboxProcess> => {
    // The rules of the contract say that there is one; the type cannot.
    if (spec === undefined) {
      throw invalidRequest([{ pointer: "/spec", detail: "value is required", rule: "required" }]);
    }
    return (await sandboxes.find(sandbox)).start(spec);
  };
  const find = async ({ sandbox, id }: { sandbox: string; id: number }) =>
    (await sandboxes.find(sandbox)).process(id);
  return implement(ProcessService, {
    startProcess: async ({ sandbox, spec }) => (await start(sandbox, spec)).message,
    startProcessStream: async function* ({ sandbox, spec }, context) {
      yield* (await start(sandbox, spec)).watch(0, context);
    },
    runProcess: async ({ sandbox, spec }, context) => run(await start(sandbox, spec), context),
    planProgram: async (request) => {
      return planProgram(offer, (await sandboxes.find(request.sandbox)).message, request);
    },
    getProcess: async (request) => (await find(request)).message,
    listProcesses: async ({ sandbox, tag }) => {
      const processes = (await sandboxes.find(sandbox)).processes(tag);
      return create(ListProcessesResponseSchema, { processes });
    },
    getProcessOutput: async (request, context) => gather(await find(request), request, context),
    watchProcess: async function* (request, context) {
      yield* (await find(request)).watch(request.after, context);
    },
    writeInput: async ({ data, end, ...request }) => {
      const sandbox = await sandboxes.find(request.sandbox);
      const process = sandbox.process(request.id);
      sandbox.assertRunning();
      await process.write(bytesOf({ data }), end);
      return create(WriteInputResponseSchema);
    },
    signalProcess: async ({ signal, ...request }) => {
      const process = await find(request);
      process.signal(signal);
      return process.message;
    },
    resizeTerminal: async ({ terminal, ...request }) => {
      const process = await find(request);
      if (terminal !== undefined) process.resize(terminal);
      return process.message;
    },
  });
}

/** Follows a process to its end; one whose caller has left is ended. */
async function run(process: SandboxProcess, context: CallContext): Promise<RunProcessResponse> {
  const kept = { stdout: new Tail(answerBytesMax), stderr: new Tail(answerBytesMax) };
  try {
    for await (const { event } of process.watch(0, context)) keepOutput(kept, event);
  } catch (error) {
    process.kill("cancelled");
    throw error;
  }
  return create(RunProcessResponseSchema, {
    process: process.message,
    stdout: kept.stdout.text(),
    stderr: kept.stderr.text(),
    stdoutTruncated: kept.stdout.truncated,
    stderrTruncated: kept.stderr.truncated,
  });
}

/** What a process printed after a number; waits for more, if asked to, until it ends or the answer is full. */
async function gather(
  process: SandboxProcess,
  { after, wait }: Pick<GetProcessOutputRequest, "after" | "wait">,
  context: CallContext,
): Promise<GetProcessOutputResponse> {
  const waitMs = wait === undefined ? 0 : Number(wait.seconds) * 1000 + wait.nanos / 1_000_000;
  const there = process.message.lastEvent;
  const part = new Part(after);
  const waited = context.child();
  const over = tooLate();
  const timer = waitMs > 0 ? setTimeout(() => waited.abort(over), waitMs) : undefined;
  try {
    if (waitMs > 0 || after < there) {
      for await (const event of process.watch(after, waited)) {
        if (!part.add(event) || (waitMs === 0 && event.number >= there)) break;
      }
    }
  } catch (error) {
    if (error !== over) throw error;
  } finally {
    clearTimeout(timer);
    waited.finish();
  }
  return part.answer(process);
}

/** As much of what a process printed as one answer holds. */
class Part {
  #lastEvent: number;
  #lostBytes = 0;
  #bytes = 0;
  readonly #stdout: Uint8Array[] = [];
  readonly #stderr: Uint8Array[] = [];

  constructor(after: number) {
    this.#lastEvent = after;
  }

  /** Takes an event; false when there is no room for it. */
  add({ number, event }: ProcessEvent): boolean {
    if (event.case === "lostBytes") this.#lostBytes += event.value;
    if (event.case === "stdout" || event.case === "stderr") {
      const bytes = bytesOf(event.value);
      if (this.#bytes > 0 && this.#bytes + bytes.length > answerBytesMax) return false;
      this.#bytes += bytes.length;
      (event.case === "stdout" ? this.#stdout : this.#stderr).push(bytes);
    }
    this.#lastEvent = number;
    return true;
  }

  answer({ message }: SandboxProcess): GetProcessOutputResponse {
    return create(GetProcessOutputResponseSchema, {
      process: message,
      stdout: Buffer.concat(this.#stdout).toString("utf8"),
      stderr: Buffer.concat(this.#stderr).toString("utf8"),
      lostBytes: this.#lostBytes,
      lastEvent: this.#lastEvent,
      more: this.#lastEvent < message.lastEvent,
    });
  }
}

function keepOutput(kept: { stdout: Tail; stderr: Tail }, event: ProcessEvent["event"]): void {
  if (event.case === "stdout") kept.stdout.add(bytesOf(event.value));
  else if (event.case === "stderr") kept.stderr.add(bytesOf(event.value));
}
