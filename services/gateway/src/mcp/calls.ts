// Which calls of which session run, so that one can be cancelled by a message of its own. A session is nothing else:
// its id is the client's to show, nothing is kept for it between calls, and a platform that was started anew knows it
// as well as any. Only that a client ended one is remembered, for as long as there is room.
import type { CallContext } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { type RequestId, RpcError, rpcCodes } from "./rpc.ts";

const endedMax = 10_000;

/** The calls that run. */
export class McpCalls {
  readonly #sessions = new Map<string, Map<RequestId, CallContext>>();
  readonly #ended = new Set<string>();

  /** Notes a call; answers how to forget it. Without a session it cannot be named, and is not noted. */
  begin(session: string | undefined, id: RequestId, context: CallContext): () => void {
    if (session === undefined) return () => undefined;
    const calls = this.#sessions.get(session) ?? new Map<RequestId, CallContext>();
    if (calls.has(id)) {
      throw new RpcError(
        rpcCodes.invalidRequest,
        `Cannot take the call: one with its id still runs.`,
      );
    }
    this.#sessions.set(session, calls.set(id, context));
    return () => {
      calls.delete(id);
      if (calls.size === 0 && this.#sessions.get(session) === calls) this.#sessions.delete(session);
    };
  }

  /** Ends a call of a session, if it still runs. */
  cancel(session: string | undefined, id: RequestId): void {
    if (session !== undefined) this.#sessions.get(session)?.get(id)?.abort(cancelled());
  }

  /** Ends a session with all its calls. */
  end(session: string): void {
    for (const context of this.#sessions.get(session)?.values() ?? []) context.abort(cancelled());
    this.#ended.delete(session);
    this.#ended.add(session);
    const [oldest] = this.#ended;
    if (this.#ended.size > endedMax && oldest !== undefined) this.#ended.delete(oldest);
  }

  /** Whether its client ended it. */
  isEnded(session: string): boolean {
    return this.#ended.has(session);
  }
}

function cancelled(): SylaError {
  return new SylaError("cancelled", "The client cancelled the call.");
}
