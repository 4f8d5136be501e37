// Files and folders in and out as streams of bytes, at the pace of both sides. A stream that is not whole ends with an
// error, never as if it were.
import { posix } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type BodyHead, BodyHeadSchema, type ByteRange } from "@syla/contract/syla/body/v1/body";
import type { FileEntry } from "@syla/contract/syla/sandbox/v1/file";
import {
  ArchiveFormat,
  type DownloadArchiveRequest,
  type DownloadArchiveResponse,
  DownloadArchiveResponseSchema,
  type DownloadFileRequest,
  type DownloadFileResponse,
  DownloadFileResponseSchema,
  type DownloadPresignedRequest,
  type PresignFileRequest,
  PresignFileRequest_Operation as Operation,
  type PresignFileResponse,
  PresignFileResponseSchema,
  type UploadArchiveRequest,
  type UploadArchiveResponse,
  UploadArchiveResponseSchema,
  type UploadFileRequest,
  type UploadPresignedRequest,
} from "@syla/contract/syla/sandbox/v1/transfer";
import type { CallContext } from "@syla/kit/call";
import { SylaError } from "@syla/kit/error";
import { invalidRequest } from "@syla/kit/validate";
import { type ArchiveKind, packFolder, unpackFolder } from "./archive.ts";
import { FileError } from "./box.ts";
import { describeEntry, pathInside } from "./entry.ts";
import { fileRefusal } from "./refusal.ts";
import type { Presigner } from "./presign.ts";
import type { Sandbox } from "../sandbox.ts";
import type { Sandboxes } from "../sandboxes.ts";

const presignedMs = 15 * 60_000;
/** Archives of one sandbox on their way at one time: each holds a part of itself here. */
const archivesMax = 4;
const retryMs = 1000;
const bytesType = "application/octet-stream";

/** The transfers of FileService. */
export class FileTransfer {
  readonly #sandboxes: Sandboxes;
  readonly #presigner: Presigner;
  readonly #archives = new Map<Sandbox, number>();

  constructor(sandboxes: Sandboxes, presigner: Presigner) {
    this.#sandboxes = sandboxes;
    this.#presigner = presigner;
  }

  async *downloadFile(request: DownloadFileRequest): AsyncGenerator<DownloadFileResponse> {
    const sandbox = await this.#running(request.sandbox);
    yield* explained(sandbox, download(sandbox, pathInside(request.path), request.range, 0));
  }

  async uploadFile(
    requests: AsyncIterable<UploadFileRequest>,
    context: CallContext,
  ): Promise<FileEntry> {
    const { first, rest } = await headOf(requests);
    if (first.path === "") throw missing("path");
    const sandbox = await this.#running(first.sandbox);
    const content = dataOf(first, rest, 0, context);
    const file = { path: pathInside(first.path), mode: first.mode, content };
    return attempt(sandbox, async () => describeEntry(await sandbox.box.writeLarge(file)));
  }

  async *downloadArchive(request: DownloadArchiveRequest): AsyncGenerator<DownloadArchiveResponse> {
    const sandbox = await this.#running(request.sandbox);
    const path = pathInside(request.path);
    const isGzip = request.format === ArchiveFormat.TAR_GZIP;
    const bytes = packFolder(sandbox.box, path, isGzip ? "gzip" : "tar");
    const head = create(BodyHeadSchema, {
      contentType: isGzip ? "application/gzip" : "application/x-tar",
      name: `${posix.basename(posix.normalize(path)) || "root"}${isGzip ? ".tar.gz" : ".tar"}`,
    });
    const leave = this.#enter(sandbox);
    try {
      for await (const part of explained(sandbox, withHead(head, bytes))) {
        yield create(DownloadArchiveResponseSchema, part);
      }
    } finally {
      leave();
    }
  }

  async uploadArchive(
    requests: AsyncIterable<UploadArchiveRequest>,
    context: CallContext,
  ): Promise<UploadArchiveResponse> {
    const { first, rest } = await headOf(requests);
    const sandbox = await this.#running(first.sandbox);
    const kind = kinds.get(first.format) ?? "detect";
    const leave = this.#enter(sandbox);
    const unpacking = attempt(sandbox, () =>
      unpackFolder(sandbox.box, pathInside(first.path), kind, dataOf(first, rest, 0, context)),
    );
    const { entries, bytes } = await unpacking.finally(leave);
    return create(UploadArchiveResponseSchema, { entries, sizeBytes: bytes });
  }

  async presign(request: PresignFileRequest): Promise<PresignFileResponse> {
    const { sandbox, path, operation, expiresIn, maxBytes } = request;
    await this.#running(sandbox);
    const lastsMs = expiresIn === undefined ? presignedMs : durationMs(expiresIn);
    const expiresAt = this.#presigner.secondsAfter(lastsMs);
    const token = this.#presigner.sign({
      ...{ sandbox, path: pathInside(path), expiresAt, bytesMax: Number(maxBytes) },
      operation: operation === Operation.WRITE ? "write" : "read",
    });
    return create(PresignFileResponseSchema, {
      url: `/files/${token}`,
      method: operation === Operation.WRITE ? "PUT" : "GET",
      expiresAt: timestampFromMs(expiresAt * 1000),
    });
  }

  async *downloadPresigned(
    request: DownloadPresignedRequest,
  ): AsyncGenerator<DownloadFileResponse> {
    const { sandbox: id, path, bytesMax } = this.#presigner.open(request.token, "read");
    const sandbox = await this.#running(id);
    yield* explained(sandbox, download(sandbox, path, request.range, bytesMax));
  }

  async uploadPresigned(
    requests: AsyncIterable<UploadPresignedRequest>,
    context: CallContext,
  ): Promise<FileEntry> {
    const { first, rest } = await headOf(requests);
    const { sandbox: id, path, bytesMax } = this.#presigner.open(first.token, "write");
    const sandbox = await this.#running(id);
    const file = { path, mode: 0, content: dataOf(first, rest, bytesMax, context) };
    return attempt(sandbox, async () => describeEntry(await sandbox.box.writeLarge(file)));
  }

  #enter(sandbox: Sandbox): () => void {
    const count = this.#archives.get(sandbox) ?? 0;
    if (count >= archivesMax) {
      const message = `Cannot begin: ${count} archives of sandbox ${sandbox.message.id} are on their way.`;
      throw new SylaError("archives_full", message, { retryAfterMs: retryMs });
    }
    this.#archives.set(sandbox, count + 1);
    return () => {
      const left = (this.#archives.get(sandbox) ?? 1) - 1;
      if (left === 0) this.#archives.delete(sandbox);
      else this.#archives.set(sandbox, left);
    };
  }

  async #running(id: string): Promise<Sandbox> {
    if (id === "") throw missing("sandbox");
    const sandbox = await this.#sandboxes.find(id);
    sandbox.assertRunning();
    return sandbox;
  }
}

const kinds: ReadonlyMap<ArchiveFormat, ArchiveKind> = new Map([
  [ArchiveFormat.TAR, "tar"],
  [ArchiveFormat.TAR_GZIP, "gzip"],
]);

function missing(field: string): SylaError {
  const detail = "must be in the first message";
  return invalidRequest([{ pointer: `/${field}`, detail, rule: "required" }]);
}

async function headOf<T>(
  requests: AsyncIterable<T>,
): Promise<{ readonly first: T; readonly rest: AsyncIterator<T> }> {
  const rest = requests[Symbol.asyncIterator]();
  const step = await rest.next();
  if (step.done === true) {
    throw new SylaError("invalid_request", "Cannot take a stream of nothing.");
  }
  return { first: step.value, rest };
}

async function* dataOf(
  first: { readonly data: Uint8Array },
  rest: AsyncIterator<{ readonly data: Uint8Array }>,
  bytesMax: number,
  context: CallContext,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for (let value = first; ;) {
      bytes += value.data.length;
      if (bytesMax > 0 && bytes > bytesMax) throw tooLarge(bytesMax);
      if (value.data.length > 0) yield value.data;
      const step = await rest.next();
      // What ends because its sender has left is not whole.
      context.throwIfAborted();
      if (step.done === true) return;
      ({ value } = step);
    }
  } finally {
    void rest.return?.();
  }
}

function tooLarge(bytesMax: number): SylaError {
  const message = `Cannot take the file: it has more than ${bytesMax} bytes, and this address is for no more.`;
  return new SylaError("payload_too_large", message);
}

/** A part of a stream of bytes: what they are, or some. */
type Part = { readonly head: BodyHead } | { readonly data: Uint8Array };

// The first bytes are there before it is said what they are: by then it is known that there is something to tell of.
async function* withHead(head: BodyHead, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Part> {
  let told = false;
  for await (const data of bytes) {
    if (!told) yield { head };
    told = true;
    yield { data };
  }
  if (!told) yield { head };
}

async function* download(
  { box }: Sandbox,
  path: string,
  range: ByteRange | undefined,
  bytesMax: number,
): AsyncGenerator<DownloadFileResponse> {
  const asked = Number(range?.length ?? 0n);
  const most = asked === 0 ? Number.MAX_SAFE_INTEGER : asked;
  const read = await box.read(path, most, Number(range?.start ?? 0n));
  const { sizeBytes } = read.entry;
  try {
    if (bytesMax > 0 && sizeBytes > bytesMax) throw tooLargeToRead(path, sizeBytes, bytesMax);
    const given = Number(range?.start ?? 0n);
    const start = given < 0 ? Math.max(0, given + sizeBytes) : given;
    if (start > 0 && start >= sizeBytes) throw outOfRange(path, sizeBytes);
    const length = Math.min(most, sizeBytes - start);
    // The kernel's own files have no size until they are read.
    const known = { sizeBytes: BigInt(sizeBytes), lengthBytes: BigInt(length) };
    const head = create(BodyHeadSchema, {
      ...{ contentType: bytesType, name: posix.basename(read.entry.path), start: BigInt(start) },
      ...(sizeBytes === 0 ? {} : known),
    });
    yield create(DownloadFileResponseSchema, { head });
    let left = length;
    for await (const piece of read.content) {
      const data = sizeBytes === 0 ? piece : piece.subarray(0, left);
      left -= data.length;
      if (data.length > 0) yield create(DownloadFileResponseSchema, { data });
      if (sizeBytes > 0 && left === 0) return;
    }
    if (sizeBytes > 0 && left > 0) throw changed(path);
  } finally {
    read.close();
  }
}

function tooLargeToRead(path: string, bytes: number, bytesMax: number): SylaError {
  const message = `Cannot read ${path}: it has ${bytes} bytes, and this address is for ${bytesMax} at most.`;
  return new SylaError("file_too_large", message);
}

function outOfRange(path: string, bytes: number): SylaError {
  return new SylaError("invalid_range", `Cannot read this part of ${path}: it has ${bytes} bytes.`);
}

function changed(path: string): SylaError {
  return new SylaError("file_conflict", `Cannot read all of ${path}: it became shorter meanwhile.`);
}

async function* explained<T>(sandbox: Sandbox, parts: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* parts;
  } catch (thrown) {
    throw explain(sandbox, thrown);
  }
}

async function attempt<T>(sandbox: Sandbox, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw explain(sandbox, thrown);
  }
}

// A transfer that broke off because the sandbox has ended says that.
function explain(sandbox: Sandbox, thrown: unknown): unknown {
  try {
    if (thrown instanceof FileError) sandbox.assertRunning();
  } catch (ended) {
    return ended;
  }
  return fileRefusal(thrown);
}
