// The wire of syla.execution.v1: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  type Execution,
  ExecutionService,
  type ExecutionSpec,
  ListExecutionsResponseSchema,
  ListLanguagesResponseSchema,
} from "@syla/contract/syla/execution/v1/execution";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Client } from "@syla/kit/client";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { invalidRequest } from "@syla/kit/validate";
import type { Executions } from "./execution.ts";
import type { History } from "./history.ts";
import type { LanguageCheck } from "./languages.ts";

export interface ExecutionRpcOptions {
  readonly executions: Executions;
  readonly history: History;
  readonly sandbox: Client<typeof SandboxService>;
  readonly checkLanguage: LanguageCheck;
}

// The rules of the contract say that there is one; the type cannot.
function specOf(spec: ExecutionSpec | undefined): ExecutionSpec {
  if (spec !== undefined) return spec;
  throw invalidRequest([{ pointer: "/spec", detail: "value is required", rule: "required" }]);
}

export function executionRpc(options: ExecutionRpcOptions): Implementation {
  const { executions, history, sandbox, checkLanguage } = options;
  return implement(ExecutionService, {
    createExecution: async (request): Promise<Execution> => {
      const spec = specOf(request.spec);
      await checkLanguage(spec.language, spec.version, "/spec");
      return executions.createExecution(spec);
    },
    execute: async (request, context) => {
      const spec = specOf(request.spec);
      await checkLanguage(spec.language, spec.version, "/spec");
      return executions.execute(spec, context);
    },
    executeStream: async function* (request, context) {
      const spec = specOf(request.spec);
      await checkLanguage(spec.language, spec.version, "/spec");
      yield* executions.executeStream(spec, context);
    },
    getExecution: (request) => executions.getExecution(request.id),
    listExecutions: async (request) =>
      create(ListExecutionsResponseSchema, await history.list(request)),
    cancelExecution: (request) => executions.cancelExecution(request.id),
    watchExecution: (request, context) =>
      executions.watchExecution(request.id, request.after, context),
    listLanguages: async (_request, context) => {
      const { languages } = await sandbox.listLanguages({}, { parent: context });
      return create(ListLanguagesResponseSchema, {
        languages: languages.map(({ name, version, aliases, extensions, compiled, firstRunMs }) => ({
          name,
          version,
          aliases,
          extensions,
          compiled,
          ...(firstRunMs === undefined ? {} : { firstRunMs }),
        })),
      });
    },
  });
}
