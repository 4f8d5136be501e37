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
import { bytesOf } from "@syla/kit/text-or-bytes";

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
  /** The interpreter's count of it; of one that is not counted, what it would be. */
  readonly count: number;
  readonly code: string;
}

/** What an event of a cell is to all who follow. */
export function publishedOf({ event }: SessionEvent, known: Known): readonly Published[] {
  switch (event.case) {
    case "started":
      return startedMessages(event.value, known);
    case "stdout":
    case "stderr":
      return [{ type: "stream", content: { name: event.case, text: textOf(event.value) } }];
    case "result":
      return [resultMessage(event.value, known.count)];
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

/** The answer to who asked for a cell that has ended; one that was not counted has the last count. */
export function executeReply(
  cell: Cell,
  { lastCount, expressions: names }: { lastCount: number; expressions: readonly string[] },
): JsonObject {
  const count = cell.executionCount ?? lastCount;
  switch (cell.status) {
    case CellStatus.OK: {
      const user_expressions = Object.fromEntries(names.map((name) => [name, valueOf(cell, name)]));
      return { status: "ok", execution_count: count, payload: [], user_expressions };
    }
    case CellStatus.SKIPPED:
      // JupyterLab would write the last count beside the cell, as if it had run; 0 is none to it.
      return { status: "aborted", execution_count: 0 };
    default: {
      const { error } = cell;
      const interrupted = { name: "KeyboardInterrupt", message: "", traceback: [] };
      return { status: "error", execution_count: count, ...errorContent(error ?? interrupted) };
    }
  }
}

function valueOf({ expressions }: Cell, name: string): JsonObject {
  const found = expressions.find((one) => one.name === name);
  if (found !== undefined && found.error === undefined) {
    const metadata = metadataOf(found.metadataJson);
    return { status: "ok", data: formsOf(found.parts), metadata };
  }
  const message = "It was not evaluated: the language has no expressions, or it is too large.";
  const error = found?.error ?? { name: "NotEvaluated", message, traceback: [] };
  return { status: "error", ...errorContent(error) };
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

function startedMessages({ silent, executionCount }: Cell, known: Known): readonly Published[] {
  const busy = state("busy");
  if (silent) return [busy];
  const { code, count } = known;
  return [
    busy,
    { type: "execute_input", content: { code, execution_count: executionCount ?? count } },
  ];
}

function resultMessage(result: CellResult, count: number): Published {
  const content = displayOf(result);
  if (!result.main) return { type: "display_data", content };
  return { type: "execute_result", content: { ...content, execution_count: count } };
}

function displayOf({ parts, displayId, metadataJson }: CellResult): JsonObject {
  const transient = displayId === "" ? {} : { display_id: displayId };
  return { data: formsOf(parts), metadata: metadataOf(metadataJson), transient };
}

function metadataOf(json: string): JsonObject {
  return json === "" ? {} : (objectFrom(json) ?? {});
}

function formOf({ mimeType, data }: MimePart): JsonValue {
  if (data.case === "base64") return Buffer.from(data.value).toString("base64");
  const text = data.value ?? "";
  return jsonType.test(mimeType) ? (jsonFrom(text) ?? text) : text;
}

function textOf(output: ProcessOutput): string {
  return bytesOf(output).toString("utf8");
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
