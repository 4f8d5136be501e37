// The wire of syla.execution.v1: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  type Execution,
  ExecutionService,
  ListExecutionsResponseSchema,
  ListLanguagesResponseSchema,
} from "@syla/contract/syla/execution/v1/execution";
import type { ExecutionSpec } from "@syla/contract/syla/execution/v1/spec";
import type {
  ListLanguagesResponse as SandboxLanguages,
  RunnerService,
} from "@syla/contract/syla/sandbox/v1/runner";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { latest } from "@syla/kit/latest";
import { invalidRequest } from "@syla/kit/validate";
import type { Executions } from "./execution.ts";
import type { History } from "./history.ts";
import { resolveLanguage } from "./languages.ts";
import { checkSpec, type Maxima } from "./spec-rules.ts";

export interface ExecutionRpcOptions {
  readonly executions: Executions;
  readonly history: History;
  readonly sandbox: Client<typeof RunnerService>;
  readonly config: Maxima;
}

export function executionRpc(options: ExecutionRpcOptions): Implementation {
  const { executions, history, sandbox, config } = options;
  const specOf = async (spec: ExecutionSpec | undefined, context: CallContext) => {
    // The rules of the contract say that there is one; the type cannot.
    if (spec === undefined) {
      throw invalidRequest([{ pointer: "/spec", detail: "value is required", rule: "required" }]);
    }
    checkSpec(spec, "/spec", config);
    if (spec.network !== undefined) {
      // The sandbox alone knows what a policy may say.
      const asked = { network: spec.network, pointer: "/spec/network" };
      await sandbox.checkNetwork(asked, { parent: context });
    }
    return resolveLanguage(sandbox, spec, context);
  };
  const publicLanguages = latest(({ languages }: SandboxLanguages) =>
    create(ListLanguagesResponseSchema, {
      languages: languages.map(({ name, version, aliases, extensions, compiled, firstRunMs }) => ({
        ...{ name, version, aliases, extensions, compiled },
        ...(firstRunMs === undefined ? {} : { firstRunMs }),
      })),
    }),
  );
  return implement(ExecutionService, {
    createExecution: async (request, context): Promise<Execution> => {
      return executions.createExecution(await specOf(request.spec, context));
    },
    execute: async (request, context) => {
      return executions.execute(await specOf(request.spec, context), context);
    },
    executeStream: async function* (request, context) {
      yield* executions.executeStream(await specOf(request.spec, context), context);
    },
    getExecution: (request) => executions.getExecution(request.id),
    listExecutions: async (request) =>
      create(ListExecutionsResponseSchema, await history.list(request)),
    cancelExecution: (request) => executions.cancelExecution(request.id),
    watchExecution: (request, context) =>
      executions.watchExecution(request.id, request.after, context),
    listLanguages: async (_request, context) =>
      publicLanguages(await sandbox.listLanguages({}, { parent: context })),
  });
}
