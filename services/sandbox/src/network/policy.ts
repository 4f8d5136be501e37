// What a sandbox's policy says of a host, an address and a port. Pure rules: what is refused whatever it says is the
// guard's.
import { clone, create } from "@bufbuild/protobuf";
import {
  type HeaderInjection,
  type NetworkPolicy,
  NetworkPolicy_Mode as Mode,
  NetworkPolicySchema,
  type NetworkRule,
} from "@syla/contract/syla/sandbox/v1/network";
import type { Violation } from "@syla/kit/error";
import { type Address, isIn, parseRange } from "./address.ts";
import { domainMatcher, type Target } from "./host.ts";

/** Why a connection is refused or failed; the contract lists them. */
export type Reason =
  | "off"
  | "not_allowed"
  | "denied"
  | "address"
  | "name"
  | "host_mismatch"
  | "sni_mismatch"
  | "sni_missing"
  | "ech"
  | "not_tls"
  | "not_http"
  | "too_many"
  | "bad_request"
  | "policy_changed"
  | "unreachable"
  | "certificate";

/** What the rules say of a target. */
export type Verdict =
  | {
      readonly kind: "allowed";
      readonly rule: string;
      /** An exception to what is denied, which then is not asked about its addresses. */
      readonly excepted: boolean;
    }
  | { readonly kind: "refused"; readonly reason: Reason; readonly message: string };

/** A header to put in. */
export interface Injected {
  readonly header: string;
  readonly value: string;
  readonly plainHttp: boolean;
}

interface Rule {
  readonly text: string;
  readonly ports: ReadonlySet<number> | undefined;
  readonly matchesName?: (name: string) => boolean;
  readonly matchesAddress?: (address: Address) => boolean;
}

interface Injection extends Injected {
  /** Of names that fit one host, a longer one says more of it. */
  readonly nameChars: number;
  readonly matches: (name: string) => boolean;
}

/** Ports of a domain that is allowed without any. */
const webPorts: ReadonlySet<number> = new Set([80, 443]);
/** Headers that say how a request is sent, not what it asks for. */
const framing = new Set([
  ...["host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade"],
  ...["keep-alive", "proxy-connection", "proxy-authorization", "expect"],
]);

/** A policy that can be asked. */
export class Policy {
  readonly mode: Mode;
  readonly #allow: readonly Rule[];
  readonly #deny: readonly Rule[];
  readonly #inject: readonly Injection[];

  /** The message has no violations. */
  constructor(message: NetworkPolicy) {
    this.mode = message.mode === Mode.MODE_UNSPECIFIED ? Mode.NONE : message.mode;
    this.#allow = message.allow.map((rule) => ruleOf(rule, webPorts));
    this.#deny = message.deny.map((rule) => ruleOf(rule, undefined));
    this.#inject = message.inject.map(({ host, header, value, plainHttp }) => {
      const matches = domainMatcher(host) ?? (() => false);
      const filledIn = filled(value, message.secrets);
      return {
        matches,
        header,
        plainHttp,
        value: filledIn,
        nameChars: host.replace("*", "").length,
      };
    });
  }

  /** Of a name before it is looked up, or of an address that was asked for as such. */
  judge({ host, port, address }: Pick<Target, "host" | "port" | "address">): Verdict {
    if (this.mode === Mode.NONE) {
      return { kind: "refused", reason: "off", message: "the sandbox has no network" };
    }
    const fits = (rule: Rule) =>
      rule.ports?.has(port) !== false &&
      (address === undefined ? rule.matchesName?.(host) : rule.matchesAddress?.(address)) === true;
    const allowed = this.#allow.find(fits);
    if (allowed !== undefined) return { kind: "allowed", rule: allowed.text, excepted: true };
    if (this.mode === Mode.ALLOW_LIST) {
      return { kind: "refused", reason: "not_allowed", message: "no rule allows it" };
    }
    const denied = this.#deny.find(fits);
    if (denied !== undefined) return deniedBy(denied);
    return { kind: "allowed", rule: "full", excepted: false };
  }

  /** Of an address that an allowed name leads to. */
  judgeResolved(verdict: Verdict, address: Address, port: number): Verdict {
    if (verdict.kind === "refused" || verdict.excepted) return verdict;
    const asked = this.judge({ host: address.text, port, address });
    return asked.kind === "refused" ? asked : verdict;
  }

  /** Whether what a connection says of its host, inside, decides too: else another name is served from there. */
  asksForNames({ address }: Pick<Target, "address">): boolean {
    if (this.mode === Mode.ALLOW_LIST) return address === undefined;
    return this.#deny.some(({ matchesName }) => matchesName !== undefined);
  }

  /** Whether a connection to a target may ask for a name inside. */
  allowsInside(target: Target, name: string): boolean {
    if (target.host === name) return true;
    if (this.mode !== Mode.FULL) return false;
    return this.judge({ host: name, port: target.port, address: undefined }).kind === "allowed";
  }

  /** The headers of requests to a host: of several rules for one header, what the longest name says, or the last. */
  injected({ host, address }: Pick<Target, "host" | "address">): readonly Injected[] {
    if (address !== undefined) return [];
    const fitting = this.#inject.filter(({ matches }) => matches(host));
    const sorted = fitting.toSorted((a, b) => a.nameChars - b.nameChars);
    return [...new Map(sorted.map((one) => [one.header.toLowerCase(), one])).values()];
  }

  get injects(): boolean {
    return this.#inject.length > 0;
  }
}

/** What is wrong with a policy beyond what the rules of the contract say; `pointer` is where it stands. */
export function policyViolations(policy: NetworkPolicy, pointer: string): readonly Violation[] {
  const { mode, allow, deny, inject, secrets } = policy;
  const wrong = (at: string, detail: string): Violation => {
    return { pointer: `${pointer}${at}`, detail, rule: "network_policy" };
  };
  const rules = (list: readonly NetworkRule[], name: string) =>
    list.flatMap(({ target }, n) => {
      if (target.case === "domain" && domainMatcher(target.value) === undefined) {
        return [wrong(`/${name}/${n}/domain`, "is not the name of a host, nor *. and one")];
      }
      if (target.case === "range" && parseRange(target.value) === undefined) {
        return [wrong(`/${name}/${n}/range`, "is neither an address nor a range of addresses")];
      }
      return [];
    });
  const unused = mode === Mode.FULL || deny.length === 0 ? [] : [wrong("/deny", "goes with FULL")];
  const headers = inject.flatMap(({ host, header, value }, n) => [
    ...(domainMatcher(host) === undefined
      ? [wrong(`/inject/${n}/host`, "is not the name of a host, nor *. and one")]
      : []),
    ...(framing.has(header.toLowerCase())
      ? [wrong(`/inject/${n}/header`, "is a header that the proxy sets itself")]
      : []),
    ...(value === "" ? [wrong(`/inject/${n}/value`, "is empty")] : []),
    ...secretNames(value)
      .filter((name) => !Object.hasOwn(secrets, name))
      .map((name) => wrong(`/inject/${n}/value`, `names the secret ${name}, which is not there`)),
  ]);
  return [...rules(allow, "allow"), ...rules(deny, "deny"), ...unused, ...headers];
}

/** A policy that replaces one: values and secrets that it leaves out are what they were. */
export function mergeSecrets(next: NetworkPolicy, before: NetworkPolicy): NetworkPolicy {
  const merged = clone(NetworkPolicySchema, next);
  for (const rule of merged.inject) {
    const same = (other: HeaderInjection) =>
      other.host === rule.host && other.header.toLowerCase() === rule.header.toLowerCase();
    if (rule.value === "") rule.value = before.inject.find(same)?.value ?? "";
  }
  const named = new Set(merged.inject.flatMap(({ value }) => secretNames(value)));
  const all = { ...before.secrets, ...next.secrets };
  merged.secrets = Object.fromEntries(Object.entries(all).filter(([name]) => named.has(name)));
  return merged;
}

/** A policy without its secrets. */
export function publicPolicy(policy: NetworkPolicy): NetworkPolicy {
  const told = clone(NetworkPolicySchema, policy);
  for (const rule of told.inject) rule.value = "";
  return create(NetworkPolicySchema, { ...told, secrets: {} });
}

function ruleOf({ target, ports }: NetworkRule, domainPorts: ReadonlySet<number> | undefined) {
  const given = ports.length > 0 ? new Set(ports) : undefined;
  const text = `${target.value ?? ""}${ports.length > 0 ? `:${ports.join(",")}` : ""}`;
  if (target.case === "domain") {
    const matchesName = domainMatcher(target.value) ?? (() => false);
    return { text, ports: given ?? domainPorts, matchesName };
  }
  const range = parseRange(target.value ?? "");
  const matchesAddress = (address: Address) => range !== undefined && isIn(address, range);
  return { text, ports: given, matchesAddress };
}

function deniedBy({ text }: Rule): Verdict {
  return { kind: "refused", reason: "denied", message: `the rule ${text} denies it` };
}

const secretShape = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

function secretNames(value: string): string[] {
  return [...value.matchAll(secretShape)].map(([, name = ""]) => name);
}

function filled(value: string, secrets: Readonly<Record<string, string>>): string {
  return value.replaceAll(secretShape, (_, name: string) => secrets[name] ?? "");
}
