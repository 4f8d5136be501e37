// The methods of the Model Context Protocol that a server of tools has
// (https://modelcontextprotocol.io/specification/2025-11-25): the handshake, a ping, the list, the call.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import { toSylaError } from "@syla/kit/error";
import { comments } from "../openapi/comments.ts";
import { toolAnswer } from "./content.ts";
import { isObject, isRequestId, RpcError, rpcCodes, rpcNotification } from "./rpc.ts";
import { callTool, type McpTool, type OnPrinted, toolDefinition, toolFailure } from "./tools.ts";

/** The newest first. What differs between them is not used here but for batches, which only 2025-03-26 has. */
export const protocolVersions: readonly string[] = [
  "2025-11-25",
  "2025-06-18",
  "2025-03-26",
  "2024-11-05",
];

/** What a server is made of. */
export interface McpServerOptions {
  readonly tools: ReadonlyMap<string, McpTool>;
  readonly version: string;
  readonly log: { error(facts: object, message: string): void };
}

/** Where a request came from. */
export interface McpCaller {
  /** The context of this one request. */
  readonly context: CallContext;
  /** Sends something to the client before the answer. */
  readonly notify: (message: JsonObject) => Promise<void> | undefined;
}

/** Answers a request; throws an `RpcError`, or what the caller has to be refused for. */
export type McpServer = (
  method: string,
  params: JsonObject,
  caller: McpCaller,
) => Promise<JsonObject>;

const instructions = `Runs programs in jails of their own, within bounds; only a sandbox can be given a network.
Use run_code for a program that stands alone: nothing of it stays.
Where work takes several steps, create_sandbox answers an id; with it, write_files, run_process, read_file and the
others work in one place until kill_sandbox or the end of its lifetime. Paths are absolute or below /work.
Where variables are to stay from one piece of code to the next, create_session answers an id for run_cell.
A program that fails is an answer, with its exit code and what it printed, not an error of the tool.`;

// A notification is read by a person, or by nobody.
const printedCharsMax = 8192;

/** Makes the server. */
export function createMcpServer({ tools, version, log }: McpServerOptions): McpServer {
  let definitions: JsonObject[] | undefined;
  const listTools = (): JsonObject[] => {
    const texts = comments();
    return [...tools.values()].map((tool) => toolDefinition(tool, texts));
  };
  return async (method, params, caller) => {
    switch (method) {
      case "initialize":
        return handshake(params, version);
      case "ping":
        return {};
      case "tools/list":
        if (params["cursor"] !== undefined) throw invalidParams("there is only one page");
        return { tools: (definitions ??= listTools()) };
      case "tools/call":
        return call(tools, params, caller, log);
      default:
        throw new RpcError(rpcCodes.methodNotFound, `There is no method ${method.slice(0, 100)}.`);
    }
  };
}

function handshake({ protocolVersion }: JsonObject, version: string): JsonObject {
  const [newest = ""] = protocolVersions;
  const asked = typeof protocolVersion === "string" ? protocolVersion : "";
  return {
    protocolVersion: protocolVersions.includes(asked) ? asked : newest,
    capabilities: { tools: {} },
    serverInfo: { name: "syla", title: "Syla", version },
    instructions,
  };
}

function invalidParams(why: string): RpcError {
  return new RpcError(rpcCodes.invalidParams, `Cannot take the call: ${why}.`);
}

async function call(
  tools: ReadonlyMap<string, McpTool>,
  params: JsonObject,
  caller: McpCaller,
  log: McpServerOptions["log"],
): Promise<JsonObject> {
  const { name, arguments: given = {}, _meta: meta } = params;
  const tool = typeof name === "string" ? tools.get(name) : undefined;
  if (tool === undefined) {
    const said = JSON.stringify(name ?? null).slice(0, 100);
    throw invalidParams(`there is no tool ${said}; known are ${[...tools.keys()].join(", ")}`);
  }
  if (!isObject(given)) throw invalidParams("its arguments are not an object");
  const { context } = caller;
  try {
    const onPrinted = progressTeller(isObject(meta) ? meta["progressToken"] : undefined, caller);
    const message = await callTool(tool, given, context, onPrinted);
    return { ...toolAnswer(tool.answer, message) };
  } catch (thrown) {
    const error = toSylaError(thrown);
    // A client without credentials gets them by what HTTP has for that.
    if (error.status === "unauthenticated") throw error;
    if (error.code === "internal" && context.aborted === undefined) {
      log.error({ error: error.cause ?? error, tool: tool.name }, "a tool's call failed");
    }
    return toolFailure(tool, error);
  }
}

// Tells what a tool prints to a client that asked for progress.
function progressTeller(token: JsonValue | undefined, { notify }: McpCaller): OnPrinted {
  if (!isRequestId(token)) return () => undefined;
  let progress = 0;
  return (text) => {
    progress += 1;
    const message = text.slice(0, printedCharsMax).toWellFormed();
    const told = { progressToken: token, progress, message };
    return notify(rpcNotification("notifications/progress", told));
  };
}
