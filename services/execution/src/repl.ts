// The wire of syla.repl.v1: the original REPL endpoints, as a view of executions.
import { create } from "@bufbuild/protobuf";
import type { ExecutionEvent } from "@syla/contract/syla/execution/v1/execution";
import { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import {
  ExecuteResponseSchema,
  ExecuteStreamResponseSchema,
  ListLanguagesResponseSchema,
  ReplService,
} from "@syla/contract/syla/repl/v1/repl";
import type {
  ListLanguagesResponse as SandboxLanguages,
  RunnerService,
} from "@syla/contract/syla/sandbox/v1/runner";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { type Implementation, implement } from "@syla/kit/dispatch";
import type { Executions } from "./execution.ts";
import { latest } from "@syla/kit/latest";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { resolveLanguage } from "./languages.ts";

export interface ReplRpcOptions {
  readonly executions: Executions;
  readonly sandbox: Client<typeof RunnerService>;
}

/** What a program wrote, in an event; undefined when the event is something else. */
function outputOf({ event }: ExecutionEvent): string | undefined {
  if (event.case !== "stdout" && event.case !== "stderr") return undefined;
  return bytesOf(event.value).toString("utf8");
}

/** The sentence on what failed, in the event that ends a run. */
function failureOf({ event }: ExecutionEvent): string | undefined {
  return event.case === "finished" ? event.value.errorMessage : undefined;
}

export function replRpc(options: ReplRpcOptions): Implementation {
  const { executions, sandbox } = options;
  async function* run(
    request: { readonly language: string; readonly code: string },
    context: CallContext,
  ): AsyncGenerator<ExecutionEvent> {
    const { language, code } = request;
    const asked = create(ExecutionSpecSchema, { language, code });
    const spec = await resolveLanguage(sandbox, asked, context, "");
    yield* executions.executeStream(spec, context);
  }
  const languageNames = latest(({ languages }: SandboxLanguages) => {
    const names = new Set(languages.map(({ name }) => name));
    return create(ListLanguagesResponseSchema, { languages: [...names] });
  });
  return implement(ReplService, {
    listLanguages: async (_request, context) =>
      languageNames(await sandbox.listLanguages({}, { parent: context })),
    execute: async (request, context) => {
      let result = "";
      let success = false;
      for await (const event of run(request, context)) {
        result += outputOf(event) ?? "";
        if (event.event.case !== "finished") continue;
        const { exitCode, errorMessage, metrics } = event.event.value;
        success = metrics?.success ?? false;
        // A program that exited has said itself what there is to say; one that was ended has not.
        if (exitCode === undefined && errorMessage !== undefined)
          result += `ERROR: ${errorMessage}`;
      }
      return create(ExecuteResponseSchema, { result, success });
    },
    executeStream: async function* (request, context) {
      for await (const event of run(request, context)) {
        const failure = failureOf(event);
        const output = failure === undefined ? outputOf(event) : `ERROR: ${failure}`;
        if (output !== undefined) yield create(ExecuteStreamResponseSchema, { output });
      }
    },
  });
}
