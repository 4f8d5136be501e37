// E2B's code interpreter: what its SDKs ask of a sandbox at a port of its own, over SessionService.
import { Sandbox_Status as Status } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SylaError } from "@syla/kit/error";
import { statuses } from "@syla/kit/error-status";
import type { LocalKey } from "@syla/kit/local-key";
import {
  type Adapter,
  type AdapterRequest,
  type AdapterRoute,
  jsonReply,
  type Reply,
  type WholeReply,
} from "../../adapters.ts";
import { codePort, type Entrance, reachSandbox, sandboxHeader } from "./access.ts";
import { contextOf, type Contexts, noContext } from "./contexts.ts";
import { errorReply, goneReply, isGone, Refusal, sentence } from "./errors.ts";
import { execute, type Executor } from "./execution.ts";
import { Fields } from "./fields.ts";

/** What the code interpreter is made of. */
export interface CodeOptions extends Executor {
  readonly contexts: Contexts;
  readonly key: LocalKey;
}

/** The SDKs bring a sandbox's own token when they run code, and with all else that of its ports alone. */
const forContexts: Entrance = { ports: [codePort], traffic: true };
const forCode: Entrance = { ports: [codePort] };

type Handle = (request: AdapterRequest, sandbox: string) => Promise<Reply>;

/** The adapter of the code interpreter. */
export function codeAdapter(options: CodeOptions): Adapter {
  const { sessions, contexts } = options;
  const serve = (httpVerb: AdapterRoute["httpVerb"], path: string, handle: Handle) => {
    const entrance = path === "/execute" ? forCode : forContexts;
    const guarded = (request: AdapterRequest) => guard(options, request, entrance, handle);
    return { httpVerb, path, handle: guarded };
  };
  const routes: readonly AdapterRoute[] = [
    serve("POST", "/execute", (request, sandbox) => run(options, request, sandbox)),
    serve("GET", "/contexts", async ({ context: parent }, sandbox) => {
      return jsonReply(200, (await contexts.list(sandbox, parent)).map(contextOf));
    }),
    serve("POST", "/contexts", async (request, sandbox) => {
      const fields = new Fields(await request.json());
      const spec = { language: fields.text("language"), cwd: fields.text("cwd") };
      return jsonReply(200, contextOf(await contexts.make(sandbox, spec, request.context)));
    }),
    serve("POST", "/contexts/:id/restart", async ({ context: parent, params }, sandbox) => {
      const { id } = await contexts.find(sandbox, params["id"] ?? "", parent);
      await sessions.restartSession({ id }, { parent });
      return jsonReply(200, null);
    }),
    serve("DELETE", "/contexts/:id", async ({ context: parent, params }, sandbox) => {
      const { id } = await contexts.find(sandbox, params["id"] ?? "", parent);
      await sessions.deleteSession({ id }, { parent });
      return jsonReply(200, null);
    }),
  ];
  return { name: "e2b-code", prefixes: [""], header: sandboxHeader, routes, explain };
}

async function guard(
  { key, sandboxes }: CodeOptions,
  request: AdapterRequest,
  entrance: Entrance,
  handle: Handle,
): Promise<Reply> {
  const reached = reachSandbox(key, request, entrance);
  if (reached.kind === "refused") return reached.reply;
  if (reached.kind === "stranger") return errorReply(401, reached.message);
  const { sandbox: id } = reached;
  try {
    // A session would wake a sandbox that is paused; there it is not to be reached.
    const { status } = await sandboxes.getSandbox({ id }, { parent: request.context });
    return status === Status.RUNNING ? await handle(request, id) : goneReply(id);
  } catch (thrown) {
    if (isGone(thrown)) return goneReply(id);
    if (thrown instanceof Refusal) return textReply(statuses[thrown.status].http, thrown.message);
    throw thrown;
  }
}

async function run(options: CodeOptions, request: AdapterRequest, sandbox: string): Promise<Reply> {
  const { contexts } = options;
  const { context: parent } = request;
  const fields = new Fields(await request.json());
  const [id, language] = [fields.text("context_id"), fields.text("language")];
  if (id !== "" && language !== "") {
    return textReply(400, "Only one of context_id or language can be provided");
  }
  const named = id !== "" && id !== "default";
  const session = named
    ? await contexts.find(sandbox, id, parent)
    : await contexts.byDefault(sandbox, language, parent);
  const spec = { code: fields.text("code"), env: fields.map("env_vars") };
  try {
    const chunks = await execute(options, session, spec, parent);
    return { kind: "stream", status: 200, contentType: "application/x-ndjson", chunks };
  } catch (thrown) {
    // It has ended since it was found.
    if (thrown instanceof SylaError && thrown.code === "session_ended") throw noContext(session.id);
    throw thrown;
  }
}

function explain(error: SylaError): WholeReply {
  return textReply(error.httpStatus, sentence(error));
}

/** Errors are told as text here, and nothing else. */
function textReply(status: number, text: string): WholeReply {
  return { kind: "whole", status, contentType: "text/plain; charset=utf-8", text };
}
