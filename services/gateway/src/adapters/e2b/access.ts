// Who may use E2B's API: for the control plane whoever has the installation's key, for a sandbox whoever has its token,
// which is derived from the key, so that nothing needs to be kept. This file is what an auth service takes over.
import { createHash } from "node:crypto";
import type { Principal } from "@syla/kit/call";
import { isKey } from "@syla/kit/local-access";
import { equalSecrets, type LocalKey } from "@syla/kit/local-key";
import type { AdapterRequest, WholeReply } from "../../adapters.ts";
import { closedPortReply, errorReply, goneReply } from "./errors.ts";

/** The header by which the requests to a sandbox are known. */
export const sandboxHeader = "e2b-sandbox-id";
/** The port at which a sandbox of E2B serves its processes and files. */
export const sandboxPort = 49_983;
/** The one at which it runs code in contexts. */
export const codePort = 49_999;
const sandboxShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** All of them are the one user that there is. */
const users = new Set(["", "user", "root"]);

const noKey = "Unauthorized, please check your credentials.";
const noToken =
  "unauthorized access, please provide a valid access token or method signing if supported";

/** Who has a sandbox's token, or an address that is signed with it. */
export const sandboxUser: Principal = { name: "e2b sandbox" };

/** Whether a text can be a sandbox's id. */
export function isSandboxId(text: string): boolean {
  return sandboxShape.test(text);
}

/** Refuses who does not bring the key, which E2B's clients know as `e2b_` and its digits. */
export function refuseKey(key: LocalKey, { raw }: AdapterRequest): WholeReply | undefined {
  const given = headerOf(raw.headers["x-api-key"]);
  return isKey(key, given) ? undefined : errorReply(401, noKey);
}

/** A sandbox's own token. */
export function sandboxToken(key: LocalKey, sandbox: string): string {
  return key.derive(`e2b sandbox ${sandbox}`);
}

/** The token for all of a sandbox's ports. */
export function trafficToken(key: LocalKey, sandbox: string): string {
  return key.derive(`e2b traffic ${sandbox}`);
}

/** How a sandbox is reached. */
export interface SandboxAccess {
  /** For its processes and files. */
  readonly envdAccessToken: string;
  /** For its ports. */
  readonly trafficAccessToken: string;
  /** Below which each of its ports has a name. */
  readonly domain: string;
}

/** How a client reaches a sandbox, by the gateway's own port as this client reaches that. */
export function accessOf(
  { key, portsDomain }: { readonly key: LocalKey; readonly portsDomain: string },
  { raw }: AdapterRequest,
  id: string,
): SandboxAccess {
  const port = /:\d+$/.exec(raw.headers.host ?? "")?.[0] ?? "";
  return {
    envdAccessToken: sandboxToken(key, id),
    trafficAccessToken: trafficToken(key, id),
    domain: portsDomain + port,
  };
}

/** What of a request decides whether it may read or write one file of a sandbox without its token. */
export interface SignedFile {
  readonly operation: "read" | "write";
  readonly query: URLSearchParams;
}

/** The sandbox that a request is for, or why it does not reach it. */
export type Reached =
  | { readonly kind: "sandbox"; readonly sandbox: string; readonly port: number }
  | { readonly kind: "refused"; readonly reply: WholeReply }
  /** Who asks is not known, or not as the user that they name. */
  | { readonly kind: "stranger"; readonly message: string };

/** How a sandbox may be reached; without any of it, at the port of its processes and files, with its token. */
export interface Entrance {
  /** A signature of this kind is enough. */
  readonly operation?: SignedFile["operation"];
  readonly ports?: readonly number[];
  /** The token for its ports is enough. */
  readonly traffic?: boolean;
}

/** Finds the sandbox that a request may reach. */
export function reachSandbox(
  key: LocalKey,
  { raw, query, context }: AdapterRequest,
  { operation, ports = [sandboxPort], traffic = false }: Entrance = {},
): Reached {
  const sandbox = headerOf(raw.headers[sandboxHeader]);
  if (!isSandboxId(sandbox)) return { kind: "refused", reply: goneReply(sandbox) };
  const port = Number(headerOf(raw.headers["e2b-sandbox-port"]) || ports[0]);
  const token = headerOf(raw.headers["x-access-token"]);
  const forPorts = headerOf(raw.headers["e2b-traffic-access-token"]);
  const known =
    equalSecrets(token, sandboxToken(key, sandbox)) ||
    (traffic && equalSecrets(forPorts, trafficToken(key, sandbox))) ||
    (operation !== undefined && isSigned(key, sandbox, { operation, query }));
  if (!known) return { kind: "stranger", message: noToken };
  if (!ports.includes(port)) {
    return { kind: "refused", reply: closedPortReply(sandbox, port) };
  }
  const user = query.get("username") ?? userOf(headerOf(raw.headers.authorization));
  if (!users.has(user)) return { kind: "stranger", message: `invalid username: '${user}'` };
  context.principal = sandboxUser;
  return { kind: "sandbox", sandbox, port };
}

// E2B's SDKs name the user of a command as one without a password.
function userOf(authorization: string): string {
  const encoded = /^Basic\s+(\S+)$/i.exec(authorization)?.[1] ?? "";
  return Buffer.from(encoded, "base64").toString("utf8").split(":", 1)[0] ?? "";
}

/** Whether the address of a file is signed with a sandbox's token, and still valid. */
export function isSigned(
  key: LocalKey,
  sandbox: string,
  { operation, query }: SignedFile,
): boolean {
  const expiration = query.get("signature_expiration");
  if (expiration !== null && !(Number(expiration) * 1000 > Date.now())) return false;
  const [path, user] = [query.get("path") ?? "", query.get("username") ?? ""];
  // What is signed has no marks between its parts that a path cannot have: a user's name could be the end of one.
  if (!users.has(user)) return false;
  const parts = [path, operation, user, sandboxToken(key, sandbox)];
  const text = (expiration === null ? parts : [...parts, expiration]).join(":");
  const hash = createHash("sha256").update(text).digest("base64").replace(/=+$/, "");
  return equalSecrets(query.get("signature") ?? "", `v1_${hash}`);
}

function headerOf(value: string | string[] | undefined): string {
  return typeof value === "string" ? value : "";
}
