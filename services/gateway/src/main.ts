// The gateway's composition root: every surface of the contract on one port, and gRPC also alone.
import type { IncomingMessage } from "node:http";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { FileService } from "@syla/contract/syla/sandbox/v1/file";
import { NetworkService } from "@syla/contract/syla/sandbox/v1/network";
import { PortService } from "@syla/contract/syla/sandbox/v1/port";
import { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SnapshotService } from "@syla/contract/syla/sandbox/v1/snapshot";
import { TemplateService } from "@syla/contract/syla/sandbox/v1/template";
import { TunnelService } from "@syla/contract/syla/sandbox/v1/tunnel";
import { SessionService } from "@syla/contract/syla/session/v1/session";
import { createClient } from "@syla/kit/client";
import type { Dispatcher } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { bringsKey } from "@syla/kit/local-access";
import type { LocalKey } from "@syla/kit/local-key";
import { type Adapter, registerAdapters } from "./adapters.ts";
import type { AnswerRules } from "./answer.ts";
import { markStranger } from "./body.ts";
import type { GatewayConfig } from "./config.ts";
import { registerConnect } from "./connect/connect.ts";
import { NodeHeaders } from "./context.ts";
import { registerCors } from "./cors.ts";
import { registerDocs } from "./openapi/docs.ts";
import { e2bAdapters } from "./adapters/e2b/adapter.ts";
import { registerGraphql } from "./graphql/graphql.ts";
import { startGrpc } from "./grpc/grpc.ts";
import { createHttp, type HttpSide, type Logger, registerNotFound } from "./http.ts";
import { judge0Adapter } from "./adapters/judge0/adapter.ts";
import { jupyterAdapter } from "./adapters/jupyter/adapter.ts";
import { registerMcp } from "./mcp/mcp.ts";
import { ownHostCheck, requiresKey } from "./own-host.ts";
import { pistonAdapter } from "./adapters/piston/adapter.ts";
import type { Interactive } from "./adapters/piston/interactive.ts";
import { PortFront } from "./ports/front.ts";
import { published } from "./published.ts";
import { registerRest } from "./rest.ts";
import { restRoutes } from "./routes.ts";
import { createSharedPort } from "./socket.ts";
import type { EventStream, StreamRules } from "./sse.ts";
import { type Health, type Metrics, registerStatus } from "./status.ts";
import { beforeUpgrades, endPeers, leavePeers, type SocketRules } from "./upgrade.ts";
import { registerWebsocket } from "./websocket/websocket.ts";

export { type GatewayConfig, gatewaySettings } from "./config.ts";
export type { Logger } from "./http.ts";
export { requiresKey } from "./own-host.ts";
export type { Health, Metrics } from "./status.ts";

// After its last event a stream still has to be written.
const lastWordsMs = 200;

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly dispatcher: Dispatcher;
  readonly config: GatewayConfig;
  /** Syla's version, as the API description tells it. */
  readonly version: string;
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: Metrics;
  /** For the surfaces whose clients bring a key; without it they are not there. */
  readonly key?: LocalKey | undefined;
}

/** A running gateway. */
export interface Gateway {
  /** For example `http://127.0.0.1:8080`. */
  readonly restUrl: string;
  /** Host and port of gRPC alone. */
  readonly grpcAddress: string;
  /** Takes no new connections and lets running requests end, `drainMs` long at most. */
  drain(): Promise<void>;
  /** Ends what is left. */
  close(): Promise<void>;
}

/** Starts the gateway: every surface of the published services. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { dispatcher, config, log } = options;
  const { host } = config;
  const answers: AnswerRules = { compressBytesMin: config.compressBytesMin, draining: false };
  const streams: StreamRules = { ...config, open: new Set<EventStream>() };
  const ports = createPorts(options, answers);
  const { fastify, server } = createHttp(config, answers, log, ports);
  if (ports !== undefined) {
    beforeUpgrades(server, (request, upgrade) => ports.takeUpgrade(request, upgrade));
  }
  const adapters = registerSurfaces({ fastify, server }, options, answers, streams);
  await fastify.ready();
  const grpc = await startGrpc(dispatcher, { host, port: config.grpcPort });
  const port = await createSharedPort({ http: server, grpc, host, port: config.restPort }).catch(
    (thrown: unknown) => {
      grpc.close();
      throw thrown;
    },
  );
  const stop = (graceMs: number) => {
    answers.draining = true;
    // Streams that can be resumed end at once: their clients find the next instance. Other calls get their time.
    for (const stream of streams.open) stream.reconnect();
    leavePeers(server);
    ports?.leave();
    const late = setTimeout(() => {
      endStreams(streams);
      endPeers(server);
    }, graceMs);
    return Promise.all([port.close(graceMs + lastWordsMs), grpc.drain(graceMs)]).finally(() =>
      clearTimeout(late),
    );
  };
  return {
    restUrl: `http://${host.includes(":") ? `[${host}]` : host}:${port.port}`,
    grpcAddress: grpc.address ?? "",
    drain: async () => void (await stop(config.drainMs)),
    close: async () => {
      await stop(0);
      for (const adapter of adapters) adapter.close?.();
      grpc.close();
      await fastify.close();
    },
  };
}

function registerSurfaces(
  { fastify, server }: HttpSide,
  { dispatcher, config, version, log, health, metrics, key }: GatewayOptions,
  answers: AnswerRules,
  streams: StreamRules,
): readonly Adapter[] {
  const { bodyBytesMax, corsOrigins: origins, heartbeatMs } = config;
  const routes = restRoutes(dispatcher);
  const sockets: SocketRules = { origins, frameBytesMax: bodyBytesMax, heartbeatMs };
  registerCors(fastify, origins);
  const mayReadMetrics = ({ headers }: IncomingMessage) =>
    !requiresKey(config) || (key !== undefined && bringsKey(key, new NodeHeaders(headers)));
  if (requiresKey(config)) {
    fastify.addHook("onRequest", ({ raw }, _reply, next) => {
      if (!mayReadMetrics(raw)) markStranger(raw);
      next();
    });
  }
  registerStatus(fastify, { health, metrics, mayReadMetrics }, answers);
  registerDocs(fastify, routes, version);
  const groups = registerRest(fastify, routes, { bodyBytesMax, answers, streams, log });
  registerConnect(fastify, dispatcher, { bodyBytesMax, answers, log });
  registerGraphql(fastify, server, dispatcher, { ...sockets, bodyBytesMax, answers, log });
  registerWebsocket(server, dispatcher, sockets);
  registerMcp(fastify, routes, { version, bodyBytesMax, origins, answers, streams, log });
  const adapters = offeredAdapters({ dispatcher, config, version, log, key });
  const deps = { bodyBytesMax, streamStallMs: config.streamStallMs, answers, sockets, log };
  registerAdapters({ fastify, server }, adapters, deps);
  registerNotFound(fastify, groups, answers);
  return adapters;
}

// Sandboxes may be another gateway's.
function createPorts(
  { dispatcher, config, key, log }: GatewayOptions,
  answers: AnswerRules,
): PortFront | undefined {
  if (!dispatcher.services.includes(TunnelService)) return undefined;
  const { portsDomain, portIdleMs, headerBytesMax } = config;
  return new PortFront({
    ...{ dispatcher, key, answers, log, domain: portsDomain.toLowerCase() },
    isOwnHost: ownHostCheck(config),
    ...{ idleMs: portIdleMs, headBytesMax: headerBytesMax },
  });
}

// Those whose methods are served here.
function offeredAdapters(
  options: Pick<GatewayOptions, "dispatcher" | "config" | "version" | "log" | "key">,
): readonly Adapter[] {
  const { dispatcher, config, version, log, key } = options;
  const offered = published(dispatcher);
  const adapters: Adapter[] = [];
  if (key !== undefined && offered.services.includes(SessionService)) {
    const sandboxes = createClient(SandboxService, offered);
    const processes = createClient(ProcessService, offered);
    const files = createClient(FileService, offered);
    const networks = createClient(NetworkService, offered);
    const ports = createClient(PortService, offered);
    const sessions = createClient(SessionService, offered);
    const snapshots = createClient(SnapshotService, offered);
    const templates = createClient(TemplateService, offered);
    const { portsDomain } = config;
    const kept = { sandboxes, processes, files, networks, ports, sessions, snapshots, templates };
    adapters.push(...e2bAdapters({ ...kept, portsDomain, key }));
    const isKeyRequired = requiresKey(config);
    adapters.push(jupyterAdapter({ sessions, sandboxes, key, isKeyRequired, version }));
  }
  if (offered.services.includes(ExecutionService)) {
    const executions = createClient(ExecutionService, offered);
    const callbacks = config.judge0Callbacks;
    adapters.push(
      pistonAdapter({ executions, interactive: interactiveOf(offered), limits: config }),
    );
    adapters.push(judge0Adapter({ executions, callbacks, version, log }));
  }
  return adapters;
}

// What an interactive job needs, where there are sandboxes to have it in.
function interactiveOf(offered: Dispatcher): Interactive | undefined {
  if (!offered.services.includes(SandboxService)) return undefined;
  return {
    sandboxes: createClient(SandboxService, offered),
    processes: createClient(ProcessService, offered),
    files: createClient(FileService, offered),
  };
}

function endStreams(streams: StreamRules): void {
  for (const { context } of streams.open) {
    context.abort(new SylaError("shutting_down", "The platform is stopping."));
  }
}
