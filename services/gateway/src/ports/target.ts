// Which port of which sandbox a request is for. There are three ways to say it:
//
//   path    /s/{sandbox}/{port}/...       on the gateway's own origin: what answers is shut in (see response-head.ts)
//   host    {port}-{sandbox}.localhost    an origin of its own, as a program expects to have
//   header  Syla-Sandbox, Syla-Port       for programs; E2B's clients have names of their own for these
//
// What the address says goes before what a header says, because a page chooses its headers and not its address.
import type { IncomingMessage } from "node:http";
import { SylaError } from "@syla/kit/error";
import { hostName } from "../own-host.ts";

/** Where a request is to go. */
export interface Target {
  readonly sandbox: string;
  readonly port: number;
  readonly way: "path" | "host" | "header" | "e2b";
  /** What comes before the server's own paths: empty where it has its origin. */
  readonly prefix: string;
  /** Path and query, as the server is to see them. */
  readonly path: string;
  /** The path only lacks the slash at its end, without which relative links would lead out of it. */
  readonly bare: boolean;
}

const place = "/s/";
const pathShape =
  /^\/s\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/([1-9]\d{0,4})(?=[/?]|$)(.*)$/s;
const labelShape = /^([1-9]\d{0,4})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
const sandboxShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const portShape = /^[1-9]\d{0,4}$/;
const portMax = 65_535;
/** At which E2B's sandboxes serve their own API, which is an adapter's here. */
const e2bPorts = new Set(["", "49983", "49999"]);

/** The target of a request; undefined when it is not for a port. Throws when there can be no such port. */
export function targetOf(request: IncomingMessage, domain: string): Target | undefined {
  return byHost(request, domain) ?? byPath(request) ?? byHeader(request);
}

function byHost(request: IncomingMessage, domain: string): Target | undefined {
  const { host } = request.headers;
  if (host === undefined) return undefined;
  const name = hostName(host);
  if (!name.endsWith(`.${domain}`)) return undefined;
  const match = labelShape.exec(name.slice(0, -domain.length - 1));
  if (match === null) return undefined;
  const [, port = "", sandbox = ""] = match;
  return {
    sandbox,
    port: portOf(port),
    way: "host",
    prefix: "",
    path: pathOf(request),
    bare: false,
  };
}

function byPath(request: IncomingMessage): Target | undefined {
  const path = pathOf(request);
  if (!path.startsWith(place)) return undefined;
  const match = pathShape.exec(path);
  if (match === null) {
    const message = "There is no port at this path: it begins with /s/, a sandbox's id and a port.";
    throw new SylaError("route_not_found", message);
  }
  const [, sandbox = "", port = "", rest = ""] = match;
  const bare = !rest.startsWith("/");
  return {
    ...{ sandbox, port: portOf(port), way: "path", bare },
    prefix: `${place}${sandbox}/${port}`,
    path: bare ? `/${rest}` : rest,
  };
}

function byHeader(request: IncomingMessage): Target | undefined {
  const { headers } = request;
  const ours = headers["syla-sandbox"] !== undefined;
  const sandbox = headers[ours ? "syla-sandbox" : "e2b-sandbox-id"];
  const port = headers[ours ? "syla-port" : "e2b-sandbox-port"] ?? "";
  if (sandbox === undefined || (!ours && e2bPorts.has(String(port)))) return undefined;
  if (!sandboxShape.test(String(sandbox)) || !portShape.test(String(port))) {
    const names = ours ? "Syla-Sandbox and Syla-Port" : "E2b-Sandbox-Id and E2b-Sandbox-Port";
    throw new SylaError(
      "invalid_request",
      `Cannot tell the port: ${names} are an id and a number.`,
    );
  }
  return {
    ...{ sandbox: String(sandbox), port: portOf(String(port)), way: ours ? "header" : "e2b" },
    ...{ prefix: "", path: pathOf(request), bare: false },
  };
}

function portOf(text: string): number {
  const port = Number(text);
  if (port <= portMax) return port;
  throw new SylaError("route_not_found", `There is no port ${text}: they end at ${portMax}.`);
}

// A proxy's client may send the whole address.
function pathOf({ url = "/" }: IncomingMessage): string {
  if (url.startsWith("/") || url === "*") return url;
  const whole = URL.parse(url);
  return whole === null ? "/" : `${whole.pathname}${whole.search}`;
}
