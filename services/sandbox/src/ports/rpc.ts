// The wire of PortService and of TunnelService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  Port_Access as Access,
  ListPortsResponseSchema,
  type Port,
  PortLinkSchema,
  PortSchema,
  PortService,
} from "@syla/contract/syla/sandbox/v1/port";
import { AdmitResponseSchema, TunnelService } from "@syla/contract/syla/sandbox/v1/tunnel";
import type { Clock } from "@syla/kit/clock";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { invalidRequest } from "@syla/kit/validate";
import { listeningPorts } from "./listening.ts";
import { ANY_PORT, Ports } from "./ports.ts";
import type { Sandbox } from "../sandbox.ts";
import type { Sandboxes } from "../sandboxes.ts";
import { carry, Tunnels } from "./tunnel.ts";

const linkMs = 3_600_000;

export function portRpc(sandboxes: Sandboxes, clock: Clock): Implementation[] {
  const ports = new Ports(clock);
  const one = async (sandbox: Sandbox, port: number) =>
    describe(ports, sandbox, port, await listeningIn(sandbox));
  const publicMethods = implement(PortService, {
    exposePort: async ({ sandbox: id, port, access }) => {
      const sandbox = await sandboxes.find(id);
      ports.expose(sandbox, port, access === Access.ACCESS_UNSPECIFIED ? Access.TOKEN : access);
      return one(sandbox, port);
    },
    getPort: async ({ sandbox, port }) => one(await sandboxes.find(sandbox), port),
    listPorts: async ({ sandbox: id }) => {
      const sandbox = await sandboxes.find(id);
      const listening = await listeningIn(sandbox);
      const numbers = new Set([...ports.exposed(sandbox), ...listening]);
      return create(ListPortsResponseSchema, {
        ports: [...numbers]
          .toSorted((a, b) => a - b)
          .map((port) => describe(ports, sandbox, port, listening)),
      });
    },
    unexposePort: async ({ sandbox: id, port }) => {
      const sandbox = await sandboxes.find(id);
      ports.unexpose(sandbox, port);
      return one(sandbox, port);
    },
    createPortLink: async ({ sandbox: id, port, lifetime }) => {
      const sandbox = await sandboxes.find(id);
      const lifetimeMs = lifetime === undefined ? linkMs : durationMs(lifetime);
      const { text, expiresMs } = ports.ticket(sandbox, port, lifetimeMs);
      const path = `${pathOf(sandbox, port)}?syla_ticket=${text}`;
      return create(PortLinkSchema, { path, expiresAt: timestampFromMs(expiresMs) });
    },
  });
  return [publicMethods, tunnelRpc(sandboxes, ports)];
}

function tunnelRpc(sandboxes: Sandboxes, ports: Ports): Implementation {
  const tunnels = new Tunnels();
  return implement(TunnelService, {
    admit: async ({ sandbox, ...brought }) => {
      const ticket = ports.admit(await sandboxes.find(sandbox), brought);
      if (ticket === undefined) return create(AdmitResponseSchema);
      const expiresAt = timestampFromMs(ticket.expiresMs);
      return create(AdmitResponseSchema, { ticket: ticket.text, expiresAt });
    },
    connect: async function* (requests, context) {
      const inputs = requests[Symbol.asyncIterator]();
      const first = await inputs.next();
      const open = first.done === true ? undefined : first.value.message;
      if (open?.case !== "open") {
        throw invalidRequest([{ pointer: "/open", detail: "value is required", rule: "required" }]);
      }
      const sandbox = await sandboxes.find(open.value.sandbox);
      const tunnel = await tunnels.connect(sandbox, open.value.port);
      yield* carry(tunnel, inputs, context);
    },
  });
}

/** Nothing that is paused can be asked, and nothing in it answers. */
async function listeningIn(sandbox: Sandbox): Promise<readonly number[]> {
  return sandbox.isRunning ? listeningPorts(sandbox.box) : [];
}

function describe(
  ports: Ports,
  sandbox: Sandbox,
  port: number,
  listening: readonly number[],
): Port {
  return create(PortSchema, {
    ...{ sandbox: sandbox.message.id, port, ...ports.access(sandbox, port) },
    path: port === ANY_PORT ? "" : pathOf(sandbox, port),
    listening: listening.includes(port),
  });
}

function pathOf({ message }: Sandbox, port: number): string {
  return `/s/${message.id}/${port}/`;
}
