// Runs code in a context and tells what comes of it, as E2B does: JSON objects, a line each, as they happen. When its
// client leaves, the code is interrupted, and the context is free for the next.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import {
  type Cell,
  type CellError,
  Cell_Status as Status,
} from "@syla/contract/syla/session/v1/cell";
import type { Session, SessionEvent, SessionService } from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { keptAlive } from "./keepalive.ts";
import { resultLine } from "./results.ts";

/** What code is run by. */
export interface Executor {
  readonly sandboxes: Client<typeof SandboxService>;
  readonly sessions: Client<typeof SessionService>;
}

/** What is run. */
export interface CodeSpec {
  readonly code: string;
  /** Variables while it runs. */
  readonly env: Readonly<Record<string, string>>;
}

const silence = { keepalive: { type: "keepalive" }, keepaliveMs: 5000 };

/** Runs code in a context; throws when it cannot even wait for its turn. */
export async function execute(
  executor: Executor,
  session: Session,
  { code, env }: CodeSpec,
  parent: CallContext,
): Promise<AsyncIterable<string>> {
  // There, code that fails does not keep from running what others sent meanwhile.
  const spec = { code, env: { ...env }, continueOnError: true };
  const request = { session: session.id, spec };
  const events = executor.sessions.runCellStream(request, { parent })[Symbol.asyncIterator]();
  const first = await events.next();
  const cell = first.done === true ? 0 : first.value.cell;
  return written(told(executor, session, cell, events));
}

async function* written(lines: AsyncGenerator<object>): AsyncGenerator<string> {
  for await (const line of keptAlive(lines, lines.next(), silence)) yield lineOf(line);
}

/** A line of nothing but ASCII: E2B's SDK for JavaScript breaks a character of which it gets half a chunk each. */
export function lineOf(line: object): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(line).replaceAll(/[\u0080-\uffff]/g, escaped)}\n`;
}

async function* told(
  executor: Executor,
  session: Session,
  cell: number,
  events: AsyncIterator<SessionEvent>,
): AsyncGenerator<object> {
  let hasFailed = false;
  let isOver = false;
  try {
    for (let step = await events.next(); step.done !== true; step = await events.next()) {
      const { event } = step.value;
      if (event.case === "ended") {
        isOver = true;
        if (!hasFailed && event.value.status !== Status.OK) yield unsaid(event.value);
        return;
      }
      if (event.case === "error") {
        hasFailed = true;
        await assertThere(executor, session, event.value);
      }
      yield* linesOf(step.value);
    }
    yield errorLine("UnexpectedEndOfExecution", "The context ended before the execution did");
  } finally {
    if (!isOver) leave(executor, session, cell);
    void events.return?.()?.catch(() => undefined);
  }
}

function linesOf({ time, event }: SessionEvent): object[] {
  switch (event.case) {
    case "started": {
      const { executionCount } = event.value;
      const type = "number_of_executions";
      return executionCount === undefined ? [] : [{ type, execution_count: executionCount }];
    }
    case "stdout":
    case "stderr": {
      const timestamp = time === undefined ? {} : { timestamp: timestampDate(time).toISOString() };
      return [{ type: event.case, text: textOf(event.value), ...timestamp }];
    }
    case "result":
      return [resultLine(event.value)];
    case "error": {
      const { name, message, traceback } = event.value;
      return [{ type: "error", name, value: message, traceback: traceback.join("\n") }];
    }
    case "lostBytes":
      return [errorLine("OutputLost", `${event.value} bytes of output came too fast and are lost`)];
    default:
      // E2B has no word for what is shown anew, cleared or asked.
      return [];
  }
}

function textOf(output: ProcessOutput): string {
  return bytesOf(output).toString("utf8");
}

/** The error of a cell that ended without telling one. */
function unsaid({ status }: Cell): object {
  if (status === Status.SKIPPED) return errorLine("ExecutionAborted", "Execution was aborted");
  return errorLine("ExecutionInterrupted", "Execution was interrupted");
}

function errorLine(name: string, value: string): object {
  return { type: "error", name, value, traceback: "" };
}

/** An interpreter that ended with its sandbox: there the connection breaks, and the SDK asks whether that has ended. */
async function assertThere(
  { sandboxes, sessions }: Executor,
  { id, sandbox }: Session,
  { name }: CellError,
): Promise<void> {
  if (name !== "InterpreterEnded") return;
  const { endReason } = await sessions.getSession({ id });
  if (endReason !== "sandbox") return;
  // It is ending already; this is to wait for the end.
  await sandboxes.killSandbox({ id: sandbox });
  throw new SylaError("sandbox_ended", `Cannot go on: sandbox '${sandbox}' has ended.`);
}

/** Nobody waits for the cell any more. It is ended on nobody's behalf: the call it was given by is over. */
function leave({ sessions }: Executor, { id }: Session, cell: number): void {
  if (cell !== 0) void sessions.interruptSession({ id, cell }).catch(() => undefined);
}
