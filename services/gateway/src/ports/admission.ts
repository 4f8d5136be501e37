// Lets a request through to a port, or says what is missing. What its sender brought is read here; whether it is
// enough is decided by the service that has the sandbox. What came in the address is traded for a cookie of that port
// alone, so that it stays in no history and is sent on to nobody.
import type { IncomingMessage } from "node:http";
import type { AdmitResponse, TunnelService } from "@syla/contract/syla/sandbox/v1/tunnel";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { bringsKey } from "@syla/kit/local-access";
import { equalSecrets, type LocalKey } from "@syla/kit/local-key";
import { NodeHeaders } from "../context.ts";
import { trafficToken } from "../adapters/e2b/access.ts";
import { ticketCookie, ticketIn } from "./cookies.ts";
import { isSecure } from "./request-head.ts";
import type { Target } from "./target.ts";

/** The names under which an address has a token or a ticket; short ones are often a server's own. */
const tokenName = "syla_token";
const ticketName = "syla_ticket";
const secretCharsMax = 256;

export interface AdmissionDeps {
  readonly tunnels: Client<typeof TunnelService>;
  readonly key: LocalKey | undefined;
}

/** A request that may go on. */
export interface Admitted {
  /** Without what let it in. */
  readonly target: Target;
  /** For a browser that came by an address with a secret: where to go on, and with which cookie. */
  readonly redirect: { readonly location: string; readonly cookie: string } | undefined;
}

/** Throws `unauthenticated`, or what is wrong with the sandbox. */
export async function admit(
  { tunnels, key }: AdmissionDeps,
  request: IncomingMessage,
  asked: Target,
  parent: CallContext,
): Promise<Admitted> {
  const { path, token, ticket } = takeSecrets(asked.path);
  const target = { ...asked, path };
  const { sandbox, port } = target;
  const header = textOf(request.headers["syla-port-token"]);
  const answer = await tunnels.admit(
    {
      ...{ sandbox, port, owner: isOwner(key, request, sandbox) },
      token: checked(token || header),
      ticket: checked(ticket || ticketIn(request.headers.cookie)),
    },
    { parent },
  );
  const fromAddress = token !== "" || ticket !== "";
  return { target, redirect: fromAddress ? redirectFor(request, target, answer) : undefined };
}

function isOwner(key: LocalKey | undefined, request: IncomingMessage, sandbox: string): boolean {
  if (key === undefined) return false;
  if (bringsKey(key, new NodeHeaders(request.headers))) return true;
  const traffic = textOf(request.headers["e2b-traffic-access-token"]);
  return traffic !== "" && equalSecrets(traffic, trafficToken(key, sandbox));
}

function checked(secret: string): string {
  return secret.length <= secretCharsMax ? secret : "";
}

interface Secrets {
  readonly path: string;
  readonly token: string;
  readonly ticket: string;
}

/** Takes what is ours out of a path's query; what is the server's stays as it was written. */
export function takeSecrets(path: string): Secrets {
  const mark = path.indexOf("?");
  if (mark === -1 || !path.includes("syla_t")) return { path, token: "", ticket: "" };
  const parts = path.slice(mark + 1).split("&");
  const valueOf = (name: string) =>
    parts.find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  const rest = parts.filter((part) => !isSecret(part.split("=", 1)[0]));
  const query = rest.length === 0 ? "" : `?${rest.join("&")}`;
  return {
    path: path.slice(0, mark) + query,
    token: valueOf(tokenName),
    ticket: valueOf(ticketName),
  };
}

function isSecret(name: string | undefined): boolean {
  return name === tokenName || name === ticketName;
}

function redirectFor(
  request: IncomingMessage,
  target: Target,
  { ticket, expiresAt }: AdmitResponse,
): Admitted["redirect"] {
  const isVisit = request.method === "GET" && request.headers.upgrade === undefined;
  if (!isVisit || ticket === "" || expiresAt === undefined) return undefined;
  const seconds = Math.max(1, Number(expiresAt.seconds) - Math.floor(Date.now() / 1000));
  const cookie = ticketCookie(target, ticket, { seconds, secure: isSecure(request) });
  return { location: target.prefix + onOrigin(target.path), cookie };
}

/** A path that leads to no other host: two slashes at its beginning would. */
export function onOrigin(path: string): string {
  return path.replace(/^[/\\]+/, "/");
}

function textOf(value: string | string[] | undefined): string {
  if (Array.isArray(value)) throw new SylaError("invalid_request", "A token is given twice.");
  return value ?? "";
}
