// One cleartext port for HTTP/1.1 and gRPC. A connection's first bytes tell which it is: an HTTP/2 client without TLS
// opens with `PRI `, which is no HTTP/1.1 method. Node's http2 server would do this only under TLS (ALPN).
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";

const prefaceStart = Buffer.from("PRI ");
const firstBytesMsDefault = 10_000;
const connectionsMaxDefault = 10_000;
const idleCheckMs = 50;

/** What serves the connections of a shared port. */
export interface SharedPortOptions {
  /** Serves HTTP/1.1; it must not listen itself. */
  readonly http: HttpServer;
  /** Serves cleartext HTTP/2. */
  readonly grpc: { injectConnection(socket: Socket): void };
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** How long a connection may say nothing, in milliseconds; default 10 000. */
  readonly firstBytesMs?: number;
  /** Connections at one time; more are closed as they come. Default 10 000. */
  readonly connectionsMax?: number;
}

/** A port that is listened on. */
export interface SharedPort {
  readonly host: string;
  readonly port: number;
  /** Takes no new connections, waits for running requests and ends what is left after `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** Listens on one port for HTTP/1.1 and gRPC. */
export async function createSharedPort(options: SharedPortOptions): Promise<SharedPort> {
  const { http, host } = options;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A reset while nobody else listens would end the process.
    socket.on("error", () => socket.destroy());
    sortByFirstBytes(socket, options);
  });
  server.maxConnections = options.connectionsMax ?? connectionsMaxDefault;
  await listen(server, options);
  // Node arms its checks of slow headers and requests when the HTTP server itself begins to listen, which it never
  // does.
  http.emit("listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  return { host, port, close: (graceMs = 0) => close(server, http, sockets, graceMs) };
}

function listen(server: Server, { host, port }: SharedPortOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      // Later errors are those of accepting (too many open files): the connection is lost, the server is not.
      server.on("error", () => undefined);
      resolve();
    });
  });
}

function sortByFirstBytes(socket: Socket, options: SharedPortOptions): void {
  const timer = setTimeout(() => socket.destroy(), options.firstBytesMs ?? firstBytesMsDefault);
  socket.once("close", () => clearTimeout(timer));
  let head: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    head = head.byteLength === 0 ? chunk : Buffer.concat([head, chunk]);
    const seen = Math.min(head.byteLength, prefaceStart.byteLength);
    const isPreface = head.subarray(0, seen).equals(prefaceStart.subarray(0, seen));
    if (isPreface && seen < prefaceStart.byteLength) return;
    clearTimeout(timer);
    socket.off("data", onData);
    hand(socket, head, isPreface, options);
  };
  socket.on("data", onData);
}

function hand(socket: Socket, head: Buffer, isHttp2: boolean, options: SharedPortOptions): void {
  socket.pause();
  socket.unshift(head);
  if (isHttp2) {
    options.grpc.injectConnection(socket);
    return;
  }
  options.http.emit("connection", socket);
  socket.resume();
}

async function close(
  server: Server,
  http: HttpServer,
  sockets: ReadonlySet<Socket>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Answers that it is not listening; what counts is that it stops its checks.
  http.close(() => undefined);
  const idle = setInterval(() => http.closeIdleConnections(), idleCheckMs);
  http.closeIdleConnections();
  const rest = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
