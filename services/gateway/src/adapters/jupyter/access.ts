// Who may use Jupyter's API: whoever brings the installation's key, as the token that Jupyter's clients ask their user
// for, in a header or in the address.
import type { IncomingMessage } from "node:http";
import { SylaError } from "@syla/kit/error";
import type { LocalKey } from "@syla/kit/local-key";
import { queryOf } from "../../adapters.ts";

const headerShape = /^(?:token|bearer)\s+(\S+)\s*$/i;

/** Throws `token_refused` when a request does not bring the key. */
export function checkToken(key: LocalKey, request: IncomingMessage): void {
  const { authorization } = request.headers;
  const given =
    authorization === undefined
      ? queryOf(request).get("token")
      : headerShape.exec(authorization)?.[1];
  if (!key.matches(given ?? "")) {
    throw new SylaError("token_refused", "Forbidden: the token is missing or wrong.");
  }
}

/**
 * The same of a handshake; one that brings no token passes where the gateway's own calls need no key either. nbclient
 * and papermill bring theirs to every request but this one, and have no setting to change that.
 */
export function checkHandshake(
  key: LocalKey,
  request: IncomingMessage,
  { isKeyRequired }: { readonly isKeyRequired: boolean },
): void {
  const bringsNone = request.headers.authorization === undefined && !queryOf(request).has("token");
  if (isKeyRequired || !bringsNone) checkToken(key, request);
}
