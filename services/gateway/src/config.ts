// Every setting of the gateway, with its default, its unit and its reason. It listens on loopback unless told
// otherwise: what runs code is not open to a network by accident.
import { type ConfigOf, defineSettings } from "@syla/kit/config";

export const gatewaySettings = defineSettings({
  host: {
    key: "server.host",
    env: "SERVER_HOST",
    type: "string",
    default: "127.0.0.1",
    description: "The address to listen on.",
  },
  restPort: {
    key: "server.rest_port",
    env: "REST_PORT",
    type: "int",
    min: 0,
    max: 65_535,
    default: 8080,
    description: "The port of every surface: REST, GraphQL, WebSocket, gRPC. 0 takes a free one.",
  },
  grpcPort: {
    key: "server.grpc_port",
    env: "GRPC_PORT",
    type: "int",
    min: 0,
    max: 65_535,
    default: 9090,
    description: "The port of gRPC alone, for clients that expect one. 0 takes a free one.",
  },
  corsOrigins: {
    key: "server.cors_origins",
    env: "CORS_ORIGINS",
    type: "list",
    default: [],
    description:
      "Origins whose pages may call from a browser, such as `https://app.example`; `*` is any.",
  },
  hostNames: {
    key: "server.host_names",
    env: "HOST_NAMES",
    type: "list",
    default: [],
    description:
      "Names to answer to, beside addresses and `localhost`, while it listens on loopback: those of a proxy in front. Any other is refused, because a page of the web could point its name here.",
  },
  requireKey: {
    key: "server.require_key",
    type: "bool",
    default: false,
    description:
      "Whether calls need the API key also while it listens on loopback. Beyond loopback they always do.",
  },
  portsDomain: {
    key: "server.ports_domain",
    type: "string",
    default: "localhost",
    description:
      "The domain below which each port of a sandbox is an origin of its own, as `8000-<sandbox>.<domain>`. Browsers take all of `localhost` for their own machine; another needs a wildcard in the DNS, and no page of yours under it.",
  },
  portIdleMs: {
    key: "gateway.port_idle",
    type: "duration",
    min: 1000,
    max: 86_400_000,
    default: 600_000,
    description: "How long a connection to a port of a sandbox may carry nothing.",
  },
  drainMs: {
    key: "server.drain",
    type: "duration",
    min: 0,
    max: 3_600_000,
    default: 10_000,
    description: "How long calls and programs may take to end when the platform stops.",
  },
  bodyBytesMax: {
    key: "gateway.body_max",
    type: "bytes",
    min: 1024,
    max: 256 * 1024 ** 2,
    default: 4 * 1024 ** 2,
    description:
      "The largest request body, packed and unpacked, and the largest frame of a WebSocket.",
  },
  headerBytesMax: {
    key: "gateway.head_max",
    type: "bytes",
    min: 1024,
    max: 1024 ** 2,
    default: 16 * 1024,
    description: "The largest head of a request.",
  },
  headersTimeoutMs: {
    key: "gateway.head_timeout",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 10_000,
    description:
      "How long a request's head may take, so that a slow client holds a connection no longer.",
  },
  requestTimeoutMs: {
    key: "gateway.request_timeout",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 60_000,
    description:
      "How long a whole request may take to arrive, its head included: a shorter time than `gateway.head_timeout` holds for both.",
  },
  keepAliveTimeoutMs: {
    key: "gateway.keep_alive",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 65_000,
    description:
      "How long an idle connection is kept; longer than the 60 s that are usual for proxies.",
  },
  timeoutCheckMs: {
    key: "gateway.timeout_check",
    type: "duration",
    min: 10,
    max: 60_000,
    default: 1000,
    description: "How often late requests are looked for.",
  },
  compressBytesMin: {
    key: "gateway.compress_min",
    type: "bytes",
    min: 0,
    default: 1024,
    description: "Answers from this size on are compressed; smaller ones would hardly shrink.",
  },
  heartbeatMs: {
    key: "gateway.heartbeat",
    type: "duration",
    min: 10,
    max: 3_600_000,
    default: 12_000,
    description:
      "How often a silent stream says that it lives, so that proxies keep its connection.",
  },
  streamOpenMs: {
    key: "gateway.stream_open",
    type: "duration",
    min: 1,
    max: 60_000,
    default: 500,
    description: "How long an event stream waits for its first event before it sends its head.",
  },
  streamLifeMs: {
    key: "gateway.stream_life",
    type: "duration",
    min: 1000,
    max: 7 * 86_400_000,
    default: 3_600_000,
    description: "How long an event stream that can be resumed lives; its client then comes back.",
  },
  streamStallMs: {
    key: "gateway.stream_stall",
    type: "duration",
    min: 10,
    max: 3_600_000,
    default: 60_000,
    description:
      "For how long a client may take nothing from a full event stream before it counts as gone.",
  },
  pistonCompileMs: {
    key: "gateway.piston_compile_timeout",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 10_000,
    description:
      "How long a compiler may take for a client of Piston, by the clock and of processor time: the default, and the most it may ask for.",
  },
  pistonRunMs: {
    key: "gateway.piston_run_timeout",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 3000,
    description:
      "How long a program may take for a client of Piston, by the clock and of processor time: the default, and the most it may ask for.",
  },
  pistonOutputBytes: {
    key: "gateway.piston_output",
    type: "bytes",
    min: 1,
    max: 1024 ** 3,
    default: 1024 ** 2,
    description:
      "Output on each of the two streams of a stage for a client of Piston's WebSocket; a program that writes more is ended.",
  },
  judge0Callbacks: {
    key: "gateway.judge0_callbacks",
    type: "enum",
    values: ["off", "public", "private"],
    default: "off",
    description:
      "Where a client of Judge0 may have results sent: nowhere, to addresses of the internet, or also to private networks and this host. Whoever can submit makes the platform send requests there.",
  },
});

export type GatewayConfig = ConfigOf<typeof gatewaySettings>;
