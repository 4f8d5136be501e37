// Every setting of the platform as a whole. Names and defaults are those of the coordination service's design, but it
// listens on loopback unless told otherwise: what runs code is not open to a network by accident.
import { type ConfigOf, defineSettings } from "@syla/kit/config";
import { logLevels } from "@syla/kit/log";

export const platformSettings = defineSettings({
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
    description: "The port of gRPC alone. 0 takes a free one.",
  },
  corsOrigins: {
    key: "server.cors_origins",
    env: "CORS_ORIGINS",
    type: "list",
    default: [],
    description: "Origins whose pages may call from a browser, such as `https://app.example`.",
  },
  drainMs: {
    key: "server.drain",
    type: "duration",
    min: 0,
    max: 3_600_000,
    default: 10_000,
    description: "How long calls and programs may take to end when the platform stops.",
  },
  logLevel: {
    key: "log.level",
    env: "LOG_LEVEL",
    type: "enum",
    values: logLevels,
    default: "info",
    description: "How much is logged, as JSON lines on standard error.",
  },
  databaseUrl: {
    key: "database.url",
    env: "DATABASE_URL",
    type: "string",
    secret: true,
    description:
      "A PostgreSQL of your own; without it an embedded one is started in the data folder.",
  },
  dataDirectory: {
    key: "data.directory",
    env: "SYLA_DATA",
    type: "string",
    default: ".syla",
    description: "The folder that holds everything the platform keeps.",
  },
});

export type PlatformConfig = ConfigOf<typeof platformSettings>;
