// Every setting of the gateway, with its default, its unit and its reason.

export interface GatewayConfig {
  /** The address to listen on. Loopback by default: what runs code is not open to a network by accident. */
  readonly host: string;
  /** The port of every surface, gRPC among them. 0: any free port. */
  readonly restPort: number;
  /** The port of gRPC alone, for clients that expect one. 0: any free port. */
  readonly grpcPort: number;
  /** Origins whose pages may call from a browser, for example `https://app.example`; `*` is any. None by default. */
  readonly corsOrigins: readonly string[];
  /** The largest request body, packed and unpacked, in bytes. */
  readonly bodyBytesMax: number;
  /** The largest request head, in bytes. */
  readonly headerBytesMax: number;
  /** How long a request's head may take, in milliseconds: a slow client holds a connection no longer. */
  readonly headersTimeoutMs: number;
  /** How long a whole request may take to arrive, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection is kept, in milliseconds; longer than the usual proxy's 60 s. */
  readonly keepAliveTimeoutMs: number;
  /** How often late requests are looked for, in milliseconds. */
  readonly timeoutCheckMs: number;
  /** Answers from this size on are compressed, in bytes; smaller ones would hardly shrink. */
  readonly compressBytesMin: number;
  /** A silent event stream says a comment this often, in milliseconds, so that proxies keep it. */
  readonly heartbeatMs: number;
  /** How long an event stream waits for its first event before it sends its head, in milliseconds. */
  readonly streamOpenMs: number;
  /** How long an event stream that can be resumed lives, in milliseconds; its client then comes back. */
  readonly streamLifeMs: number;
  /** A client that takes nothing from a full event stream for this long, in milliseconds, is gone. */
  readonly streamStallMs: number;
  /** How long running requests may take to end when the gateway stops, in milliseconds. */
  readonly drainMs: number;
  /** Syla's version, as the API description tells it. */
  readonly version: string;
}

/** The defaults. */
export const gatewayDefaults: GatewayConfig = {
  host: "127.0.0.1",
  restPort: 8080,
  grpcPort: 9090,
  corsOrigins: [],
  bodyBytesMax: 4 * 1024 * 1024,
  headerBytesMax: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 65_000,
  timeoutCheckMs: 1000,
  compressBytesMin: 1024,
  heartbeatMs: 12_000,
  streamOpenMs: 500,
  streamLifeMs: 3_600_000,
  streamStallMs: 60_000,
  drainMs: 10_000,
  version: "0.1.0",
};
