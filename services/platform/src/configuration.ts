// The settings of every service of this process, read in one go, so that whatever is wrong is told at once.
import { type ExecutionConfig, executionSettings } from "@syla/execution";
import { type GatewayConfig, gatewaySettings } from "@syla/gateway";
import { loadConfig } from "@syla/kit/config";
import { type SandboxConfig, sandboxSettings } from "@syla/sandbox";
import { type SessionConfig, sessionSettings } from "@syla/session";
import { type PlatformConfig, platformSettings } from "./config.ts";

export interface Configuration {
  readonly platform: PlatformConfig;
  readonly gateway: GatewayConfig;
  readonly execution: ExecutionConfig;
  readonly sandbox: SandboxConfig;
  readonly session: SessionConfig;
}

/** What the CLI reads for itself. */
const cliVariables = ["SYLA_URL", "SYLA_TOKEN"];

/** Every declared setting, service by service. */
export const settings = {
  platform: platformSettings,
  gateway: gatewaySettings,
  execution: executionSettings,
  sandbox: sandboxSettings,
  session: sessionSettings,
};

/** Reads the configuration. Throws `invalid_configuration` with one line for each thing that is wrong. */
export function readConfiguration(): Promise<Configuration> {
  return loadConfig(settings, { otherVariables: cliVariables });
}
