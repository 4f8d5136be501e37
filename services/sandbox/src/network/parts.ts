// What the networks of all sandboxes of a platform share: settings made into the parts that they are.
import { isIP } from "node:net";
import { lookup } from "node:dns/promises";
import type { Log } from "@syla/kit/log";
import type { Metrics } from "@syla/kit/metrics";
import type { SandboxConfig } from "../config.ts";
import { networkCounters } from "./events.ts";
import { NetworkGuard } from "./guard.ts";
import { createResolve, type Resolve } from "./resolver.ts";
import type { NetworkParts } from "./sandbox-network.ts";

/** For tests, whose hosts are on this machine and under names of their own; no setting leads here. */
export interface NetworkForTests {
  readonly resolve: Resolve;
  readonly authorities: readonly string[];
}

export interface NetworkPartsOptions {
  readonly config: SandboxConfig;
  /** Where the database is. */
  readonly databaseUrl: string;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly forTests?: NetworkForTests | undefined;
}

const connectMs = 10_000;
const databaseAgainMs = 60_000;

/** Makes them; throws `invalid_configuration`. */
export function networkParts(options: NetworkPartsOptions): NetworkParts {
  const { config, metrics, log, forTests } = options;
  const counters = networkCounters(metrics);
  let open = 0;
  metrics.gauge({
    name: "syla_network_connections_open",
    help: "Connections that sandboxes have to their proxies now.",
    collect: (gauge) => gauge.set(open),
  });
  const guard = new NetworkGuard({
    deny: config.networkDeny,
    allowPrivate: config.networkAllowPrivate,
    own: databaseAddresses(options.databaseUrl),
    loopbackForTests: forTests !== undefined,
  });
  const servers = createResolve(config.networkDns);
  const take = () => {
    if (open >= config.networkConnectionsAll) return undefined;
    open += 1;
    return () => void (open -= 1);
  };
  return {
    dialing: {
      resolve: forTests?.resolve ?? servers,
      guard,
      connectMs,
      idleMs: config.networkIdleMs,
    },
    limits: { connectionsMax: config.networkConnections, take },
    ...{ counters, log },
    ...(forTests === undefined ? {} : { authorities: forTests.authorities }),
  };
}

/** The database's addresses as the host knows them, looked up again from time to time. */
function databaseAddresses(url: string): () => readonly string[] {
  const host = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, "") : "";
  if (host === "" || isIP(host) !== 0) return () => [host];
  let known: readonly string[] = [];
  const look = () => {
    const found = lookup(host, { all: true }).then((all) => all.map(({ address }) => address));
    found.then((addresses) => (known = addresses)).catch(() => {}); // those known before stay
  };
  look();
  setInterval(look, databaseAgainMs).unref();
  return () => known;
}
