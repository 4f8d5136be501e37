// Jupyter's API (https://jupyter-server.readthedocs.io), for front ends that were written for it: kernels are sessions
// of Syla, reached by REST and by a WebSocket each. Files, terminals and settings of a server are not here.
import type { IncomingMessage } from "node:http";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { SessionService } from "@syla/contract/syla/session/v1/session";
import type { Client } from "@syla/kit/client";
import type { LocalKey } from "@syla/kit/local-key";
import {
  type Adapter,
  type AdapterRequest,
  type AdapterRoute,
  jsonReply,
  queryOf,
  type WholeReply,
} from "../../adapters.ts";
import { checkHandshake, checkToken } from "./access.ts";
import { serveChannel } from "./channel.ts";
import { errorReply, explain } from "./errors.ts";
import {
  endKernel,
  findKernel,
  kernelModel,
  type KernelOptions,
  listKernels,
  listLanguages,
  readObject,
  restartKernel,
  startKernel,
} from "./kernels.ts";
import { kernelspecs } from "./languages.ts";
import { KernelLinks } from "./links.ts";
import { packedProtocol, textIn } from "./message.ts";
import { changeNotebook, findNotebook, notebookModel, openNotebook } from "./notebooks.ts";

export interface JupyterOptions {
  readonly sessions: Client<typeof SessionService>;
  readonly sandboxes: Client<typeof SandboxService>;
  /** What clients bring as their token. */
  readonly key: LocalKey;
  /** Whether the gateway's own calls need the key. */
  readonly isKeyRequired: boolean;
  /** Syla's version. */
  readonly version: string;
}

type Handle = (request: AdapterRequest, id: string) => Promise<WholeReply>;

const prefix = "/jupyter";
const channelsShape = /^\/jupyter\/api\/kernels\/([0-9a-f-]{36})\/channels\/?$/;
const noContent: WholeReply = { kind: "whole", status: 204, contentType: "", text: "" };

/** Makes the adapter. */
export function jupyterAdapter(options: JupyterOptions): Adapter {
  const { sessions, sandboxes, key, version } = options;
  const links = new KernelLinks();
  const kernels: KernelOptions = { sessions, links };
  const route = (httpVerb: AdapterRoute["httpVerb"], path: string, handle: Handle) => ({
    ...{ httpVerb, path },
    handle: async (request: AdapterRequest) => {
      checkToken(key, request.raw);
      return handle(request, request.params["id"] ?? "");
    },
  });
  return {
    name: "jupyter",
    prefixes: [prefix],
    routes: [
      // Clients ask it before they have a token, to see that somebody is there.
      { httpVerb: "GET", path: "/api", handle: async () => jsonReply(200, { version }) },
      route("GET", "/api/status", (request) => status(kernels, request)),
      route("GET", "/api/me", async () => jsonReply(200, { identity, permissions: {} })),
      ...specRoutes(kernels, route),
      ...kernelRoutes(kernels, route),
      ...notebookRoutes(kernels, route),
    ],
    explain,
    admitSocket: (request) => {
      checkHandshake(key, request, options);
      links.assertRoom(kernelIn(request.url ?? ""), clientIn(request));
    },
    socketProtocols: [packedProtocol],
    findSocket: (path) => {
      if (!channelsShape.test(path)) return undefined;
      const kernel = kernelIn(path);
      return (peer, context, request) => {
        const client = clientIn(request);
        serveChannel({ sessions, sandboxes, links, version, kernel, client, peer, context });
      };
    },
  };
}

type MakeRoute = (verb: AdapterRoute["httpVerb"], path: string, handle: Handle) => AdapterRoute;

const identity = {
  ...{ username: "syla", name: "Syla", display_name: "Syla", initials: "S" },
  ...{ avatar_url: null, color: null },
};

function clientIn(request: IncomingMessage): string {
  return queryOf(request).get("session_id") ?? "";
}

function kernelIn(url: string): string {
  return channelsShape.exec(url.split("?", 1)[0] ?? "")?.[1] ?? "";
}

async function status(kernels: KernelOptions, { context }: AdapterRequest): Promise<WholeReply> {
  const there = (await listKernels(kernels, context)).map((one) => kernelModel(one, kernels.links));
  const activity = there.map((one) => textIn(one, "last_activity")).toSorted();
  const started = new Date(Date.now() - process.uptime() * 1000).toISOString();
  const counts = { connections: kernels.links.total, kernels: there.length };
  return jsonReply(200, { started, last_activity: activity.at(-1) ?? started, ...counts });
}

function specRoutes({ sessions }: KernelOptions, route: MakeRoute): readonly AdapterRoute[] {
  const specsOf = async ({ context }: AdapterRequest) =>
    kernelspecs(await listLanguages(sessions, context));
  return [
    route("GET", "/api/kernelspecs", async (request) => jsonReply(200, await specsOf(request))),
    route("GET", "/api/kernelspecs/:id", async (request, name) => {
      const { kernelspecs: specs } = await specsOf(request);
      const found = Object.entries(specs ?? {}).find(([known]) => known === name);
      if (found === undefined)
        return errorReply(404, `Kernel spec ${name.slice(0, 100)} not found`);
      return jsonReply(200, found[1]);
    }),
    route("GET", "/kernelspecs/:id/:file", async () =>
      errorReply(404, "Kernelspecs have no files."),
    ),
  ];
}

function kernelRoutes(kernels: KernelOptions, route: MakeRoute): readonly AdapterRoute[] {
  const { sessions, links } = kernels;
  return [
    route("GET", "/api/kernels", async ({ context }) => {
      const there = await listKernels(kernels, context);
      return jsonReply(
        200,
        there.map((session) => kernelModel(session, links)),
      );
    }),
    route("POST", "/api/kernels", async (request) => {
      const name = textIn(await readObject(request), "name");
      return jsonReply(
        201,
        kernelModel(await startKernel(kernels, name, {}, request.context), links),
      );
    }),
    route("GET", "/api/kernels/:id", async ({ context }, id) => {
      return jsonReply(200, kernelModel(await findKernel(kernels, id, context), links));
    }),
    route("DELETE", "/api/kernels/:id", async ({ context }, id) => {
      await endKernel(kernels, id, context);
      return noContent;
    }),
    route("POST", "/api/kernels/:id/interrupt", async ({ context }, id) => {
      await findKernel(kernels, id, context);
      await sessions.interruptSession({ id }, { parent: context });
      return noContent;
    }),
    route("POST", "/api/kernels/:id/restart", async ({ context }, id) => {
      return jsonReply(200, kernelModel(await restartKernel(kernels, id, context), links));
    }),
  ];
}

function notebookRoutes(kernels: KernelOptions, route: MakeRoute): readonly AdapterRoute[] {
  return [
    route("GET", "/api/sessions", async ({ context }) => {
      const there = await listKernels(kernels, context);
      return jsonReply(
        200,
        there.map((session) => notebookModel(session, kernels)),
      );
    }),
    route("POST", "/api/sessions", async (request) => {
      const session = await openNotebook(kernels, await readObject(request), request.context);
      return jsonReply(201, notebookModel(session, kernels));
    }),
    route("GET", "/api/sessions/:id", async ({ context }, id) => {
      return jsonReply(200, notebookModel(await findNotebook(kernels, id, context), kernels));
    }),
    route("PATCH", "/api/sessions/:id", async (request, id) => {
      const body = await readObject(request);
      const session = await changeNotebook(kernels, id, body, request.context);
      return jsonReply(200, notebookModel(session, kernels));
    }),
    route("DELETE", "/api/sessions/:id", async ({ context }, id) => {
      const session = await findNotebook(kernels, id, context);
      await endKernel(kernels, session.id, context);
      return noContent;
    }),
  ];
}
