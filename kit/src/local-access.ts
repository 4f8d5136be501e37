// Who asks, as one interceptor. Until there is an auth service, whoever has the installation's key is its owner, and
// where a key is required nobody else's calls pass. That service takes over here: what it finds is a principal too.
import type { DescMethod } from "@bufbuild/protobuf";
import type { CallContext, HeaderSource, Principal } from "./call.ts";
import type { Interceptor } from "./dispatch.ts";
import { SylaError } from "./error.ts";
import type { LocalKey } from "./local-key.ts";
import { isInternal, methodPolicy } from "./policy.ts";

/** Who has the key. */
export const owner: Principal = { name: "owner" };

export interface LocalAccessOptions {
  readonly key: LocalKey;
  /** Calls that come by a surface without the key are refused. */
  readonly required: boolean;
}

/** Calls that no surface took in: one part of the platform asks another on its own account. */
const inside = "memory";
/** What tells whether the platform is well tells it to everybody. */
const open = new Set(["grpc.health.v1.Health"]);

/**
 * The interceptor. What only services call is not its matter: no surface has it. It belongs before
 * whatever looks at a request.
 */
export function localAccess(options: LocalAccessOptions): Interceptor {
  const isOpen = (method: DescMethod) =>
    !options.required ||
    open.has(method.parent.typeName) ||
    isInternal(method.parent) ||
    methodPolicy(method).signed;
  return {
    name: "access",
    unary: (method, next) => {
      if (isOpen(method)) return next;
      return (request, context) => {
        assertOwner(options.key, context);
        return next(request, context);
      };
    },
    stream: (method, next) => {
      if (isOpen(method)) return next;
      return (request, context) => {
        assertOwner(options.key, context);
        return next(request, context);
      };
    },
  };
}

function assertOwner(key: LocalKey, context: CallContext): void {
  if (context.surface === inside) return;
  context.principal ??= bringsKey(key, context.headers) ? owner : undefined;
  if (context.principal === undefined) throw keyMissing();
}

/** The refusal of who does not bring the key. */
export function keyMissing(): SylaError {
  const message =
    "Cannot tell who asks: send the API key, which is in the file api-key of the data folder, as Authorization: Bearer or X-API-Key.";
  return new SylaError("unauthenticated", message);
}

/** Whether the headers of a call have the key, in one of the ways in which clients send one. */
export function bringsKey(key: LocalKey, headers: HeaderSource): boolean {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  const given = [bearer, headers.get("x-api-key"), headers.get("x-auth-token")];
  return given.some((text) => text !== undefined && isKey(key, text));
}

/** Whether a text is the key; E2B's clients take only one that begins with `e2b_`. */
export function isKey(key: LocalKey, text: string): boolean {
  return key.matches(text.replace(/^e2b_/, "syla_"));
}
