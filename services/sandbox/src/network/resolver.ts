// Looks names up for sandboxes, by the servers that are set or the host's, and never in the host's own files.
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { SylaError } from "@syla/kit/error";

/** Every address of a name; none when it has none. */
export type Resolve = (name: string) => Promise<readonly string[]>;

const timeoutMs = 3000;
const tries = 2;
/** A name with more is not looked into. */
const addressesMax = 256;

/** A resolver that asks these servers; without any, those of the host. */
export function createResolve(servers: readonly string[]): Resolve {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  if (servers.length > 0) setServers(resolver, servers);
  return async (name) => {
    const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const addresses = found.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    return addresses.length > addressesMax ? [] : addresses.filter((text) => isIP(text) !== 0);
  };
}

function setServers(resolver: Resolver, servers: readonly string[]): void {
  try {
    resolver.setServers(servers);
  } catch (cause) {
    const message = `Cannot use ${servers.join(", ")} in sandbox.network_dns: give addresses.`;
    throw new SylaError("invalid_configuration", message, { cause });
  }
}
