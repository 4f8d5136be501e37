// A running gateway over the test services, for the tests of its HTTP side.
import { defaultsOf } from "@syla/kit/config";
import {
  type Gateway,
  type GatewayConfig,
  gatewaySettings,
  type Logger,
  startGateway,
} from "./main.ts";
import { createSurfaceFixture } from "./surface-fixture.ts";

/** What the gateway logged as an error. */
export interface LoggedError {
  readonly facts: object;
  readonly message: string;
}

/** Starts a gateway on free ports; `close` ends it. */
export async function startTestGateway(config: Partial<GatewayConfig> = {}) {
  const fixture = createSurfaceFixture();
  const errors: LoggedError[] = [];
  const nothing = () => undefined;
  const log: Logger = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (facts, message) => void errors.push({ facts, message }),
  };
  const state = { live: true, ready: true };
  const gateway: Gateway = await startGateway({
    dispatcher: fixture.dispatcher,
    config: { ...defaultsOf(gatewaySettings), restPort: 0, grpcPort: 0, drainMs: 500, ...config },
    version: "1.2.3",
    log,
    health: {
      live: () => state.live,
      ready: async () => ({
        ready: state.ready,
        checks: { database: state.ready ? "ok" : "away" },
      }),
    },
    metrics: { text: async () => ({ contentType: "text/plain; version=0.0.4", body: "up 1\n" }) },
  });
  return { ...fixture, ...gateway, url: gateway.restUrl, errors, state };
}
