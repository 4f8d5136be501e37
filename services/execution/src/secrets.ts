// The secrets of a spec. They are taken off it when an execution is accepted, so that the spec that goes on, and is
// written down while it waits, only names them: a later start of the platform then knows that there were some, and
// that it does not have them.
import type { ExecutionSpec } from "@syla/contract/syla/execution/v1/spec";
import type { NetworkPolicy } from "@syla/contract/syla/sandbox/v1/network";
import type { Violation } from "@syla/kit/error";
import { maskedBytesMin, maskedPart } from "./mask.ts";

/** What a spec does not have itself. */
export interface Secrets {
  /** Values by the names of their environment variables. */
  readonly variables: Readonly<Record<string, string>>;
  /** The whole policy, with the values of headers. */
  readonly network: NetworkPolicy | undefined;
}

/** All values of an execution together: they are in memory while it waits, and five times that while it is masked. */
const secretsBytesMax = 64 * 1024;

/** A spec that only names its secrets, and the secrets. */
export function withholdSecrets(spec: ExecutionSpec): {
  readonly spec: ExecutionSpec;
  readonly secrets: Secrets;
} {
  const secrets = { variables: spec.secrets, network: spec.network };
  if (!namesSecrets(spec)) return { spec, secrets };
  const named = namesOf(spec.secrets);
  const network = spec.network && withoutValues(spec.network);
  return { spec: { ...spec, secrets: named, ...(network && { network }) }, secrets };
}

function namesOf(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, ""]));
}

function withoutValues(policy: NetworkPolicy): NetworkPolicy {
  const inject = policy.inject.map((rule) => ({ ...rule, value: "" }));
  return { ...policy, inject, secrets: namesOf(policy.secrets) };
}

/** Whether a spec has secrets, or had them before they were withheld. */
export function namesSecrets({ secrets, network }: ExecutionSpec): boolean {
  const { inject = [], secrets: named = {} } = network ?? {};
  return [secrets, inject, named].some((values) => Object.keys(values).length > 0);
}

/** What is wrong with a spec's secrets; `pointer` says where they are. No value is told. */
export function secretFaults(spec: ExecutionSpec, pointer: string): Violation[] {
  const { secrets, env, maskSecrets } = spec;
  const faults: Violation[] = [];
  let bytes = 0;
  for (const [name, value] of Object.entries(secrets)) {
    const at = `${pointer}/${name}`;
    bytes += Buffer.byteLength(value);
    if (Object.hasOwn(env, name)) {
      faults.push({ pointer: at, detail: "is in env too", rule: "secrets.unique" });
    }
    if (maskSecrets && maskedPart(value).length < maskedBytesMin) {
      const detail = `cannot be masked: it must have ${maskedBytesMin} bytes besides white space around it`;
      faults.push({ pointer: at, detail, rule: "secrets.short" });
    }
  }
  if (bytes > secretsBytesMax) {
    const detail = `take ${bytes} bytes together, more than ${secretsBytesMax}`;
    faults.push({ pointer, detail, rule: "secrets.size" });
  }
  return faults;
}
