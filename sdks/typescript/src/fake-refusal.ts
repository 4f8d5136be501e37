// What a fake platform refuses, as the real one words it on the wire.
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@syla/contract/google/rpc/error_details";

/** A refusal with a code of the catalogue. */
export function refusal(reason: string, message: string): ConnectError {
  const code = reason.endsWith("not_found") ? Code.NotFound : Code.InvalidArgument;
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "syla" } };
  return new ConnectError(message, code, undefined, [info]);
}
