// The gateway's composition root: every surface of the contract on one port, and gRPC also alone.
import type { Dispatcher } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import type { GrpcServer } from "@syla/kit/grpc-server";
import type { AnswerRules } from "./answer.ts";
import type { GatewayConfig } from "./config.ts";
import { registerCors } from "./cors.ts";
import { startGrpc } from "./grpc.ts";
import { createHttp, type Logger, registerNotFound } from "./http.ts";
import { type Health, type Metrics, registerStatus } from "./status.ts";
import { registerRest } from "./rest.ts";
import { restRoutes } from "./routes.ts";
import { createSharedPort, type SharedPort } from "./socket.ts";
import type { EventStream, StreamRules } from "./sse.ts";

export { type GatewayConfig, gatewayDefaults } from "./config.ts";
export type { Logger } from "./http.ts";
export type { Health, Metrics } from "./status.ts";

// After its last event a stream still has to be written.
const lastWordsMs = 200;

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly dispatcher: Dispatcher;
  readonly config: GatewayConfig;
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: Metrics;
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
  const answers: AnswerRules = { compressBytesMin: config.compressBytesMin, draining: false };
  const streams: StreamRules = { ...config, open: new Set<EventStream>() };
  const { fastify, server } = createHttp(config, answers, log);
  const routes = restRoutes(dispatcher);
  registerCors(fastify, config.corsOrigins);
  registerStatus(fastify, options, answers);
  const groups = registerRest(fastify, routes, { ...config, answers, streams, log });
  registerNotFound(fastify, groups, answers);
  await fastify.ready();
  const { host } = config;
  const grpc = await startGrpc(dispatcher, { host, port: config.grpcPort });
  const port = await createSharedPort({ http: server, grpc, host, port: config.restPort }).catch(
    (thrown: unknown) => {
      grpc.close();
      throw thrown;
    },
  );
  const stop = stopper(port, grpc, streams, config.drainMs);
  return {
    restUrl: `http://${host.includes(":") ? `[${host}]` : host}:${port.port}`,
    grpcAddress: grpc.address ?? "",
    drain: () => {
      answers.draining = true;
      return stop(config.drainMs);
    },
    close: async () => {
      answers.draining = true;
      await stop(0);
      grpc.close();
      await fastify.close();
    },
  };
}

// Streams that can be resumed end at once: their clients find the next instance. Other calls get their time. Stopping
// again, with less patience, hurries the first.
function stopper(port: SharedPort, grpc: GrpcServer, streams: StreamRules, drainMs: number) {
  let stopped: Promise<void> | undefined;
  return (graceMs: number): Promise<void> => {
    for (const stream of streams.open) stream.reconnect();
    const late = setTimeout(() => endStreams(streams), graceMs);
    stopped ??= Promise.all([port.close(drainMs + lastWordsMs), grpc.drain(drainMs)]).then(
      () => undefined,
    );
    return stopped.finally(() => clearTimeout(late));
  };
}

function endStreams(streams: StreamRules): void {
  for (const { context } of streams.open) {
    context.abort(new SylaError("shutting_down", "The platform is stopping."));
  }
}
