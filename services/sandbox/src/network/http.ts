// Requests of HTTP, each looked at by itself: whom it asks for, what is put into it, and where it goes. Read by Node's
// strict parser and written anew, so that nothing is passed on that two readers could take for different things.
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import { type Duplex, pipeline } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import type { Log } from "@syla/kit/log";
import { type Decision, NetworkRefusal } from "./dial.ts";
import { describeTarget, parseTarget, type Target } from "./host.ts";
import { splice } from "./splice.ts";
import type { Reason } from "./policy.ts";

/** What the connection that a request comes on is. */
export interface HttpSide {
  /** Whom all of its requests are for; undefined on a proxy's, where each says so. */
  readonly target: Target | undefined;
  /** The sandbox's TLS has ended here, and the host's own is to begin. */
  readonly secure: boolean;
}

export interface NetworkHttpOptions {
  /** Throws NetworkRefusal. */
  readonly decide: (target: Target) => Promise<Decision>;
  readonly connect: (decision: Decision, end: () => void) => Promise<Duplex>;
  /** Tells of a refusal. */
  readonly refused: (target: Target | undefined, error: NetworkRefusal) => void;
  /** A tunnel is asked for, on a proxy's connection. */
  readonly tunnel: (stream: Duplex, target: Target, head: Buffer) => Promise<void>;
  readonly log: Log;
  /** Further authorities that hosts may have their certificates of. */
  readonly authorities?: readonly string[];
}

const headBytesMax = 32_768;
/** How many requests may be on their way on one connection; apt sends ten. */
const aheadMax = 16;
/** What is of one connection and not of the request (RFC 9110, section 7.6.1). */
const hopByHop = new Set([
  ...["connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding"],
  ...["upgrade", "proxy-authorization", "proxy-authenticate", "expect", "host"],
]);
const bodiless = new Set(["GET", "HEAD", "DELETE", "OPTIONS"]);

export class NetworkHttp {
  readonly #options: NetworkHttpOptions;
  readonly #server: Server;
  readonly #sides = new WeakMap<Duplex, HttpSide>();
  readonly #turns = new WeakMap<Duplex, Turns>();

  constructor(options: NetworkHttpOptions) {
    this.#options = options;
    this.#server = createServer({
      maxHeaderSize: headBytesMax,
      insecureHTTPParser: false,
      requireHostHeader: true,
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
    });
    this.#server.on("request", (request, response) => this.#inTurn(request, response));
    this.#server.on("connect", (request, stream, head) => this.#onConnect(request, stream, head));
    this.#server.on(
      "upgrade",
      (request, stream, head) => void this.#upgrade(request, stream, head),
    );
    this.#server.on("clientError", (_error, stream) => {
      options.refused(this.#sides.get(stream)?.target, badRequest("the request cannot be read"));
      answerRaw(stream, 400, "bad_request", "The request cannot be read.");
    });
  }

  /** Serves the requests that come on a stream. */
  take(stream: Duplex, side: HttpSide): void {
    this.#sides.set(stream, side);
    this.#server.emit("connection", stream);
  }

  #onConnect({ url = "", socket }: IncomingMessage, stream: Duplex, head: Buffer): void {
    const side = this.#sides.get(socket);
    const target = parseTarget(url);
    if (side === undefined || side.target !== undefined || target === undefined) {
      this.#options.refused(side?.target, badRequest("a tunnel to no host and port"));
      return answerRaw(stream, 400, "bad_request", "CONNECT takes a host and a port.");
    }
    this.#options.tunnel(stream, target, head).catch((error: unknown) => {
      stream.destroy();
      this.#options.log.error({ error }, "a tunnel of a sandbox could not be served");
    });
  }

  /** Of what is sent ahead, one is served after the other: each may take a connection to a host. */
  #inTurn(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const turns = this.#turns.get(socket) ?? { waiting: 0, last: Promise.resolve() };
    this.#turns.set(socket, turns);
    if ((turns.waiting += 1) > aheadMax) return void socket.destroy();
    const before = turns.last;
    const over = new Promise<void>((resolve) => void response.once("close", resolve));
    turns.last = over;
    const serve = async () => {
      await before;
      if (socket.destroyed) return;
      await this.#serve(request, response);
      await over;
      turns.waiting -= 1;
    };
    void serve();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    request.on("error", () => {});
    const asked = this.#asked(request);
    try {
      if (asked instanceof NetworkRefusal) throw asked;
      await this.#forward(request, response, asked);
    } catch (error) {
      const told = asRefusal(error);
      // Who asked has gone, or was ended by a change of the policy, which is told of already.
      if (told.kind === "failed" && response.destroyed) return;
      this.#options.refused(asked.target, told);
      answer(response, asked.target, told);
    }
  }

  /** Whom a request is for, when it says one thing only. */
  #asked(request: IncomingMessage): Asked | (NetworkRefusal & { readonly target?: Target }) {
    const side = this.#sides.get(request.socket);
    if (side === undefined) return badRequest("of an unknown connection");
    const { url = "", method = "", headersDistinct } = request;
    const { target: fixed, secure } = side;
    const [, authority, rest = ""] = /^http:\/\/([^/?#]*)([/?].*)?$/i.exec(url) ?? [];
    if (method === "TRACE" || method === "CONNECT") {
      return Object.assign(badRequest(`${method} is not passed on`), withTarget(fixed));
    }
    const named = authority === undefined ? fixed : parseTarget(authority, 80);
    if (named === undefined || (authority === undefined && !/^[/*]/.test(url))) {
      return Object.assign(badRequest("it names no host as http://HOST/"), withTarget(fixed));
    }
    const hosts = headersDistinct["host"] ?? [];
    const host = parseTarget(hosts[0] ?? "", secure ? 443 : 80);
    const same = (other: Target | undefined, port: number) =>
      other?.host === named.host && other.port === port;
    // Inside a tunnel some leave the port out, whatever it is.
    const hasPort = /:\d+$/.test((hosts[0] ?? "").replace(/^\[[^\]]*\]/, ""));
    const fits = same(host, hasPort ? named.port : (host?.port ?? 0));
    if (hosts.length !== 1 || !fits || (fixed !== undefined && !same(fixed, named.port))) {
      const message = "the request's Host is another than its target";
      return Object.assign(new NetworkRefusal("refused", "host_mismatch", message), {
        target: named,
      });
    }
    const path = authority === undefined ? url : rest.startsWith("/") ? rest : `/${rest}`;
    return { target: named, secure, path };
  }

  async #forward(request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<void> {
    const { method = "GET", headers } = request;
    const encoding = headers["transfer-encoding"];
    if (encoding !== undefined && encoding.toLowerCase() !== "chunked") {
      throw badRequest("a transfer encoding other than chunked");
    }
    const sent = await this.#open(
      asked,
      method,
      () => response.destroy(),
      (decision) => [
        ...this.#headers(request, asked, decision),
        ...bodyHeaders(method, headers),
        ...["Connection", "close"],
      ],
    );
    response.once("close", () => sent.destroy());
    sent.on("upgrade", (_, socket) => socket.destroy());
    const received = answerOf(sent);
    if (encoding === undefined && headers["content-length"] === undefined) sent.end();
    else pipeline(request, sent, () => {});
    const answered = await received;
    response.sendDate = false;
    const { statusCode = 502, statusMessage = "" } = answered;
    response.writeHead(statusCode, statusMessage, passed(answered));
    pipeline(answered, response, (error) => {
      if (error !== null && error !== undefined) response.destroy();
    });
  }

  /** A WebSocket: once the host agrees, its bytes are nobody's business. */
  async #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    stream.on("error", () => {});
    const asked = this.#asked(request);
    try {
      if (asked instanceof NetworkRefusal) throw asked;
      const end = () => stream.destroy();
      const sent = await this.#open(asked, "GET", end, (decision) => [
        ...this.#headers(request, asked, decision),
        ...["Connection", "Upgrade", "Upgrade", "websocket"],
      ]);
      stream.once("close", () => sent.destroy());
      sent.end();
      const agreed = await upgradeOf(sent);
      stream.write(rawHead(agreed.answer, ["Connection", "Upgrade", "Upgrade", "websocket"]));
      if (agreed.head.length > 0) stream.write(agreed.head);
      if (head.length > 0) agreed.socket.write(head);
      await splice(stream, agreed.socket);
    } catch (error) {
      const told = asRefusal(error);
      this.#options.refused(asked.target, told);
      answerRaw(stream, statusOf(told), told.reason, sentenceOf(asked.target, told));
    }
  }

  async #open(
    { target, secure, path }: Asked,
    method: string,
    end: () => void,
    headersOf: (decision: Decision) => readonly string[],
  ): Promise<ClientRequest> {
    const decision = await this.#options.decide(target);
    const headers = headersOf(decision);
    const plain = await this.#options.connect(decision, end);
    const socket = secure ? await this.#secured(plain, target) : plain;
    try {
      const sent = httpRequest({
        ...{ method, path, headers, setHost: false, insecureHTTPParser: false },
        maxHeaderSize: headBytesMax,
        createConnection: () => socket,
      });
      sent.on("error", () => {});
      return sent;
    } catch (error) {
      plain.destroy();
      throw error;
    }
  }

  /** TLS to the host, which has to prove that it is the host. */
  #secured(plain: Duplex, { host }: Target): Promise<Duplex> {
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const { authorities } = this.#options;
    const socket = tlsConnect({
      ...{ socket: plain, servername: host, rejectUnauthorized: true },
      ALPNProtocols: ["http/1.1"],
      ...(authorities === undefined ? {} : { ca: [...authorities] }),
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code ?? "TLS";
      plain.destroy();
      reject(new NetworkRefusal("failed", "certificate", `TLS to the host failed: ${why}`));
    });
    socket.on("error", () => {});
    return promise;
  }

  #headers(request: IncomingMessage, { target, secure }: Asked, { policy }: Decision): string[] {
    const injected = policy.injected(target).filter(({ plainHttp }) => secure || plainHttp);
    const replaced = new Set(injected.map(({ header }) => header.toLowerCase()));
    const kept = passed(request).flatMap((text, n, all) => {
      const name = n % 2 === 0 ? text : (all[n - 1] ?? "");
      return replaced.has(name.toLowerCase()) || name.toLowerCase() === "content-length"
        ? []
        : [text];
    });
    const host = describeTarget(target).replace(secure ? /:443$/ : /:80$/, "");
    return ["Host", host, ...kept, ...injected.flatMap(({ header, value }) => [header, value])];
  }
}

interface Turns {
  /** Requests that are not answered. */
  waiting: number;
  /** Resolves when the last of them is. */
  last: Promise<void>;
}

interface Asked {
  readonly target: Target;
  readonly secure: boolean;
  readonly path: string;
}

function withTarget(target: Target | undefined): { target?: Target } {
  return target === undefined ? {} : { target };
}

/** The headers of a message that go on, as they were written. */
function passed({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = (headers.connection ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
  const dropped = new Set([...hopByHop, ...named.filter((name) => name !== "content-length")]);
  return rawHeaders.filter((_, n) => {
    const name = rawHeaders[n - (n % 2)] ?? "";
    return !dropped.has(name.toLowerCase());
  });
}

/** How long the body is, said anew; a request whose end nobody knows would run into the next. */
function bodyHeaders(method: string, headers: IncomingMessage["headers"]): readonly string[] {
  if (headers["transfer-encoding"] !== undefined) return ["Transfer-Encoding", "chunked"];
  const length = headers["content-length"];
  if (length !== undefined) return ["Content-Length", length];
  return bodiless.has(method) ? [] : ["Content-Length", "0"];
}

function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  sent.once("response", resolve);
  sent.once("error", () => reject(broken()));
  sent.once("close", () => reject(broken()));
  return promise;
}

interface Upgraded {
  readonly answer: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

function upgradeOf(sent: ClientRequest): Promise<Upgraded> {
  const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
  sent.once("upgrade", (response, socket, head) => resolve({ answer: response, socket, head }));
  sent.once("response", (response) => {
    response.destroy();
    reject(new NetworkRefusal("failed", "unreachable", "the host does not change to WebSocket"));
  });
  sent.once("error", () => reject(broken()));
  sent.once("close", () => reject(broken()));
  return promise;
}

function broken(): NetworkRefusal {
  return new NetworkRefusal("failed", "unreachable", "the host broke the connection off");
}

function badRequest(message: string): NetworkRefusal & { readonly target?: Target } {
  return new NetworkRefusal("refused", "bad_request", message);
}

/** What cannot be passed on for another reason is a request of no form. */
function asRefusal(error: unknown): NetworkRefusal {
  return error instanceof NetworkRefusal ? error : badRequest("the request cannot be passed on");
}

/** 403 where a rule decides, 502 where the network does. */
export function statusOf({ kind, reason }: { kind: string; reason: Reason }): number {
  if (reason === "bad_request") return 400;
  return kind === "refused" ? 403 : 502;
}

/** What a program is told. */
export function sentenceOf(target: Target | undefined, { kind, message }: NetworkRefusal): string {
  const what = target === undefined ? "The connection" : describeTarget(target);
  return kind === "refused"
    ? `${what} is refused by the sandbox's network policy: ${message}.`
    : `${what} cannot be reached: ${message}.`;
}

function answer(response: ServerResponse, target: Target | undefined, error: NetworkRefusal): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  response.writeHead(statusOf(error), {
    "Content-Type": "text/plain; charset=utf-8",
    "Syla-Network": error.reason,
    Connection: "close",
  });
  response.end(`${sentenceOf(target, error)}\n`);
}

/** Answers where no response is at hand, and closes. */
export function answerRaw(stream: Duplex, status: number, reason: Reason, sentence: string): void {
  const words: Readonly<Record<number, string>> = { 400: "Bad Request", 403: "Forbidden" };
  const body = `${sentence}\n`;
  if (stream.destroyed || !stream.writable) return void stream.destroy();
  stream.end(
    [
      `HTTP/1.1 ${status} ${words[status] ?? "Bad Gateway"}`,
      "Content-Type: text/plain; charset=utf-8",
      `Content-Length: ${Buffer.byteLength(body)}`,
      `Syla-Network: ${reason}`,
      "Connection: close",
      "",
      body,
    ].join("\r\n"),
  );
  // Nothing more is read of it, so that its end is not waited for.
  stream.resume();
}

function rawHead(message: IncomingMessage, more: readonly string[]): string {
  const pairs = [...passed(message), ...more];
  const lines = pairs.flatMap((name, n) => (n % 2 === 0 ? [`${name}: ${pairs[n + 1]}`] : []));
  return [`HTTP/1.1 101 Switching Protocols`, ...lines, "", ""].join("\r\n");
}
