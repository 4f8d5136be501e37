// Uploads of any size. A stream of requests is what fetch cannot have, so these go over REST, where the bytes are the
// body of one request.
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { type FileEntry, FileEntrySchema } from "@syla/contract/syla/sandbox/v1/file";
import {
  type UploadArchiveResponse,
  UploadArchiveResponseSchema,
} from "@syla/contract/syla/sandbox/v1/transfer";
import { SylaError, type Status, toSylaError, type Violation } from "./error.ts";

/** Where bytes go. */
export interface UploadTarget {
  /** The sandbox's id. */
  readonly sandbox: string;
  /** A file, or of an archive the folder. */
  readonly path: string;
  /** A file's permissions; by default those of the one that is replaced, or 0644. */
  readonly mode?: number;
}

/** What is uploaded: all of it, or as it comes. */
export type UploadBody = Blob | AsyncIterable<Uint8Array>;

/** How one upload is made. */
export interface UploadOptions {
  /** Ends it; nothing of a file is then there. */
  readonly signal?: AbortSignal;
}

/** A way to a platform by REST. */
export interface RestLink {
  readonly url: string;
  readonly token: string | undefined;
  readonly fetch: typeof globalThis.fetch;
}

/** Writes a file, whole or not at all. */
export function uploadFile(
  link: RestLink,
  { sandbox, path, mode = 0 }: UploadTarget,
  body: UploadBody,
  options: UploadOptions = {},
): Promise<FileEntry> {
  const query = new URLSearchParams({ path, mode: String(mode) });
  const place = `/api/v1/sandboxes/${encodeURIComponent(sandbox)}/files:content?${query.toString()}`;
  return put(link, place, FileEntrySchema, { ...options, body });
}

/** Unpacks a tar, which may be in gzip, into a folder. */
export function uploadArchive(
  link: RestLink,
  { sandbox, path }: UploadTarget,
  body: UploadBody,
  options: UploadOptions = {},
): Promise<UploadArchiveResponse> {
  const query = new URLSearchParams({ path });
  const place = `/api/v1/sandboxes/${encodeURIComponent(sandbox)}/files:archive?${query.toString()}`;
  return put(link, place, UploadArchiveResponseSchema, { ...options, body });
}

interface PutOptions extends UploadOptions {
  readonly body: UploadBody;
}

async function put<D extends DescMessage>(
  { url, token, fetch }: RestLink,
  place: string,
  desc: D,
  { body, signal }: PutOptions,
): Promise<MessageShape<D>> {
  let failed: { readonly thrown: unknown } | undefined;
  const pieces = body instanceof Blob ? body : noting(body, (thrown) => (failed = { thrown }));
  try {
    const response = await fetch(`${url}${place}`, {
      method: "PUT",
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
      body: pieces instanceof Blob ? pieces : ReadableStream.from(pieces),
      duplex: "half",
      ...(signal === undefined ? {} : { signal }),
    });
    const answer = parseJson(await response.text());
    if (!response.ok) throw toRefusal(response.status, answer);
    return fromJson(desc, answer, { ignoreUnknownFields: true });
  } catch (thrown) {
    // What the body throws is the caller's own.
    if (failed !== undefined) throw failed.thrown;
    throw toSylaError(thrown, { url, signal });
  }
}

async function* noting(
  body: AsyncIterable<Uint8Array>,
  note: (thrown: unknown) => void,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (thrown) {
    note(thrown);
    throw thrown;
  }
}

// What is no JSON is not Syla's answer.
function parseJson(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return null;
  }
}

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly errors?: readonly Violation[];
}

function parseProblem(json: JsonValue): Problem {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
}

const statuses: Readonly<Record<number, Status>> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "failed_precondition",
  410: "failed_precondition",
  413: "resource_exhausted",
  429: "resource_exhausted",
  499: "cancelled",
  503: "unavailable",
  504: "deadline_exceeded",
  507: "resource_exhausted",
};

function toRefusal(httpStatus: number, json: JsonValue): SylaError {
  const { code = "internal", detail, errors = [] } = parseProblem(json);
  return new SylaError(code, detail ?? `The platform answered ${httpStatus}.`, {
    status: statuses[httpStatus] ?? "internal",
    violations: errors,
  });
}
