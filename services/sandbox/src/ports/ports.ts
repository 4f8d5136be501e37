// Who may reach the ports of sandboxes. It is known while the sandbox is there, in memory alone, and so are the secrets
// that sign a port's tickets: they end with the sandbox, and all that were given out for a port end with its exposure.
import { createHmac, randomBytes } from "node:crypto";
import { Port_Access as Access } from "@syla/contract/syla/sandbox/v1/port";
import type { AdmitRequest } from "@syla/contract/syla/sandbox/v1/tunnel";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { equalSecrets } from "@syla/kit/local-key";
import type { Sandbox } from "../sandbox.ts";

/** Stands for every port that has no access of its own. */
export const ANY_PORT = 0;

export interface Ticket {
  readonly text: string;
  readonly expiresMs: number;
}

/** Who may reach a port. */
export interface PortAccess {
  readonly access: Access;
  /** Empty, when it takes none. */
  readonly token: string;
}

interface Rule {
  /** Undefined, when it is that of every other port. */
  access: Access | undefined;
  token: string;
  /** Signs its tickets. */
  readonly secret: Buffer;
}

type Brought = Pick<AdmitRequest, "port" | "owner" | "token" | "ticket">;

const secretBytes = 32;
/** A token is sent again with every visit, so that what it is traded for need not last. */
const tradedTicketMs = 12 * 3_600_000;
const closed: PortAccess = { access: Access.PRIVATE, token: "" };

export class Ports {
  readonly #clock: Clock;
  readonly #rules = new WeakMap<Sandbox, Map<number, Rule>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that have an access of their own. */
  exposed(sandbox: Sandbox): number[] {
    const rules = [...(this.#rules.get(sandbox) ?? [])];
    return rules.filter(([, { access }]) => access !== undefined).map(([port]) => port);
  }

  access(sandbox: Sandbox, port: number): PortAccess {
    const rules = this.#rules.get(sandbox);
    const own = rules?.get(port);
    const rule = own?.access === undefined ? rules?.get(ANY_PORT) : own;
    return rule?.access === undefined ? closed : { access: rule.access, token: rule.token };
  }

  /** Answers the same token again while the access is the same. */
  expose(sandbox: Sandbox, port: number, access: Access): void {
    const rule = this.#rule(sandbox, port);
    if (rule.access === access) return;
    rule.access = access;
    rule.token = access === Access.TOKEN ? randomBytes(secretBytes).toString("hex") : "";
  }

  /** Voids every token and ticket of it. */
  unexpose(sandbox: Sandbox, port: number): void {
    this.#rules.get(sandbox)?.delete(port);
  }

  /** Lets its bearer reach the port until its time is over. */
  ticket(sandbox: Sandbox, port: number, lifetimeMs: number): Ticket {
    const expiresMs = this.#clock.now() + lifetimeMs;
    const text = `${expiresMs.toString(36)}.`;
    const { secret } = this.#rule(sandbox, port);
    const { token } = this.access(sandbox, port);
    return { text: text + sign(secret, [port, token, text]), expiresMs };
  }

  /** Throws `unauthenticated` unless what was brought is enough; answers the ticket to go on with, if one is needed. */
  admit(sandbox: Sandbox, { port, owner, token, ticket }: Brought): Ticket | undefined {
    const { access, token: wanted } = this.access(sandbox, port);
    if (owner || access === Access.PUBLIC) return undefined;
    const expiresMs = this.#expiryOf(sandbox, port, { ticket, token: wanted });
    if (expiresMs !== undefined) return { text: ticket, expiresMs };
    if (access === Access.TOKEN && token !== "" && equalSecrets(token, wanted)) {
      return this.ticket(sandbox, port, tradedTicketMs);
    }
    const how =
      access === Access.TOKEN
        ? "it needs its token, in the header Syla-Port-Token or in the address as syla_token"
        : "it is private: send the API key, or open a link to it";
    const message = `Cannot reach port ${port} of sandbox ${sandbox.message.id}: ${how}.`;
    throw new SylaError("unauthenticated", message);
  }

  #rule(sandbox: Sandbox, port: number): Rule {
    const rules = this.#rules.get(sandbox) ?? new Map<number, Rule>();
    this.#rules.set(sandbox, rules);
    const rule = rules.get(port) ?? fresh();
    rules.set(port, rule);
    return rule;
  }

  /** When a ticket of the port ends; undefined when it is none, or has. */
  #expiryOf(
    sandbox: Sandbox,
    port: number,
    { ticket, token }: Pick<Brought, "ticket" | "token">,
  ): number | undefined {
    const rule = this.#rules.get(sandbox)?.get(port);
    const [, text, signature] = /^([0-9a-z]{1,11}\.)([\w-]{43})$/.exec(ticket) ?? [];
    if (rule === undefined || text === undefined || signature === undefined) return undefined;
    const expiresMs = Number.parseInt(text, 36);
    const valid = equalSecrets(signature, sign(rule.secret, [port, token, text]));
    return valid && expiresMs > this.#clock.now() ? expiresMs : undefined;
  }
}

function fresh(): Rule {
  return { access: undefined, token: "", secret: randomBytes(secretBytes) };
}

// With the token that was in force, which may be that of all ports: without it, the ticket is void too.
function sign(secret: Buffer, parts: readonly (string | number)[]): string {
  return createHmac("sha256", secret).update(parts.join(" ")).digest("base64url");
}
