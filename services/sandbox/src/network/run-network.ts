// The network of one run: the proxy of a sandbox's, beside the program, for as long as that runs.
import type { RunRequest } from "@syla/contract/syla/sandbox/v1/runner";
import {
  type NetworkPolicy,
  NetworkPolicy_Mode as Mode,
} from "@syla/contract/syla/sandbox/v1/network";
import { systemClock } from "@syla/kit/clock";
import type { Jail } from "../jail/jail.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";
import { type NetworkParts, SandboxNetwork } from "./sandbox-network.ts";

/** A jail takes files below its working directory alone. */
const authoritiesName = ".syla-authorities.pem";

/** Whether a policy lets anything be reached. */
export function reachesAny(policy: NetworkPolicy | undefined): policy is NetworkPolicy {
  return policy !== undefined && (policy.mode === Mode.ALLOW_LIST || policy.mode === Mode.FULL);
}

/** Opens it, before the program begins; undefined when the request has none, or the jail has ended. */
export async function openRunNetwork(
  { network, execution }: Pick<RunRequest, "network" | "execution">,
  jail: Jail,
  parts: Promise<NetworkParts>,
): Promise<SandboxNetwork | undefined> {
  if (!reachesAny(network)) return undefined;
  const there = await Promise.race([parts, jail.ended]);
  if (there === undefined || !jail.alive) return undefined;
  const opened = new SandboxNetwork({
    ...{ ...there, sandbox: execution, channels: jail.beside(), clock: systemClock },
    authoritiesPath: `${WORK_DIRECTORY}/${authoritiesName}`,
  });
  const write = async ({ content, mode }: { content: Uint8Array; mode: number }) =>
    jail.writeFile({ path: authoritiesName, content, mode });
  try {
    await opened.change(network, write, "/spec/network");
  } catch (error) {
    opened.close();
    if (!jail.alive) return undefined; // its end says why
    throw error;
  }
  return opened;
}
