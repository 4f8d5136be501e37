// The head of a request as the server in the sandbox gets it: what the client sent, without what is ours. A server in a
// sandbox is whoever's code; keys, tokens and tickets that let their bearer in must not reach it.
import type { IncomingMessage } from "node:http";
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
  if (given["transfer-encoding"] !== undefined) headers.push(["Transfer-Encoding", "chunked"]);
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
  const kept = endToEnd(request.rawHeaders).filter(([name, value]) => {
    const lower = name.toLowerCase();
    if (written.has(lower) || ours.test(lower) || keyShape.test(value.trim())) return false;
    return target.way !== "e2b" || lower !== e2bToken;
  });
  const cookies = cookiesFor(target, headers.cookie ?? "");
  const before = headers["x-forwarded-for"];
  const peer = socket.remoteAddress ?? "";
  return [
    // What servers that look at their name take for their own.
    ["Host", `localhost:${target.port}`],
    ...kept,
    ...(cookies === "" ? [] : [["Cookie", cookies] as const]),
    ["X-Forwarded-For", before === undefined ? peer : `${String(before)}, ${peer}`],
    ["X-Forwarded-Host", headers.host ?? ""],
    ["X-Forwarded-Proto", isSecure(request) ? "https" : "http"],
    ...(target.prefix === "" ? [] : [["X-Forwarded-Prefix", target.prefix] as const]),
  ];
}

/** Whether a proxy in front says that it was reached by TLS. Who lies about that lies about its own connection. */
export function isSecure({ headers }: IncomingMessage): boolean {
  return String(headers["x-forwarded-proto"]).split(",", 1)[0]?.trim().toLowerCase() === "https";
}
