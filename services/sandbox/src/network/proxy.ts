// The proxy of one sandbox: takes the connections that its processes make to a port of their loopback, finds out whom
// they are for, and joins those that may be made to their hosts. It is HTTP's (CONNECT, and `http://` requests) and
// SOCKS's at one port; what is in a tunnel is looked at as far as the rule that allows it is about a name.
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { Log } from "@syla/kit/log";
import type { CertificateAuthority } from "./certificate.ts";
import { openChannelStream } from "../jail/channel-stream.ts";
import type { Channel, ChannelListener } from "../jail/channels.ts";
import { decide, type Decision, type DialOptions, NetworkRefusal } from "./dial.ts";
import type { NetworkEvents } from "./events.ts";
import { normalName, type Target } from "./host.ts";
import { answerRaw, NetworkHttp, sentenceOf, statusOf } from "./http.ts";
import { NetworkLinks } from "./links.ts";
import { type Opening, peek } from "./peek.ts";
import type { Policy, Reason } from "./policy.ts";
import { readSocks, REPLY, reply } from "./socks.ts";
import { splice } from "./splice.ts";
import { Pace } from "./pace.ts";

/** What all proxies of a platform share. */
export interface ProxyLimits {
  readonly connectionsMax: number;
  /** Takes one of the connections that all sandboxes have together; answers how it is given back, or undefined. */
  readonly take: () => (() => void) | undefined;
}

export interface NetworkProxyOptions {
  readonly policy: () => Policy;
  readonly authority: () => CertificateAuthority | undefined;
  readonly events: NetworkEvents;
  readonly dialing: DialOptions;
  readonly limits: ProxyLimits;
  readonly log: Log;
  /** Further authorities that hosts may have their certificates of. */
  readonly authorities?: readonly string[];
}

/** How a tunnel's beginning is answered. */
interface Asker {
  readonly target: Target;
  ready(): void;
  refuse(error: NetworkRefusal): void;
}

interface Inside {
  /** When bytes went either way. */
  lastMs: number;
}

/** May be on their way from the jail, of each connection. */
const windowBytes = 65_536;
const openingMs = 15_000;
const nameToldCharsMax = 100;
const sweepMs = 5_000;
/** New connections of one sandbox: more than that would take the platform's time from others. */
const perSecondMax = 100;
const burstMax = 200;
const SOCKS_VERSION = 5;
const httpPort = 80;
const httpsPort = 443;

export class NetworkProxy {
  readonly links: NetworkLinks;
  readonly #options: NetworkProxyOptions;
  readonly #http: NetworkHttp;
  readonly #inside = new Map<Duplex, Inside>();
  readonly #pace = new Pace({ burst: burstMax, perSecond: perSecondMax });
  readonly #sweeping: NodeJS.Timeout;

  constructor(options: NetworkProxyOptions) {
    const { events, policy, dialing, authorities, log } = options;
    this.#options = options;
    this.links = new NetworkLinks({ events, policy, dialing });
    this.#http = new NetworkHttp({
      decide: (target) => this.#decide(target),
      connect: (decision, end) => this.links.connect(decision, end),
      refused: (target, error) => this.#tell(target, error),
      tunnel: (stream, target, head) => this.#httpTunnel(stream, target, head),
      ...(authorities === undefined ? {} : { authorities }),
      log,
    });
    this.#sweeping = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  /** Takes a connection from inside. */
  accept(channel: Channel): ChannelListener {
    const { limits, events } = this.#options;
    const give = this.#inside.size < limits.connectionsMax ? limits.take() : undefined;
    if (give === undefined) {
      events.refused({ host: "", port: 0 }, "too_many", "too many connections are open");
      channel.close();
      return { output: () => {} };
    }
    const inside: Inside = { lastMs: performance.now() };
    const { stream, listener } = openChannelStream(channel, windowBytes, () => {
      inside.lastMs = performance.now();
    });
    this.#inside.set(stream, inside);
    void channel.released.then(() => {
      this.#inside.delete(stream);
      give();
    });
    this.#serve(stream).catch((error: unknown) => {
      stream.destroy();
      this.#options.log.error({ error }, "a connection of a sandbox could not be served");
    });
    return listener;
  }

  close(): void {
    clearInterval(this.#sweeping);
    this.links.end();
    for (const stream of this.#inside.keys()) stream.destroy();
  }

  async #serve(stream: Duplex): Promise<void> {
    const waitMs = this.#pace.next(performance.now());
    if (waitMs > 0) await sleep(waitMs);
    const first = await firstByte(stream);
    if (first === undefined) return void stream.destroy();
    if (first !== SOCKS_VERSION)
      return this.#http.take(stream, { target: undefined, secure: false });
    const target = await readSocks(stream);
    if (target === undefined) {
      return this.#tell(
        undefined,
        new NetworkRefusal("refused", "bad_request", "SOCKS for no host"),
      );
    }
    await this.#tunnel(stream, {
      target,
      ready: () => void stream.write(Buffer.from(reply(REPLY.done))),
      refuse: ({ kind }) => {
        const code = kind === "refused" ? REPLY.refused : REPLY.unreachable;
        stream.end(Buffer.from(reply(code)));
        stream.resume();
      },
    });
  }

  #httpTunnel(stream: Duplex, target: Target, head: Buffer): Promise<void> {
    if (head.length > 0) stream.unshift(head);
    return this.#tunnel(stream, {
      target,
      ready: () => void stream.write("HTTP/1.1 200 Connection Established\r\n\r\n"),
      refuse: (error) =>
        answerRaw(stream, statusOf(error), error.reason, sentenceOf(target, error)),
    });
  }

  async #tunnel(stream: Duplex, asker: Asker): Promise<void> {
    let begun = false;
    const begin = () => {
      begun = true;
      asker.ready();
    };
    try {
      const decision = await this.#decide(asker.target);
      await this.#join(stream, decision, begin);
    } catch (error) {
      if (!(error instanceof NetworkRefusal)) {
        stream.destroy();
        throw error;
      }
      this.#tell(asker.target, error);
      if (begun) stream.destroy();
      else asker.refuse(error);
    }
  }

  async #join(stream: Duplex, decision: Decision, ready: () => void): Promise<void> {
    const { target, policy, checksNames } = decision;
    const end = () => stream.destroy();
    const sees = policy.injected(target).length > 0;
    if (!checksNames && !sees) {
      const socket = await this.links.connect(decision, end);
      ready();
      return splice(stream, socket);
    }
    const release = this.links.hold(decision, end);
    stream.once("close", release);
    // Where hosts speak first, what they say is passed on before their clients are known.
    const early = !sees && target.port !== httpPort && target.port !== httpsPort;
    const socket = early ? await this.links.connect(decision, end) : undefined;
    stream.once("close", () => socket?.destroy());
    ready();
    const opening = await openingOf(stream, socket);
    if (opening.kind === "ended") {
      socket?.destroy();
      return void stream.destroy();
    }
    await this.#takeOpening(stream, { decision, opening, socket, sees });
  }

  async #takeOpening(stream: Duplex, { decision, opening, socket, sees }: Opened): Promise<void> {
    const { target } = decision;
    if (opening.kind === "tls" && sees) {
      socket?.destroy();
      return this.#terminate(stream, target);
    }
    this.#assertOpening(decision, opening);
    if (opening.kind === "http") {
      socket?.destroy();
      return this.#http.take(stream, { target, secure: false });
    }
    const joined = socket ?? (await this.links.connect(decision, () => stream.destroy()));
    return splice(stream, joined);
  }

  /** What is said inside has to fit what was allowed. */
  #assertOpening({ target, policy, checksNames }: Decision, opening: Opening): void {
    if (opening.kind === "tls") {
      const { serverName, encrypted } = opening;
      const name = serverName === undefined ? undefined : normalName(serverName);
      if (encrypted) throw refused("ech", "TLS hides the name of its host");
      if (serverName === undefined) throw refused("sni_missing", "TLS names no host");
      if (name === undefined || !policy.allowsInside(target, name)) {
        const told = JSON.stringify(serverName.slice(0, nameToldCharsMax));
        throw refused("sni_mismatch", `TLS names another host: ${told}`);
      }
    } else if (target.port === httpsPort && checksNames) {
      throw refused("not_tls", "it is not TLS");
    } else if (target.port === httpPort && checksNames && opening.kind !== "http") {
      throw refused("not_http", "it is neither HTTP nor TLS");
    } else if (opening.kind === "unclear") {
      throw refused("bad_request", "it cannot be told what it is");
    }
  }

  #terminate(stream: Duplex, target: Target): void {
    const authority = this.#options.authority();
    if (authority === undefined)
      throw refused("policy_changed", "the policy has changed meanwhile");
    const secure = new TLSSocket(stream, {
      isServer: true,
      secureContext: authority.contextOf(target.host),
      ALPNProtocols: ["http/1.1"],
    });
    secure.on("error", () => stream.destroy());
    stream.once("close", () => secure.destroy());
    this.#http.take(secure, { target, secure: true });
  }

  #decide(target: Target): Promise<Decision> {
    return decide(this.#options.policy(), target, this.#options.dialing);
  }

  #tell(target: Target | undefined, { kind, reason, message }: NetworkRefusal): void {
    const facts = { host: target?.host ?? "", port: target?.port ?? 0 };
    this.#options.events[kind](facts, reason, message);
  }

  #sweep(): void {
    const beforeMs = performance.now() - this.#options.dialing.idleMs;
    for (const [stream, { lastMs }] of this.#inside) if (lastMs < beforeMs) stream.destroy();
  }
}

interface Opened {
  readonly decision: Decision;
  readonly opening: Opening;
  readonly socket: Awaited<ReturnType<NetworkLinks["connect"]>> | undefined;
  readonly sees: boolean;
}

/** What a client begins with. A host that speaks first speaks neither HTTP nor TLS. */
async function openingOf(stream: Duplex, socket: Duplex | undefined): Promise<Opening> {
  if (socket === undefined) return peek(stream, AbortSignal.timeout(openingMs));
  const spoke = new AbortController();
  const onData = () => spoke.abort();
  socket.once("data", onData).pipe(stream);
  const opening = await peek(stream, spoke.signal);
  socket.off("data", onData).unpipe(stream);
  return spoke.signal.aborted ? { kind: "other" } : opening;
}

function refused(reason: Reason, message: string): NetworkRefusal {
  return new NetworkRefusal("refused", reason, message);
}

/** Looks at it and leaves it there. */
async function firstByte(stream: Duplex): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const settle = (byte: number | undefined) => {
    clearTimeout(timer);
    stream.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
    resolve(byte);
  };
  const onEnd = () => settle(undefined);
  const timer = setTimeout(onEnd, openingMs);
  const onReadable = () => {
    const part: unknown = stream.read();
    if (!Buffer.isBuffer(part)) return;
    stream.unshift(part);
    settle(part[0]);
  };
  stream.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
  return promise;
}
