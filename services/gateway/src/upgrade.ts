// WebSocket handshakes of all surfaces meet here: one listener on the HTTP server, which finds who serves the path,
// checks the page's origin and refuses the rest with a problem. A browser sends no CORS preflight for a WebSocket, so
// without this check any page on the web could talk to a Syla on its reader's own machine.
import type { IncomingMessage, Server } from "node:http";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { CallContext } from "@syla/kit/call";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { Handshake, Peer } from "./peer.ts";
import { problemAnswer } from "./problem.ts";

/** What every WebSocket of the gateway is bound by. */
export interface SocketRules {
  /** Origins whose pages may connect; `*` is any. Programs, which send none, always may. */
  readonly origins: readonly string[];
  /** The largest frame a client may send, in bytes. */
  readonly frameBytesMax: number;
  /** How often a peer is asked for a sign of life, in milliseconds; one that gives none until the next time is gone. */
  readonly heartbeatMs: number;
}

/** Takes a handshake, or throws why not. */
export type TakeUpgrade = (handshake: Handshake) => void;

/** Answers who takes the handshake at a path, if anyone. */
export type FindUpgrade = (path: string) => TakeUpgrade | undefined;

/** Takes a handshake that is not for a path of ours; answers whether it did. */
export type TakeFirst = (
  request: IncomingMessage,
  upgrade: { readonly socket: Duplex; readonly head: Buffer },
) => boolean;

interface Upgrades {
  readonly finders: FindUpgrade[];
  readonly peers: Set<Peer>;
  /** The server stops. */
  leaving: boolean;
}

const upgrades = new WeakMap<Server, Upgrades>();
const first = new WeakMap<Server, TakeFirst>();

/** Who is asked before every surface, and before the page's origin is looked at. */
export function beforeUpgrades(http: Server, takeFirst: TakeFirst): void {
  first.set(http, takeFirst);
}

/** Adds a surface to those that take handshakes. */
export function onUpgrade(http: Server, rules: SocketRules, find: FindUpgrade): void {
  const known = upgrades.get(http);
  if (known !== undefined) return void known.finders.push(find);
  const added: Upgrades = { finders: [find], peers: new Set(), leaving: false };
  upgrades.set(http, added);
  // `Upgrade: h2c`, as curl --http2 sends it, is an offer that may be passed over: the request is then an ordinary one.
  Object.assign(http, { shouldUpgradeCallback: isWebSocket });
  http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    if (isWebSocket(request) && first.get(http)?.(request, { socket, head }) === true) return;
    try {
      if (added.leaving) throw stopping();
      take(added.finders, rules, { request, socket, head, peers: added.peers });
    } catch (thrown) {
      refuse(request, socket, toSylaError(thrown));
    }
  });
}

/** The server stops: takes no more handshakes, and lets each peer go as soon as none of its calls runs. */
export function leavePeers(http: Server): void {
  const known = upgrades.get(http);
  if (known === undefined) return;
  known.leaving = true;
  for (const peer of known.peers) peer.leave();
}

/** The server's time is over: ends what still runs on every peer, each call with its reason. */
export function endPeers(http: Server): void {
  for (const peer of upgrades.get(http)?.peers ?? []) peer.endCalls(stopping());
}

function stopping(): SylaError {
  return new SylaError("shutting_down", "The platform is stopping.");
}

function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

function take(finders: readonly FindUpgrade[], rules: SocketRules, handshake: Handshake): void {
  const { request } = handshake;
  const path = pathOf(request);
  for (const find of finders) {
    const found = isWebSocket(request) ? find(path) : undefined;
    if (found === undefined) continue;
    checkOrigin(request, rules.origins);
    return found(handshake);
  }
  throw new SylaError("route_not_found", `There is no WebSocket at ${path}.`);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

/**
 * Throws `origin_not_allowed` when a page calls whose origin is not one of those; programs send none. For what a page
 * could do without asking first, or must not do by another name of this host.
 */
export function checkOrigin({ headers }: IncomingMessage, origins: readonly string[]): void {
  const { origin, host } = headers;
  if (origin === undefined || origins.includes("*") || origins.includes(origin)) return;
  if (isOwnOrigin(origin, host)) return;
  const message = `Cannot connect from ${origin.slice(0, 200)}: add it to the allowed origins.`;
  throw new SylaError("origin_not_allowed", message);
}

// A page of this very server may connect where it was reached by address. A name must be configured, because whoever
// owns a name can make it point here (DNS rebinding).
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  const name = url.hostname.replace(/^\[|\]$/g, "");
  return url.host === host && (name === "localhost" || isIP(name) !== 0);
}

function refuse(request: IncomingMessage, socket: Duplex, error: SylaError): void {
  const { requestId } = new CallContext();
  socket.end(problemAnswer(error, { instance: pathOf(request), requestId }));
}
