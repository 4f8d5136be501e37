// The wire of SandboxService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  ListSandboxesResponseSchema,
  ListSandboxMetricsResponseSchema,
  SandboxService,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Implementation, implement } from "@syla/kit/dispatch";
import type { Sandboxes } from "./sandboxes.ts";

export function sandboxRpc(sandboxes: Sandboxes): Implementation {
  return implement(SandboxService, {
    createSandbox: ({ spec }) => sandboxes.make(spec),
    getSandbox: ({ id }) => sandboxes.get(id),
    listSandboxes: async (request) => {
      const { items, nextPageToken } = await sandboxes.list(request);
      return create(ListSandboxesResponseSchema, { sandboxes: items, nextPageToken });
    },
    extendSandbox: async ({ id, lifetime }) => {
      const sandbox = await sandboxes.find(id);
      await sandbox.extend(lifetime === undefined ? 0 : durationMs(lifetime));
      return sandbox.message;
    },
    pauseSandbox: async ({ id }) => {
      const sandbox = await sandboxes.find(id);
      await sandbox.pause();
      return sandbox.message;
    },
    resumeSandbox: async ({ id }) => {
      const sandbox = await sandboxes.find(id);
      await sandbox.resume();
      return sandbox.message;
    },
    killSandbox: ({ id }) => sandboxes.kill(id),
    listSandboxMetrics: async ({ id }) => {
      const sandbox = await sandboxes.find(id);
      return create(ListSandboxMetricsResponseSchema, { metrics: sandbox.metrics() });
    },
    watchSandbox: ({ id }, context) => sandboxes.watch(id, context),
  });
}
