// What a sandbox may reach, as it is written on a command line and shown.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type NetworkPolicy,
  NetworkPolicy_Mode as Mode,
  type NetworkPolicySchema,
  type NetworkRule,
  type NetworkRuleSchema,
} from "@syla/contract/syla/sandbox/v1/network";
import { usageFailure } from "./failure.ts";

/** Reads `none`, `full` or `allow:HOST[:PORT],…`; a host is a name, `*.` and one, an address or a range of them. */
export function parseNetwork(text: string): MessageInitShape<typeof NetworkPolicySchema> {
  if (text === "none") return { mode: Mode.NONE };
  if (text === "full") return { mode: Mode.FULL };
  const [, list = ""] = /^allow:(.+)$/.exec(text) ?? [];
  const allow = list.split(",").map(parseRule);
  if (list === "" || allow.includes(undefined)) {
    throw usageFailure(
      `Cannot read --network '${text}': write none, full, or for example allow:example.com:443,10.0.0.0/8.`,
    );
  }
  return { mode: Mode.ALLOW_LIST, allow: allow.filter((rule) => rule !== undefined) };
}

function parseRule(text: string): MessageInitShape<typeof NetworkRuleSchema> | undefined {
  // An IPv6 address has colons of its own, so that it takes brackets to have a port.
  const [, bracketed, bare, port] =
    /^(?:\[([^\]]+)\]|([^:]+|[^:]*:.*:.*?))(?::(\d+))?$/.exec(text) ?? [];
  const value = bracketed ?? bare;
  if (value === undefined) return undefined;
  const isRange = /^[\d./]+$/.test(value) || value.includes(":");
  return {
    target: { case: isRange ? "range" : "domain", value },
    ports: port === undefined ? [] : [Number(port)],
  };
}

/** A policy in one line. */
export function describeNetwork(policy: NetworkPolicy | undefined): string {
  const mode = policy?.mode ?? Mode.NONE;
  const rules = (list: readonly NetworkRule[] = []) => list.map(describeRule).join(", ");
  if (mode === Mode.ALLOW_LIST) return `allows ${rules(policy?.allow)}`;
  if (mode !== Mode.FULL) return "none";
  const denied = rules(policy?.deny);
  const excepted = rules(policy?.allow);
  return `full${denied && ` but ${denied}`}${denied && excepted && `, and yet ${excepted}`}`;
}

function describeRule({ target, ports }: NetworkRule): string {
  const value = target.value ?? "";
  if (ports.length === 0) return value;
  return `${value.includes(":") ? `[${value}]` : value}:${ports.join("+")}`;
}
