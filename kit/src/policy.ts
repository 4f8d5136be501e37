// Reads from a descriptor what the contract says of a method beyond its shape (syla.options.v1).
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Example, ServerSentEvents, Tool } from "@syla/contract/syla/options/v1/options";
import {
  method as methodOption,
  service as serviceOption,
} from "@syla/contract/syla/options/v1/options";

const defaultTimeoutMs = 30_000;

/** What the contract says of one method. */
export interface MethodPolicy {
  /** The bound of a unary call whose caller names no deadline; a stream has none. */
  readonly timeoutMs: number;
  /** Reads only: a GraphQL query, may be retried. */
  readonly readOnly: boolean;
  /** May be sent again without harm. */
  readonly idempotent: boolean;
  /** The path template of the resource a successful call created. */
  readonly location: string | undefined;
  readonly serverSentEvents: ServerSentEvents | undefined;
  readonly examples: readonly Example[];
  /** Request field (local name) that a resumed stream fills. */
  readonly resumeField: string | undefined;
  /** Response field (local name) that is a stream event's place. */
  readonly cursorField: string | undefined;
  /** How language models are offered it, when they are. */
  readonly tool: Tool | undefined;
  /** What a request has in itself is all that is needed: nobody is asked for a key. */
  readonly signed: boolean;
}

function localName(fields: readonly { name: string; localName: string }[], name: string) {
  if (name === "") return undefined;
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`Cannot find the field ${name} that a policy names.`);
  return field.localName;
}

/** The policy of a method, with every default filled in. */
export function methodPolicy(method: DescMethod): MethodPolicy {
  const given = hasOption(method, methodOption) ? getOption(method, methodOption) : undefined;
  const level = method.idempotency;
  const readOnly = level === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  return {
    timeoutMs:
      given?.timeout === undefined ? defaultTimeoutMs : Number(given.timeout.seconds) * 1000,
    readOnly,
    idempotent: readOnly || level === MethodOptions_IdempotencyLevel.IDEMPOTENT,
    location: given?.location === "" ? undefined : given?.location,
    serverSentEvents: given?.serverSentEvents,
    examples: given?.examples ?? [],
    resumeField: localName(method.input.fields, given?.resumeField ?? ""),
    cursorField: localName(method.output.fields, given?.cursorField ?? ""),
    tool: given?.tool,
    signed: given?.signed ?? false,
  };
}

/** Whether only other services call it, so that no surface publishes it. */
export function isInternal(service: DescService): boolean {
  return hasOption(service, serviceOption) && getOption(service, serviceOption).internal;
}
