// The wire of NetworkService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  ListNetworkEventsResponseSchema,
  NetworkService,
} from "@syla/contract/syla/sandbox/v1/network";
import { type Implementation, implement } from "@syla/kit/dispatch";
import type { Sandboxes } from "../sandboxes.ts";

export function networkRpc(sandboxes: Sandboxes): Implementation {
  return implement(NetworkService, {
    updateSandboxNetwork: async ({ sandbox: id, network }) => {
      const sandbox = await sandboxes.find(id);
      return sandbox.changeNetwork(network, "/network");
    },
    getSandboxNetwork: async ({ sandbox }) => (await sandboxes.find(sandbox)).network.message,
    listNetworkEvents: async ({ sandbox, after }) => {
      const { network } = await sandboxes.find(sandbox);
      return create(ListNetworkEventsResponseSchema, network.events(after));
    },
  });
}
