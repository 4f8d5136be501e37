// The head of a request as the server in the sandbox gets it: what the client sent, without what is ours. A server in a
// sandbox is whoever's code; keys, tokens and tickets that let their bearer in must not reach it.
import type { IncomingMessage } from "node:http";
import { SylaError } from "@syla/kit/error";
import { cookiesFor } from "./cookies.ts";
import { endToEnd, flat, type Header } from "./headers.ts";
import type { Target } from "./target.ts";

/** An API key of an installation: it is not given away, also when it is another's. */
const keyShape = /^(?:Bearer +)?(?:syla|e2b)_[0-9a-f]{64}$/i;
const ours = /^(?:syla|e2b)-/;
/** By which E2B's clients reach what a sandbox serves beside its ports. */
const e2bToken = "x-access-token";
const written = new Set([
  ...["host", "expect", "cookie"],
  ...["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"],
  ...["x-forwarded-prefix", "forwarded"],
]);

/** The head for a request without an upgrade. */
export function requestHead(request: IncomingMessage, target: Target): string[] {
  const headers = passedOn(request, target);
  const { headers: given, method = "GET" } = request;
  const bodyless = method === "GET" || method === "HEAD";
  const coding = given["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    const message = "Cannot pass on a body with a transfer coding other than chunked.";
    throw new SylaError("invalid_request", message);
  }
  if (coding !== undefined) headers.push(["Transfer-Encoding", "chunked"]);
  else if (given["content-length"] === undefined && !bodyless)
    headers.push(["Content-Length", "0"]);
  // One request for each connection: no answer is ever taken for another visitor's.
  return flat([...headers, ["Connection", "close"]]);
}

/** The head of a WebSocket's handshake. */
export function upgradeHead(request: IncomingMessage, target: Target): string[] {
  const headers = passedOn(request, target).filter(([name]) => !/^content-length$/i.test(name));
  return flat([...headers, ["Connection", "Upgrade"], ["Upgrade", "websocket"]]);
}

function passedOn(request: IncomingMessage, target: Target): Header[] {
  const { headers, socket } = request;
  const names = namesOf(request, target);
  const passed = endToEnd(request.rawHeaders).filter(([name, value]) => {
    const lower = name.toLowerCase();
    if (written.has(lower) || ours.test(lower) || keyShape.test(value.trim())) return false;
    return target.way !== "e2b" || lower !== e2bToken;
  });
  const kept = passed.map(([name, value]): Header => [name, asNamed(name, value, names)]);
  const fromItself = names !== undefined && headers.origin?.toLowerCase() === names.outside;
  const cookies = cookiesFor(target, headers.cookie ?? "");
  const before = headers["x-forwarded-for"];
  const peer = socket.remoteAddress ?? "";
  return [
    // What servers that look at their name take for their own.
    ["Host", hostOf(target)],
    ...kept,
    ...(cookies === "" ? [] : [["Cookie", cookies] as const]),
    ["X-Forwarded-For", before === undefined ? peer : `${String(before)}, ${peer}`],
    // Who compares it with the page's origin finds both named alike.
    ["X-Forwarded-Host", fromItself ? hostOf(target) : (headers.host ?? "")],
    ["X-Forwarded-Proto", isSecure(request) ? "https" : "http"],
    ...(target.prefix === "" ? [] : [["X-Forwarded-Prefix", target.prefix] as const]),
  ];
}

function hostOf({ port }: Target): string {
  return `localhost:${port}`;
}

interface Names {
  /** The origin that the server has for its visitor. */
  readonly outside: string;
  /** The one that it takes for its own, by its `Host`. */
  readonly inside: string;
}

function namesOf(request: IncomingMessage, target: Target): Names | undefined {
  if (target.way !== "host") return undefined;
  const scheme = isSecure(request) ? "https" : "http";
  const { host = "" } = request.headers;
  return { outside: `${scheme}://${host.toLowerCase()}`, inside: `${scheme}://${hostOf(target)}` };
}

/**
 * Where a page comes from, as the server is to see it: many let in only whose origin is their own `Host`, above all to
 * WebSockets. So the server's own pages come from where it thinks it is; and a page that really is there, at that port
 * of its reader's machine, is nobody's.
 */
function asNamed(name: string, value: string, names: Names | undefined): string {
  if (names === undefined || !/^(?:origin|referer)$/i.test(name)) return value;
  const isAt = (origin: string, text: string) => text === origin || text.startsWith(`${origin}/`);
  const lower = value.toLowerCase();
  if (isAt(names.outside, lower)) return names.inside + value.slice(names.outside.length);
  const bare = (text: string) => text.replace(/^https?:\/\//, "");
  if (!isAt(bare(names.inside), bare(lower))) return value;
  return /^origin$/i.test(name) ? "null" : "about:blank";
}

/** Whether a proxy in front says that it was reached by TLS. Who lies about that lies about its own connection. */
export function isSecure({ headers }: IncomingMessage): boolean {
  return String(headers["x-forwarded-proto"]).split(",", 1)[0]?.trim().toLowerCase() === "https";
}
