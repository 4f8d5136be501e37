// The connections of one sandbox that are open: what each was allowed as, what it moves, and how it is ended when it
// is not allowed any more.
import type { Socket } from "node:net";
import type { Target } from "./host.ts";
import { type Decision, dial, type DialOptions, NetworkRefusal } from "./dial.ts";
import type { NetworkEvents } from "./events.ts";
import type { Policy } from "./policy.ts";

interface Link {
  readonly decision: Decision;
  readonly address: string;
  readonly socket: Socket | undefined;
  readonly end: () => void;
}

export interface NetworkLinksOptions {
  readonly events: NetworkEvents;
  readonly policy: () => Policy;
  readonly dialing: Pick<DialOptions, "connectMs" | "idleMs">;
}

export class NetworkLinks {
  readonly #options: NetworkLinksOptions;
  readonly #open = new Set<Link>();
  readonly #total = { sent: 0, received: 0 };

  constructor(options: NetworkLinksOptions) {
    this.#options = options;
  }

  /** Bytes that went through, those of open connections among them. */
  get bytes(): { readonly sent: number; readonly received: number } {
    const total = { ...this.#total };
    for (const { socket } of this.#open) {
      total.sent += socket?.bytesWritten ?? 0;
      total.received += socket?.bytesRead ?? 0;
    }
    return total;
  }

  /** Connects as decided; it is ended by `end` when a later policy does not allow it. */
  async connect(decision: Decision, end: () => void): Promise<Socket> {
    const { events, policy, dialing } = this.#options;
    const { socket, address } = await dial(decision, dialing);
    const link = { decision, address: address.text, socket, end };
    if (policy() !== decision.policy && !stillAllowed(policy(), link)) {
      socket.destroy();
      throw new NetworkRefusal("refused", "policy_changed", "the policy has changed meanwhile");
    }
    const { host, port } = decision.target;
    const event = events.connected({ host, port, address: address.text }, decision.rule);
    this.#open.add(link);
    socket.once("close", () => {
      this.#open.delete(link);
      this.#total.sent += socket.bytesWritten;
      this.#total.received += socket.bytesRead;
      event.ended(socket.bytesWritten, socket.bytesRead);
    });
    return socket;
  }

  /** Remembers what has no connection of its own, as long as it is not forgotten. */
  hold(decision: Decision, end: () => void): () => void {
    const link = { decision, address: "", socket: undefined, end };
    this.#open.add(link);
    return () => void this.#open.delete(link);
  }

  /** Ends what the policy that now holds does not allow, or would look into where it was not. */
  recheck(): void {
    const { events, policy } = this.#options;
    for (const link of [...this.#open]) {
      if (stillAllowed(policy(), link)) continue;
      const { host, port } = link.decision.target;
      const message = "it was connected before the change";
      const facts = { host, port, address: link.address };
      if (link.socket !== undefined) events.refused(facts, "policy_changed", message);
      link.end();
      link.socket?.destroy();
    }
  }

  end(): void {
    for (const { end, socket } of this.#open) {
      end();
      socket?.destroy();
    }
  }
}

function stillAllowed(policy: Policy, { decision }: Link): boolean {
  const { target, addresses, checksNames } = decision;
  const verdict = policy.judge(target);
  if (verdict.kind === "refused") return false;
  const resolved = addresses.every((address) => {
    return policy.judgeResolved(verdict, address, target.port).kind === "allowed";
  });
  const injects = (one: Policy, { host, address }: Target) => {
    return one.injected({ host, address }).length > 0;
  };
  return (
    resolved &&
    policy.asksForNames(target) === checksNames &&
    injects(policy, target) === injects(decision.policy, target)
  );
}
