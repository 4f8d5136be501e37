// A small platform for the tests of every surface: the execution service with handlers whose behaviour the request
// chooses, the probe service for client streams, and an internal service that no surface may show.
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  type Execution,
  Execution_Status,
  type ExecutionEvent,
  ExecutionEventSchema,
  ExecutionSchema,
  ExecutionService,
  ListExecutionsResponseSchema,
  ListLanguagesResponseSchema,
} from "@syla/contract/syla/execution/v1/execution";
import type { ExecutionSpec } from "@syla/contract/syla/execution/v1/spec";
import { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import type { CallContext } from "@syla/kit/call";
import {
  createDispatcher,
  type Dispatcher,
  implement,
  type Implementation,
  mergeDispatchers,
} from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { createProbe, type ProbeLog } from "@syla/kit/transport-fixture";
import { validation } from "@syla/kit/validate";

/** An execution that is always found. */
export const knownId = "01890a5d-ac96-774b-bcce-b302099a8057";
/** One that never is. */
export const unknownId = "01890a5d-ac96-774b-bcce-000000000000";

/** A dispatcher over the test services, with logs of what their handlers did. */
export function createSurfaceFixture(): { dispatcher: Dispatcher; log: ProbeLog; probe: ProbeLog } {
  const log: ProbeLog = { started: 0, ended: 0, sent: 0, context: undefined };
  const probe = createProbe();
  const own = createDispatcher([executions(log), sandbox()], [validation()]);
  return { dispatcher: mergeDispatchers([own, probe.dispatcher]), log, probe: probe.log };
}

function execution(id: string, spec?: ExecutionSpec): Execution {
  return create(ExecutionSchema, {
    id,
    status: Execution_Status.SUCCEEDED,
    language: spec?.language ?? "python",
    exitCode: 0,
    stdout: spec?.code ?? "42\n",
    createdAt: { seconds: 1_700_000_000n, nanos: 0 },
    metadata: { team: "a" },
  });
}

function executions(log: ProbeLog): Implementation {
  return implement(ExecutionService, {
    createExecution: async ({ spec }) => execution(knownId, spec),
    execute: async ({ spec }, context) => {
      if (spec?.code === "crash") throw new TypeError("secret detail");
      if (spec?.code === "hang") await ended(log, context);
      return execution(knownId, spec);
    },
    executeStream: ({ spec }, context) => events(spec?.code ?? "", 0, log, context),
    getExecution: async ({ id }) => {
      if (id === knownId) return execution(id);
      throw new SylaError("execution_not_found", `Cannot find the execution ${id}.`);
    },
    listExecutions: async () =>
      create(ListExecutionsResponseSchema, { executions: [execution(knownId)] }),
    cancelExecution: async ({ id }) => execution(id),
    watchExecution: ({ after }, context) =>
      events(after === 100 ? "hang" : "", after, log, context),
    listLanguages: async () =>
      create(ListLanguagesResponseSchema, { languages: [{ name: "python", version: "3.11.2" }] }),
  });
}

async function ended(log: ProbeLog, context: CallContext): Promise<void> {
  log.started += 1;
  await new Promise<void>((resolve) => context.onAbort(() => resolve()));
  log.ended += 1;
}

async function* events(
  code: string,
  after: number,
  log: ProbeLog,
  context: CallContext,
): AsyncGenerator<ExecutionEvent> {
  log.started += 1;
  log.context = context;
  const last = code === "flood" ? Infinity : 5;
  try {
    for (let number = after + 1; number <= last; number += 1) {
      log.sent += 1;
      const text = code === "flood" ? "x".repeat(64 * 1024) : `line ${number}\n`;
      const value = { data: { case: "text", value: text } } as const;
      yield create(ExecutionEventSchema, { number, event: { case: "stdout", value } });
      if (code === "fail")
        throw new SylaError("queue_full", "Too many wait.", { retryAfterMs: 250 });
    }
    if (code === "finish") yield finished();
    if (code === "hang") await new Promise<void>((resolve) => context.onAbort(() => resolve()));
  } finally {
    log.ended += 1;
  }
}

function finished(): ExecutionEvent {
  const value = create(ExecutionSchema, {
    ...{ id: knownId, status: Execution_Status.SUCCEEDED, exitCode: 0 },
  });
  return create(ExecutionEventSchema, { number: 6, event: { case: "finished", value } });
}

function sandbox(): Implementation {
  const refuse = () => Promise.reject(new SylaError("internal", "The inside is outside."));
  return implement(RunnerService, {
    run: async function* () {
      yield await refuse();
    },
    listLanguages: refuse,
    getLanguage: refuse,
    checkNetwork: refuse,
    getHost: refuse,
  });
}

/** Waits, within two seconds, for what the other side does on its own. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; waited < 2000; waited += 5) {
    if (condition()) return;
    await sleep(5);
  }
  throw new Error(`Waited in vain: ${what}.`);
}

/** Waits until every handler that began has ended, and at least one began. */
export function handlersEnded(log: ProbeLog): Promise<void> {
  return until(() => log.started > 0 && log.started === log.ended, "the handlers ended");
}
