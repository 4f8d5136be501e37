// What happens in a session, as what a kernel publishes: pure translation, an event at a time.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";
import {
  type Cell,
  type CellError,
  type CellResult,
  Cell_Status as CellStatus,
  type MimePart,
} from "@syla/contract/syla/session/v1/cell";
import type { SessionEvent } from "@syla/contract/syla/session/v1/session";

/** What a kernel publishes: the type and the content of a message. */
export interface Published {
  readonly type: string;
  readonly content: JsonObject;
}

/** As the rest of the gateway has it for JSON. */
const depthMax = 100;
const jsonType = /^application\/(?:[\w.-]+\+)?json$/;

/** What of a cell its events do not say each. */
export interface Known {
  /** The interpreter's count of it. */
  readonly count: number;
  readonly code: string;
}

/** What an event of a cell is to all who follow. */
export function publishedOf({ event }: SessionEvent, { count, code }: Known): readonly Published[] {
  switch (event.case) {
    case "started":
      return startedMessages(event.value, code);
    case "stdout":
    case "stderr":
      return [{ type: "stream", content: { name: event.case, text: textOf(event.value) } }];
    case "result":
      return [resultMessage(event.value, count)];
    case "update":
      return [{ type: "update_display_data", content: displayOf(event.value) }];
    case "clear":
      return [{ type: "clear_output", content: { wait: event.value.wait } }];
    case "error":
      return [{ type: "error", content: errorContent(event.value) }];
    case "ended":
      return [state("idle")];
    case "lostBytes": {
      const text = `[${event.value} bytes of output came faster than they were read and are lost]\n`;
      return [{ type: "stream", content: { name: "stderr", text } }];
    }
    default:
      return [];
  }
}

/** A kernel's state. */
export function state(executionState: string): Published {
  return { type: "status", content: { execution_state: executionState } };
}

/** The answer to who asked for a cell that has ended. */
export function executeReply(cell: Cell, userExpressions: JsonObject): JsonObject {
  const count = cell.executionCount ?? 0;
  switch (cell.status) {
    case CellStatus.OK: {
      const expressions = { payload: [], user_expressions: userExpressions };
      return { status: "ok", execution_count: count, ...expressions };
    }
    case CellStatus.SKIPPED:
      return { status: "aborted", execution_count: count };
    default: {
      const { error } = cell;
      const interrupted = { name: "KeyboardInterrupt", message: "", traceback: [] };
      return { status: "error", execution_count: count, ...errorContent(error ?? interrupted) };
    }
  }
}

/** Forms by media type, as Jupyter has them. */
export function formsOf(parts: readonly MimePart[]): JsonObject {
  return Object.fromEntries(parts.map((part) => [part.mimeType, formOf(part)]));
}

/** An error as Jupyter tells it. */
export function errorContent(
  error: Pick<CellError, "name" | "message" | "traceback">,
): JsonObject & { readonly ename: string } {
  const { name, message, traceback } = error;
  const lines = traceback.length > 0 ? [...traceback] : [`${name}: ${message}`];
  return { ename: name, evalue: message, traceback: lines };
}

// One that is not counted is silent.
function startedMessages({ executionCount: count }: Cell, code: string): readonly Published[] {
  const busy = state("busy");
  if (count === undefined) return [busy];
  return [busy, { type: "execute_input", content: { code, execution_count: count } }];
}

function resultMessage(result: CellResult, count: number): Published {
  const content = displayOf(result);
  if (!result.main) return { type: "display_data", content };
  return { type: "execute_result", content: { ...content, execution_count: count } };
}

function displayOf({ parts, displayId, metadataJson }: CellResult): JsonObject {
  const metadata = metadataJson === "" ? undefined : objectFrom(metadataJson);
  const transient = displayId === "" ? {} : { display_id: displayId };
  return { data: formsOf(parts), metadata: metadata ?? {}, transient };
}

function formOf({ mimeType, data }: MimePart): JsonValue {
  if (data.case === "base64") return Buffer.from(data.value).toString("base64");
  const text = data.value ?? "";
  return jsonType.test(mimeType) ? (jsonFrom(text) ?? text) : text;
}

function textOf({ data }: ProcessOutput): string {
  if (data.case === "text") return data.value;
  return Buffer.from(data.value ?? []).toString("utf8");
}

function objectFrom(text: string): JsonObject | undefined {
  const value = jsonFrom(text);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

// An interpreter can say anything; what is nested so deep that it could not be written again stays a text.
function jsonFrom(text: string): JsonValue | undefined {
  try {
    const value = parseJsonValue(text);
    return isDeeper(value, depthMax) ? undefined : value;
  } catch {
    return undefined;
  }
}

function parseJsonValue(text: string): JsonValue {
  return JSON.parse(text) as JsonValue;
}

function isDeeper(value: JsonValue, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return depth === 0 || Object.values(value).some((inner) => isDeeper(inner, depth - 1));
}
