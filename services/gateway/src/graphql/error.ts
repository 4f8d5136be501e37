// Errors as GraphQL tells them: the same facts as a problem's, in `extensions`.
import { SylaError, toSylaError } from "@syla/kit/error";
import { GraphQLError, type GraphQLFormattedError } from "graphql";

/** Told of what was thrown that is no error of the catalogue. */
export interface ErrorLog {
  error(facts: object, message: string): void;
}

/** An error of an operation, as it is sent. */
export function formatError(
  error: GraphQLError,
  requestId: string,
  log: ErrorLog,
): GraphQLFormattedError {
  const known = errorOf(error);
  if (known.code === "internal")
    log.error({ error: known.cause, requestId }, "a GraphQL call failed");
  const { locations, path } = error.toJSON();
  const { violations, retryAfterMs } = known;
  return {
    message: known.message,
    ...(locations === undefined ? {} : { locations }),
    ...(path === undefined ? {} : { path }),
    extensions: {
      code: known.code,
      status: known.httpStatus,
      requestId,
      ...(violations.length === 0 ? {} : { violations }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  };
}

/** The error of the catalogue that a GraphQL error is. */
export function errorOf(error: GraphQLError): SylaError {
  const cause: unknown = error.cause ?? error.originalError;
  // What is wrong with a variable is the cause of a second error of GraphQL's own.
  if (cause instanceof GraphQLError) return errorOf(cause);
  // Without a cause it is GraphQL's own: the document or its variables are wrong.
  if (cause === undefined || cause === null) {
    return new SylaError("invalid_request", withoutValues(error.message));
  }
  return toSylaError(cause);
}

// It ends a message with the value that it found, which may be a whole request with its secrets.
function withoutValues(message: string): string {
  return message
    .replace(
      /(\?)?(?:[,;]? found|(?<=represent [\w -]*value)): [^]*$/i,
      (_, end?: string) => end ?? ".",
    )
    .replace(/ (String|BlockString|Int|Float) "[^]*"/, " $1");
}
