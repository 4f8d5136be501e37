// A submission as it is answered: the fields that were asked for, texts in base64 when that was asked for, and a
// refusal when a text is not UTF-8 and base64 was not.
import { isUtf8 } from "node:buffer";
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Execution } from "@syla/contract/syla/execution/v1/execution";
import type { KeptText, Submitted } from "./record.ts";
import { statusOf } from "./statuses.ts";
import type { Verdict } from "./verdict.ts";

/** A submission and what became of it. */
export interface Judgement {
  /** The execution whose id is the token. */
  readonly execution: Execution;
  readonly submitted: Submitted;
  readonly verdict: Verdict;
  /** As the language list has it. */
  readonly languageName: string | null;
}

/** How a client wants submissions answered. */
export interface Form {
  readonly base64: boolean;
  readonly fields: readonly string[];
}

/** What is answered unless fields are asked for. */
export const defaultFields: readonly string[] = [
  ...["stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status"],
];

const otherFields: readonly string[] = [
  ...["source_code", "language_id", "stdin", "expected_output", "status_id", "created_at"],
  ...["finished_at", "number_of_runs", "cpu_time_limit", "cpu_extra_time", "wall_time_limit"],
  ...["memory_limit", "stack_limit", "max_processes_and_or_threads"],
  ...["enable_per_process_and_thread_time_limit", "enable_per_process_and_thread_memory_limit"],
  ...["max_file_size", "exit_code", "exit_signal", "wall_time", "compiler_options"],
  ...["command_line_arguments", "redirect_stderr_to_stdout", "callback_url", "additional_files"],
  ...["enable_network", "started_at", "queued_at", "updated_at", "queue_host", "execution_host"],
  ...["language"],
];

const known = new Set([...defaultFields, ...otherFields]);

/** The fields that a query names, or those of the names that are none. */
export function readFields(
  text: string | null,
): { readonly fields: readonly string[] } | { readonly unknown: readonly string[] } {
  const named = (text ?? "").split(",").filter((name) => name !== "");
  const unknown = named.filter((name) => name !== "*" && !known.has(name));
  if (unknown.length > 0) return { unknown };
  if (named.includes("*")) return { fields: [...known] };
  return { fields: named.length === 0 ? defaultFields : named };
}

/** The fields of a submission; undefined when a text among them cannot be told without base64. */
export function render(
  judgement: Judgement,
  { base64, fields }: Form,
): Readonly<Record<string, unknown>> | undefined {
  const values = new Map(Object.entries(valuesOf(judgement)));
  const shown: Record<string, unknown> = {};
  for (const name of fields) {
    const value = values.get(name) ?? null;
    if (Buffer.isBuffer(value)) {
      if (!base64 && !isUtf8(value)) return undefined;
      shown[name] = base64 ? encode64(value) : value.toString("utf8");
    } else shown[name] = value;
  }
  if (base64 && typeof shown["message"] === "string") {
    shown["message"] = encode64(Buffer.from(shown["message"]));
  }
  return shown;
}

/** Base64 as Ruby's `encode64` writes it: lines of 60 characters, each with its end. */
function encode64(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll(/.{1,60}/g, "$&\n");
}

// What Judge0 keeps and this does not is null; `null` of a bound that is there is never answered.
function valuesOf(judgement: Judgement): Readonly<Record<string, unknown>> {
  const { execution, submitted, verdict, languageName } = judgement;
  const { earlier: _, expected_digest: __, texts, ...asked } = submitted;
  const { createdAt, startedAt, finishedAt } = execution;
  const kept = (name: KeptText) => {
    const text = texts.get(name);
    return text === undefined ? null : Buffer.from(text);
  };
  return {
    ...asked,
    ...verdict,
    time: decimal(verdict.time),
    wall_time: decimal(verdict.wall_time),
    cpu_time_limit: decimal(asked.cpu_time_limit),
    cpu_extra_time: decimal(asked.cpu_extra_time),
    wall_time_limit: decimal(asked.wall_time_limit),
    source_code: kept("source_code"),
    stdin: kept("stdin"),
    expected_output: kept("expected_output"),
    token: execution.id,
    status_id: verdict.status,
    status: statusOf(verdict.status),
    language: { id: asked.language_id, name: languageName },
    enable_per_process_and_thread_time_limit: false,
    enable_per_process_and_thread_memory_limit: false,
    enable_network: false,
    created_at: isoTime(createdAt),
    queued_at: isoTime(createdAt),
    started_at: isoTime(startedAt),
    finished_at: isoTime(finishedAt),
    updated_at: isoTime(finishedAt ?? startedAt ?? createdAt),
  };
}

// A decimal of Rails is a text.
function decimal(value: number | null): string | null {
  if (value === null) return null;
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function isoTime(time: Timestamp | undefined): string | null {
  return time === undefined ? null : timestampDate(time).toISOString();
}
