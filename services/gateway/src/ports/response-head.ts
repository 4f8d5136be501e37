// The head of an answer of a server in a sandbox, as it may leave the gateway. Below a path of the gateway's origin a
// browser would take what the server says for the gateway's own word: its scripts could call the API as the reader of
// our pages, its service worker could answer for them, its headers would hold for every page of the host. So there
//
//   - each document is put into a sandbox of the browser's with an origin that is nobody's, whatever its type;
//   - headers that reach further than their own answer are dropped, on the other ways too where the host is shared;
//   - cookies have names and a path of their own (cookies.ts), and no service worker's script is answered (front.ts).
import type { IncomingMessage } from "node:http";
import { onOrigin } from "./admission.ts";
import { setCookieFor } from "./cookies.ts";
import { endToEnd, type Header } from "./headers.ts";
import type { Target } from "./target.ts";

/** No `allow-same-origin`: the origin is nobody's. No `allow-top-navigation`, no popups that leave the sandbox. */
export const documentSandbox =
  "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts";

/** What holds for an origin or a host and not for the answer alone. */
const farReaching = new Set([
  ...["accept-ch", "accept-ch-lifetime", "activate-storage-access", "alt-svc", "clear-site-data"],
  ...["critical-ch", "expect-ct", "nel", "observe-browsing-topics", "origin-agent-cluster"],
  ...["permissions-policy-report-only", "public-key-pins", "public-key-pins-report-only"],
  ...["report-to", "reporting-endpoints", "secure-session-registration", "service-worker-allowed"],
  ...["sec-session-registration", "set-login", "speculation-rules", "strict-transport-security"],
  ...["use-as-dictionary", "attribution-reporting-register-source"],
  ...["attribution-reporting-register-trigger"],
]);
/** A password that a browser asks for is kept for the whole origin. */
const onOwnOrigin = new Set(["www-authenticate", "authentication-info"]);
/** Names of the server that its links to itself may have. */
const ownNames = new Set(["localhost", "127.0.0.1", "0.0.0.0", "[::1]"]);

const noContent = 204;

/** The head of an answer. */
export function responseHead(
  request: IncomingMessage,
  answer: IncomingMessage,
  target: Target,
): Header[] {
  const headers = endToEnd(answer.rawHeaders).flatMap(([name, value]): Header[] => {
    // There is nothing after such a head: who waits for so much would take the next answer for it.
    if (answer.statusCode === noContent && name.toLowerCase() === "content-length") return [];
    const changed = change(name.toLowerCase(), value, { request, target });
    return changed === undefined ? [] : [[name, changed]];
  });
  // Who got in by a cookie is not to have the answer kept for others on the way.
  if (answer.headers["cache-control"] === undefined) headers.push(["Cache-Control", "private"]);
  if (target.way === "host") return headers;
  headers.push(["Content-Security-Policy", documentSandbox]);
  // Under the same address the gateway answers without them.
  if (target.way === "header") headers.push(["Vary", "Syla-Sandbox, Syla-Port"]);
  if (target.way === "e2b") headers.push(["Vary", "E2b-Sandbox-Id, E2b-Sandbox-Port"]);
  return headers;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly target: Target;
}

function change(name: string, value: string, { request, target }: Exchange): string | undefined {
  // On an origin of its own it may say what it likes, but for what also holds for the origins beside and below it.
  if (target.way === "host") {
    if (name === "strict-transport-security" || name === "alt-svc") return undefined;
    if (name === "location" || name === "content-location") return within(target, value);
    // Cookies go by the registered domain, which others may be below, too.
    if (name === "clear-site-data" && /cookies|\*/i.test(value)) return undefined;
    return name === "set-cookie" ? setCookieFor(target, value) : value;
  }
  if (farReaching.has(name)) return undefined;
  if (target.way === "path" && onOwnOrigin.has(name)) return undefined;
  if (name === "location" || name === "content-location") return within(target, value);
  if (name !== "set-cookie") return value;
  // A page that sent the header itself would have them set for the gateway's origin.
  const fromBrowser =
    request.headers.origin !== undefined || request.headers["sec-fetch-mode"] !== undefined;
  return fromBrowser && target.way !== "path" ? undefined : setCookieFor(target, value);
}

/**
 * Where a redirect leads: a path of the server's is below the prefix, where there is one, and so is an address by which
 * the server calls itself. What leads elsewhere stays, and so does what is relative or has the prefix already.
 */
export function within({ prefix, port, way }: Target, value: string): string {
  if (way !== "path" && way !== "host") return value;
  if (prefix !== "" && /^\/(?![/\\])/.test(value)) {
    return value === prefix || value.startsWith(`${prefix}/`) ? value : prefix + value;
  }
  const url = /^https?:\/\//i.test(value) ? URL.parse(value) : null;
  const isOwn = url !== null && ownNames.has(url.hostname) && url.port === String(port);
  return isOwn ? prefix + onOrigin(`${url.pathname}${url.search}${url.hash}`) : value;
}
