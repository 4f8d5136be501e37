// Cookies of servers in sandboxes. Below a path of the gateway's own origin a browser keeps one jar for everybody: the
// gateway's host, whatever else runs on it at other ports, and every sandbox. There the cookies of a server are kept
// under names and a path of its own, and it is given none but those.
import type { Target } from "./target.ts";

/** Lets its bearer reach one port. */
export const accessCookie = "syla_port";
/** Before the name of a server's cookie where the origin is not its own. */
const shared = "syla_s_";

/** What of a request's cookies the server is given; empty, when nothing. */
export function cookiesFor({ way }: Target, header: string): string {
  const cookies = header.split(";").map((cookie) => cookie.trim());
  const given =
    way === "path"
      ? cookies
          .filter((cookie) => cookie.startsWith(shared))
          .map((cookie) => cookie.slice(shared.length))
      : cookies.filter((cookie) => nameOf(cookie) !== accessCookie && cookie !== "");
  return given.join("; ");
}

/** The ticket among a request's cookies. */
export function ticketIn(header: string | undefined): string {
  const start = `${accessCookie}=`;
  const cookie = header?.split(";").find((each) => each.trim().startsWith(start));
  return cookie?.trim().slice(start.length) ?? "";
}

/** A `Set-Cookie` of a server, as it may be passed on; undefined when it may not. */
export function setCookieFor({ way, prefix }: Target, value: string): string | undefined {
  const [pair = "", ...attributes] = value.split(";").map((part) => part.trim());
  const name = nameOf(pair);
  // Without a name, its value would be sent as if it were a name and a value.
  if (name === accessCookie || name === "" || !pair.includes("=")) return undefined;
  // A domain would give it to other sandboxes.
  const kept = attributes.filter((attribute) => nameOf(attribute).toLowerCase() !== "domain");
  if (way !== "path") return [pair, ...kept].join("; ");
  // The prefixes of names by which a browser asks for a host's own path.
  const plain = pair.replace(/^__(?:host|secure)-/i, "");
  const path =
    kept.find((attribute) => nameOf(attribute).toLowerCase() === "path")?.slice(5) ?? "/";
  const others = kept.filter((attribute) => nameOf(attribute).toLowerCase() !== "path");
  const below = /^\/[\x20-\x3a\x3c-\x7e]*$/.test(path) ? path : "/";
  const placed = below.startsWith(`${prefix}/`) ? below : prefix + below;
  return [`${shared}${plain}`, ...others, `Path=${placed}`].join("; ");
}

function nameOf(pair: string): string {
  return pair.split("=", 1)[0]?.trim() ?? "";
}

/** The cookie that a ticket is traded for. */
export function ticketCookie(
  { prefix }: Target,
  ticket: string,
  { seconds, secure }: { readonly seconds: number; readonly secure: boolean },
): string {
  const always = `Path=${prefix}/; Max-Age=${seconds}; HttpOnly; SameSite=Lax`;
  return `${accessCookie}=${ticket}; ${always}${secure ? "; Secure" : ""}`;
}
