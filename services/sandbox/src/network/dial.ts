// From a host that a sandbox asks for to a connection: the policy is asked, the name looked up once, every address that
// it has held against the policy and the guard, and one of exactly these is connected to. So a name that answers
// something else the next time (DNS rebinding) gains nothing.
import { connect, type Socket } from "node:net";
import { type Address, parseAddress } from "./address.ts";
import type { NetworkGuard } from "./guard.ts";
import type { Target } from "./host.ts";
import type { Policy, Reason } from "./policy.ts";
import type { Resolve } from "./resolver.ts";

/** What connections are made with. */
export interface DialOptions {
  readonly resolve: Resolve;
  readonly guard: NetworkGuard;
  readonly connectMs: number;
  readonly idleMs: number;
}

/** A target that may be connected to. */
export interface Decision {
  readonly target: Target;
  readonly policy: Policy;
  readonly rule: string;
  /** Each may be; there is at least one. */
  readonly addresses: readonly Address[];
  /** What is said inside of the host is to be looked at too. */
  readonly checksNames: boolean;
}

/** Why there is no connection. */
export class NetworkRefusal extends Error {
  override readonly name = "NetworkRefusal";
  /** Refused by a rule; otherwise it was allowed and failed. */
  readonly kind: "refused" | "failed";
  readonly reason: Reason;

  constructor(kind: "refused" | "failed", reason: Reason, message: string) {
    super(message);
    this.kind = kind;
    this.reason = reason;
  }
}

/** One after the other, so many addresses of a name are tried. */
const triedMax = 4;

/** Holds a target against everything; throws NetworkRefusal. */
export async function decide(
  policy: Policy,
  target: Target,
  { resolve, guard }: Pick<DialOptions, "resolve" | "guard">,
): Promise<Decision> {
  const verdict = policy.judge(target);
  if (verdict.kind === "refused") throw refusal(verdict.reason, verdict.message);
  const addresses = target.address === undefined ? await lookUp(target, resolve) : [target.address];
  for (const address of addresses) {
    const why = guard.refusal(address);
    if (why !== undefined) throw refusal("address", why);
    const found = policy.judgeResolved(verdict, address, target.port);
    if (found.kind === "refused") throw refusal(found.reason, found.message);
  }
  const checksNames = policy.asksForNames(target);
  return { target, policy, rule: verdict.rule, addresses, checksNames };
}

async function lookUp({ host }: Target, resolve: Resolve): Promise<readonly Address[]> {
  const texts = await resolve(host).catch((): readonly string[] => []);
  const addresses = texts.map((text) => parseAddress(text));
  const read = addresses.filter((address) => address !== undefined);
  if (read.length < addresses.length) throw refusal("address", "an address cannot be read");
  if (read.length === 0) throw new NetworkRefusal("failed", "name", "the name has no address");
  return read;
}

/** Connects; throws NetworkRefusal when no address answers. */
export async function dial(
  { addresses, target }: Decision,
  options: Pick<DialOptions, "connectMs" | "idleMs">,
): Promise<{ readonly socket: Socket; readonly address: Address }> {
  let last = "";
  for (const address of addresses.slice(0, triedMax)) {
    try {
      return { socket: await connectTo(address, target.port, options), address };
    } catch (error) {
      last = error instanceof Error && "code" in error ? String(error.code) : "no answer";
    }
  }
  throw new NetworkRefusal("failed", "unreachable", `cannot be connected to: ${last}`);
}

function connectTo(
  { text, family }: Address,
  port: number,
  { connectMs, idleMs }: Pick<DialOptions, "connectMs" | "idleMs">,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ host: text, port, family, allowHalfOpen: true, noDelay: true });
  const timer = setTimeout(() => socket.destroy(new Error("No answer in time")), connectMs);
  socket.once("connect", () => {
    clearTimeout(timer);
    // Whoever uses it hears of it by its close.
    socket.on("error", () => {});
    socket.setTimeout(idleMs, () => socket.destroy());
    resolve(socket);
  });
  socket.once("error", (error) => {
    clearTimeout(timer);
    reject(error);
  });
  return promise;
}

function refusal(reason: Reason, message: string): NetworkRefusal {
  return new NetworkRefusal("refused", reason, message);
}
