// Tools for language models, derived from the methods that the contract marks (`tool` in their policy): a name, schemas
// of arguments and answer, hints, and a call that goes through the one chain of interceptors like any other.
import type { DescField, DescMessage, JsonObject, JsonValue, Message } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import type { BoundMethod } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { invalidRequest } from "@syla/kit/validate";
import { Fold, foldField } from "./fold.ts";
import { textBlock } from "./content.ts";
import { answerSchema, argumentsSchema, argumentsWords } from "./schema.ts";
import type { Comments } from "../openapi/schema.ts";
import { toProblem } from "../problem.ts";
import { readMessage } from "../read-message.ts";
import type { RestRoute } from "../routes.ts";
import { findField } from "../shape.ts";

/** A method that models may call. */
export interface McpTool {
  readonly name: string;
  readonly method: BoundMethod;
  /** The field of the request whose fields stand beside the others. */
  readonly body: DescField | undefined;
  /** Fields of the request, or of its body, that are its arguments. */
  readonly fields: readonly DescField[];
  /** What a stream's answer is taken from. */
  readonly resultField: string;
  /** The message that it answers. */
  readonly answer: DescMessage;
}

/** What a tool printed so far, for whoever waits. */
export type OnPrinted = (text: string) => Promise<void> | undefined;

const nameShape = /^[a-z][a-z0-9_]{0,63}$/;

/** The tools by name; throws when the contract marks a method that cannot be one. */
export function mcpTools(routes: readonly RestRoute[]): ReadonlyMap<string, McpTool> {
  const tools = new Map<string, McpTool>();
  const seen = new Set<BoundMethod>();
  for (const route of routes) {
    if (route.method.policy.tool === undefined || seen.has(route.method)) continue;
    seen.add(route.method);
    const tool = toolOf(route);
    const other = tools.get(tool.name);
    if (other !== undefined) throw notATool(route.method, `${other.method.path} has its name`);
    tools.set(tool.name, tool);
  }
  return tools;
}

function toolOf({ method, binding }: RestRoute): McpTool {
  const { name = "", hidden = [], resultField = "" } = method.policy.tool ?? {};
  const { desc } = method;
  if (!nameShape.test(name)) throw notATool(method, `its name is ${JSON.stringify(name)}`);
  if (desc.methodKind !== "unary" && desc.methodKind !== "server_streaming") {
    throw notATool(method, "it takes a stream");
  }
  if ((desc.methodKind === "unary") !== (resultField === "")) {
    throw notATool(method, "a stream, and nothing else, has a result_field");
  }
  const body = binding.body.kind === "field" ? binding.body.field : undefined;
  const all = [
    ...desc.input.fields.filter((field) => field !== body),
    ...(body?.message?.fields ?? []),
  ];
  if (new Set(all.map(({ jsonName }) => jsonName)).size < all.length) {
    throw notATool(method, "two of its arguments have one name");
  }
  const unknown = hidden.find((one) => !all.some((field) => field.name === one));
  if (unknown !== undefined) throw notATool(method, `it has no ${unknown} to hide`);
  const fields = all.filter((field) => !hidden.includes(field.name));
  const answer = resultField === "" ? desc.output : foldField(desc.output, resultField).message;
  return { name, method, body, fields, resultField, answer };
}

function notATool({ path }: BoundMethod, why: string): Error {
  return new Error(`Cannot offer ${path} as a tool: ${why}.`);
}

/** A tool as a client lists it. */
export function toolDefinition(tool: McpTool, comments: Comments): JsonObject {
  const { desc, policy } = tool.method;
  const { title, description, destructive } = policy.tool ?? {};
  const comment = comments[`${desc.parent.typeName}.${desc.name}`];
  const words = [description || comment || desc.name, ...argumentsWords(tool.fields)];
  return {
    name: tool.name,
    title: title || tool.name,
    description: words.join(" "),
    inputSchema: argumentsSchema(tool.fields, comments),
    outputSchema: answerSchema(tool.answer, comments),
    annotations: {
      title: title || tool.name,
      readOnlyHint: policy.readOnly,
      destructiveHint: destructive ?? false,
      idempotentHint: policy.idempotent,
    },
  };
}

/** Calls a tool; throws what its method throws, and `invalid_request` for wrong arguments. */
export async function callTool(
  tool: McpTool,
  given: JsonObject,
  context: CallContext,
  onPrinted: OnPrinted,
): Promise<Message> {
  const { unary, stream, desc } = tool.method;
  const request = readMessage(tool.method, requestOf(tool, given));
  if (unary !== undefined) return unary(request, context);
  if (stream === undefined)
    throw new SylaError("unimplemented", `${tool.name} is not served here.`);
  const fold = new Fold(desc.output, tool.resultField);
  for await (const event of stream(request, context)) {
    const printed = fold.add(event);
    if (printed !== "") await onPrinted(printed);
  }
  return fold.result();
}

// Arguments as the request that they are shared out to. Those that no field is for stay among the body's, whose shape
// then tells them.
function requestOf({ method, body, fields }: McpTool, given: JsonObject): JsonObject {
  const input = method.desc.input;
  const own: (readonly [string, JsonValue])[] = [];
  const inner: (readonly [string, JsonValue])[] = [];
  for (const entry of Object.entries(given)) {
    const [name] = entry;
    const field = findField(input, name);
    const isOwn = body === undefined || (field !== undefined && field !== body);
    const known = isOwn ? field : body.message && findField(body.message, name);
    if (known !== undefined && !fields.includes(known)) {
      const detail = "is not an argument of this tool";
      throw invalidRequest([{ pointer: `/${name}`, detail, rule: "json.unknown_field" }]);
    }
    (isOwn ? own : inner).push(entry);
  }
  // `fromEntries` makes a field of any name, also of `__proto__`.
  const request = Object.fromEntries(own);
  return body === undefined ? request : { ...request, [body.jsonName]: Object.fromEntries(inner) };
}

/** A failed call as a model reads it: what was wrong, argument by argument, and the error's stable name. */
export function toolFailure(tool: McpTool, error: SylaError): JsonObject {
  const { errors = [] } = toProblem(error, {
    instance: undefined,
    requestId: "",
    bodyField: tool.body?.jsonName,
  });
  const faults = errors.map(({ pointer, detail }) => {
    return pointer === "" ? detail : `${pointer.slice(1).replaceAll("/", ".")}: ${detail}`;
  });
  const said = faults.length === 0 ? error.message : `Wrong arguments. ${faults.join("; ")}.`;
  const again = error.entry.retryable ? " Trying again later may help." : "";
  return { content: [textBlock(`${said}${again} (${error.code})`)], isError: true };
}
