// From what a caller asks to what a sandbox is asked, and from how a run ended to how the execution stands.
import { isUtf8 } from "node:buffer";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Artifact,
  ArtifactSchema,
  type Execution,
  type ExecutionEvent,
  ExecutionMetricsSchema,
  type OutputChunk,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";
import type { ExecutionSpec, SourceFile } from "@syla/contract/syla/execution/v1/spec";
import type {
  Artifact as SandboxArtifact,
  Finished,
  RunRequestSchema,
} from "@syla/contract/syla/sandbox/v1/runner";
import type { SylaError } from "@syla/kit/error";
import { bytesOf } from "@syla/kit/text-or-bytes";
import type { ExecutionConfig } from "./config.ts";
import type { Secrets } from "./secrets.ts";

/** How a run ended, as far as this service can tell. */
export type Ended =
  | { readonly kind: "finished"; readonly finished: Finished }
  | { readonly kind: "cancelled" }
  /** The platform stopped while it ran. */
  | { readonly kind: "lost" }
  /** It waited for its turn while the platform stopped, which alone had its secrets. */
  | { readonly kind: "forgotten" }
  | { readonly kind: "failed"; readonly error: SylaError };

/** How a run ended, or that it did not begin and is kept for the next start of the platform. */
export type RunEnd = Ended | { readonly kind: "kept" };

/** A run that could not be had. */
export function failedRun(error: SylaError): Ended {
  return { kind: "failed", error };
}

function fileContent(file: SourceFile): Uint8Array {
  const { body } = file;
  return body.case === "content"
    ? Buffer.from(body.value, "utf8")
    : (body.value ?? new Uint8Array());
}

/** Whether a program was ended, or its output cut: what it wrote last may then be in pieces. */
export function isCutOff({ exitCode, stdoutTruncated, stderrTruncated }: Finished): boolean {
  return exitCode === undefined || stdoutTruncated || stderrTruncated;
}

export interface RunRequestOptions {
  readonly config: ExecutionConfig;
  /** The values of what the spec only names. */
  readonly secrets: Secrets;
  /** Its id. */
  readonly execution: string;
}

/** What the sandbox is asked: the spec with every bound filled in. A file without a name gets the language's. */
export function runRequest(
  spec: ExecutionSpec,
  { config, secrets, execution }: RunRequestOptions,
): MessageInitShape<typeof RunRequestSchema> {
  const { limits } = spec;
  const files =
    spec.files.length > 0
      ? spec.files.map((file) => ({ name: file.name, content: fileContent(file) }))
      : [{ name: "", content: Buffer.from(spec.code, "utf8") }];
  return {
    language: spec.language,
    version: spec.version,
    files,
    stdin: Buffer.from(spec.stdin, "utf8"),
    args: spec.args,
    env: { ...spec.env, ...secrets.variables },
    ...(secrets.network === undefined ? {} : { network: secrets.network, execution }),
    artifacts: spec.artifacts,
    limits: {
      wallTime: limits?.wallTime ?? durationFromMs(config.wallTimeMs),
      cpuTime: limits?.cpuTime ?? durationFromMs(config.cpuTimeMs),
      memoryBytes: limits?.memoryBytes || BigInt(config.memoryBytes),
      pids: limits?.pids || config.pids,
      diskBytes: limits?.diskBytes || BigInt(config.diskBytes),
      outputBytes: limits?.outputBytes || BigInt(config.outputBytes),
      artifactBytes: BigInt(config.artifactBytes),
    },
  };
}

/** A file as the sandbox brought it, in the words of this service. */
export function toArtifact(artifact: SandboxArtifact): Artifact {
  const { name, content, sizeBytes, truncated, error } = artifact;
  return create(ArtifactSchema, {
    name,
    contentBase64: content,
    sizeBytes,
    truncated,
    ...(error === undefined ? {} : { error }),
  });
}

interface Ending {
  readonly status: Status;
  readonly errorType?: string;
  readonly errorMessage?: string;
}

function endingOf(end: Ended): Ending {
  switch (end.kind) {
    case "cancelled":
      return { status: Status.CANCELLED, errorType: "cancelled", errorMessage: "Cancelled." };
    case "lost":
      return {
        status: Status.LOST,
        errorType: "lost",
        errorMessage: "The platform stopped while this was running.",
      };
    case "forgotten":
      return {
        status: Status.LOST,
        errorType: "lost",
        errorMessage:
          "The platform stopped before this began, and its secrets were in memory only.",
      };
    case "failed":
      return { status: Status.FAILED, errorType: "internal", errorMessage: end.error.message };
    case "finished": {
      const { errorType, errorMessage } = end.finished;
      if (errorType === undefined) return { status: Status.SUCCEEDED };
      return {
        status: Status.FAILED,
        errorType,
        ...(errorMessage === undefined ? {} : { errorMessage }),
      };
    }
  }
}

/** Puts the end into an execution: its status, and everything it took. */
export function finishExecution(execution: Execution, end: Ended, nowMs: number): void {
  const { status, errorType, errorMessage } = endingOf(end);
  const finished = end.kind === "finished" ? end.finished : undefined;
  execution.status = status;
  execution.finishedAt = timestampFromMs(nowMs);
  if (errorType !== undefined) execution.errorType = errorType;
  if (errorMessage !== undefined) execution.errorMessage = errorMessage;
  if (finished?.exitCode !== undefined) execution.exitCode = finished.exitCode;
  if (finished?.signal !== undefined) execution.signal = finished.signal;
  execution.stdoutTruncated = finished?.stdoutTruncated ?? false;
  execution.stderrTruncated = finished?.stderrTruncated ?? false;
  const createdMs = execution.createdAt === undefined ? nowMs : timestampMs(execution.createdAt);
  const startedMs = execution.startedAt === undefined ? nowMs : timestampMs(execution.startedAt);
  const executionMs = finished?.executionMs ?? nowMs - startedMs;
  execution.metrics = create(ExecutionMetricsSchema, {
    queueDurationMs: startedMs - createdMs,
    startupDurationMs: finished?.startupMs ?? 0,
    executionDurationMs: executionMs,
    totalDurationMs: nowMs - createdMs,
    cpuUsageMillicores: executionMs > 0 ? ((finished?.cpuMs ?? 0) / executionMs) * 1000 : 0,
    memoryPeakMb: (finished?.memoryPeakBytes ?? 0) / 1024 ** 2,
    diskIoBytes: finished?.diskIoBytes ?? 0,
    networkIoBytes: finished?.networkIoBytes ?? 0,
    success: status === Status.SUCCEEDED,
    ...(execution.exitCode === undefined ? {} : { exitCode: execution.exitCode }),
    ...(errorType === undefined ? {} : { errorType }),
  });
}

/** The fields of an execution that are in its events: output as text where it is UTF-8, and the files. */
export type Output = Pick<
  Execution,
  "stdout" | "stderr" | "stdoutBase64" | "stderrBase64" | "artifacts"
>;

/** Puts an execution's output together from its events. */
export function collectOutput(events: Iterable<ExecutionEvent>): Output {
  const stdout: OutputChunk[] = [];
  const stderr: OutputChunk[] = [];
  const artifacts: Artifact[] = [];
  for (const { event } of events) {
    if (event.case === "stdout") stdout.push(event.value);
    if (event.case === "stderr") stderr.push(event.value);
    if (event.case === "artifact") artifacts.push(event.value);
  }
  const out = joinChunks(stdout);
  const err = joinChunks(stderr);
  return {
    stdout: out.text,
    stdoutBase64: out.bytes,
    stderr: err.text,
    stderrBase64: err.bytes,
    artifacts,
  };
}

const noBytes = new Uint8Array();

// Characters are not split over chunks of text, so those make a text as they are. Only where there is another chunk,
// its bytes may still be part of a character.
function joinChunks(chunks: readonly OutputChunk[]): { text: string; bytes: Uint8Array } {
  const texts = chunks.flatMap(({ data }) => (data.case === "text" ? data.value : []));
  if (texts.length === chunks.length) return { text: texts.join(""), bytes: noBytes };
  const bytes = Buffer.concat(chunks.map(bytesOf));
  return isUtf8(bytes) ? { text: bytes.toString("utf8"), bytes: noBytes } : { text: "", bytes };
}
