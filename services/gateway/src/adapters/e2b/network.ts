// E2B's rules for what a sandbox reaches, as the contract's policy.
import { isIP } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type NetworkPolicy,
  NetworkPolicy_Mode as Mode,
  type NetworkPolicySchema,
  type NetworkRule,
  type NetworkRuleSchema,
} from "@syla/contract/syla/sandbox/v1/network";
import { Refusal } from "./errors.ts";
import type { Fields } from "./fields.ts";

type PolicyInit = MessageInitShape<typeof NetworkPolicySchema>;

const everything = "0.0.0.0/0";
const absent = ["egressProxy", "httpsPorts", "maskRequestHost"];

/**
 * The policy that a request for a sandbox asks for; undefined when it asks for none, which here means no network: a
 * client that wants one says so.
 */
export function networkOf(fields: Fields): PolicyInit | undefined {
  const network = fields.inside("network");
  // Who may come in is another matter: control.ts.
  const rules = network.names().filter((name) => name !== "allowPublicTraffic");
  const asked = fields.has("allow_internet_access") || rules.length > 0;
  return asked ? changedNetwork(network, fields) : undefined;
}

/** The policy that a change asks for: what it leaves out is not restricted, as there. */
export function changedNetwork(network: Fields, access: Fields = network): PolicyInit {
  const missing = absent.find((name) => network.has(name));
  if (missing !== undefined) {
    throw new Refusal("invalid_argument", `network.${missing} is not supported`);
  }
  const allowOut = network.texts("allowOut");
  const denyOut = network.texts("denyOut");
  const closed = access.has("allow_internet_access") && !access.flag("allow_internet_access");
  const inject = injections(network.inside("rules"));
  const open = allowOut.includes(everything);
  if (!open && (closed || denyOut.includes(everything) || denyOut.length === 0)) {
    const unrestricted = !closed && denyOut.length === 0 && allowOut.length === 0;
    if (unrestricted) return { mode: Mode.FULL, inject };
    if (allowOut.length === 0) return { mode: Mode.NONE };
    return { mode: Mode.ALLOW_LIST, allow: allowOut.map(ruleOf), inject };
  }
  if (open) return { mode: Mode.FULL, inject };
  return { mode: Mode.FULL, allow: allowOut.map(ruleOf), deny: denyOut.map(ruleOf), inject };
}

/** A policy as E2B's clients are told of it; headers are not answered. */
export function networkView(policy: NetworkPolicy | undefined): object {
  const mode = policy?.mode ?? Mode.NONE;
  const allowInternetAccess = mode !== Mode.NONE;
  const text = ({ target }: NetworkRule) => target.value ?? "";
  const deny = mode === Mode.ALLOW_LIST ? [everything] : (policy?.deny.map(text) ?? []);
  const network = { allowOut: policy?.allow.map(text) ?? [], denyOut: deny };
  return { allowInternetAccess, ...(allowInternetAccess ? { network } : {}) };
}

function ruleOf(text: string): MessageInitShape<typeof NetworkRuleSchema> {
  const isRange = isIP(text.split("/")[0] ?? "") !== 0;
  return { target: { case: isRange ? "range" : "domain", value: text } };
}

function injections(rules: Fields) {
  return rules.names().flatMap((host) =>
    rules.list(host).flatMap((rule) => {
      const headers = rule.inside("transform").map("headers");
      return Object.entries(headers).map(([header, value]) => {
        // What stands for a secret here is a text there.
        if (value.includes("${")) {
          throw new Refusal(
            "invalid_argument",
            `the header ${header} has \${, which is not supported`,
          );
        }
        return { host, header, value };
      });
    }),
  );
}
