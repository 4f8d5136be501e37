// DNS rebinding: a page of the web points its own name at 127.0.0.1 and is then, for the browser, of our origin. Its
// name in the `Host` header gives it away. So a gateway that listens on loopback answers to addresses, to localhost
// and to names it was told; one that is open to a network has a name of its own that it cannot know.
import { isIP } from "node:net";
import { SylaError } from "@syla/kit/error";

/** Whether a gateway on this address is reached from its own machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Whether a gateway's calls need the key: beyond loopback always, on it when that is asked for. */
export function requiresKey(config: { readonly host: string; readonly requireKey: boolean }) {
  return config.requireKey || !isLoopback(config.host);
}

/** The check of a gateway's own `Host` headers. */
export function ownHostCheck(config: {
  readonly host: string;
  readonly hostNames: readonly string[];
}): (header: string | undefined) => boolean {
  return isLoopback(config.host) ? hostCheck(config.hostNames) : () => true;
}

/** The refusal of another's name. */
export function foreignHost(name = ""): SylaError {
  const message = `Cannot answer to the name ${name}: it is not one of this gateway's (server.host_names).`;
  return new SylaError("origin_not_allowed", message);
}

/** Makes the check of a `Host` header; `names` are the further ones that are allowed. */
export function hostCheck(names: readonly string[]): (header: string | undefined) => boolean {
  // Clients repeat themselves, so the last good header is most often the next.
  let known = "";
  return (header) => {
    if (header === undefined || header === known) return true;
    const name = hostName(header);
    const isOwn = isIP(name) > 0 || /^(?:.+\.)?localhost$/.test(name) || names.includes(name);
    if (isOwn) known = header;
    return isOwn;
  };
}

/** The name in a `Host` header: without its port, and an IPv6 address without its brackets. */
export function hostName(header: string): string {
  const bracketed = /^\[(.*)\](?::\d*)?$/.exec(header)?.[1];
  return (bracketed ?? header.replace(/:\d*$/, "")).toLowerCase().replace(/\.$/, "");
}
