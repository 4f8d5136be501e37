// The wire of FileService: one handler per method, in the order of the contract.
import { isUtf8 } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import {
  type FileChange,
  FileChange_Type as ChangeType,
  FileChangeSchema,
  type FileContent,
  FileService,
  ListFilesResponseSchema,
  type ReadFileResponse,
  ReadFileResponseSchema,
  RemoveFileResponseSchema,
  WriteFilesResponseSchema,
} from "@syla/contract/syla/sandbox/v1/file";
import type { CallContext } from "@syla/kit/call";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import type { Box, Change } from "./box.ts";
import { describeEntry as describe, pathInside as absolute } from "./entry.ts";
import { fileRefusal } from "./refusal.ts";
import { FileTransfer } from "./transfer.ts";
import type { Presigner } from "./presign.ts";
import type { Sandboxes } from "../sandboxes.ts";

/** Of one file in one answer, in bytes. */
const readBytesMax = 16 * 1024 ** 2;
const entriesMax = 10_000;

export function fileRpc(sandboxes: Sandboxes, presigner: Presigner): Implementation {
  const transfer = new FileTransfer(sandboxes, presigner);
  const within = async <T>(id: string, work: (box: Box) => Promise<T>): Promise<T> => {
    const sandbox = await sandboxes.find(id);
    sandbox.assertRunning();
    try {
      return await work(sandbox.box);
    } catch (error) {
      throw fileRefusal(error);
    }
  };
  return implement(FileService, {
    readFile: ({ sandbox, path }) => within(sandbox, (box) => read(box, absolute(path))),
    writeFiles: ({ sandbox, files }) =>
      within(sandbox, async (box) => {
        const entries = await box.write(files.map(newFile));
        return create(WriteFilesResponseSchema, { entries: entries.map(describe) });
      }),
    listFiles: ({ sandbox, path, depth }) =>
      within(sandbox, async (box) => {
        const { entries, truncated } = await box.list(absolute(path), depth || 1, entriesMax);
        return create(ListFilesResponseSchema, { entries: entries.map(describe), truncated });
      }),
    statFile: ({ sandbox, path }) =>
      within(sandbox, async (box) => describe(await box.stat(absolute(path)))),
    makeDirectory: ({ sandbox, path }) =>
      within(sandbox, async (box) => describe(await box.makeDirectory(absolute(path)))),
    moveFile: ({ sandbox, path, newPath }) =>
      within(sandbox, async (box) => describe(await box.move(absolute(path), absolute(newPath)))),
    removeFile: ({ sandbox, path }) =>
      within(sandbox, async (box) => {
        await box.remove(absolute(path));
        return create(RemoveFileResponseSchema);
      }),
    watchFiles: async function* ({ sandbox: id, path, recursive }, context) {
      const sandbox = await sandboxes.find(id);
      sandbox.assertRunning();
      yield* watch(sandbox.box, absolute(path), recursive, context);
    },
    downloadFile: (request) => transfer.downloadFile(request),
    uploadFile: (requests, context) => transfer.uploadFile(requests, context),
    downloadArchive: (request) => transfer.downloadArchive(request),
    uploadArchive: (requests, context) => transfer.uploadArchive(requests, context),
    presignFile: (request) => transfer.presign(request),
    downloadPresigned: (request) => transfer.downloadPresigned(request),
    uploadPresigned: (requests, context) => transfer.uploadPresigned(requests, context),
  });
}

async function* watch(
  box: Box,
  path: string,
  recursive: boolean,
  context: CallContext,
): AsyncGenerator<FileChange> {
  try {
    for await (const change of box.watch(path, recursive, context.signal)) {
      yield describeChange(change);
    }
  } catch (error) {
    context.throwIfAborted();
    throw fileRefusal(error);
  }
}

async function read(box: Box, path: string): Promise<ReadFileResponse> {
  const { entry, content } = await box.read(path, readBytesMax);
  const parts: Buffer[] = [];
  for await (const part of content) parts.push(part);
  const bytes = Buffer.concat(parts);
  if (entry.sizeBytes > readBytesMax) {
    throw new SylaError(
      "file_too_large",
      `Cannot read ${path} in one answer: it has ${entry.sizeBytes} bytes, more than ${readBytesMax}.`,
    );
  }
  return create(ReadFileResponseSchema, {
    entry: describe(entry),
    ...(isUtf8(bytes) ? { content: bytes.toString("utf8") } : { contentBase64: bytes }),
  });
}

/** What the contract calls a file, as `box` is given it. */
export function newFile({ path, body, mode }: FileContent) {
  const content =
    body.case === "content" ? Buffer.from(body.value) : (body.value ?? new Uint8Array());
  return { path: absolute(path), content, mode };
}

const changeTypes: Readonly<Record<Change["type"], ChangeType>> = {
  begun: ChangeType.BEGUN,
  created: ChangeType.CREATED,
  written: ChangeType.WRITTEN,
  attributes: ChangeType.ATTRIBUTES,
  removed: ChangeType.REMOVED,
  moved: ChangeType.MOVED,
  lost: ChangeType.LOST,
};

function describeChange({ type, directory, path, newPath }: Change): FileChange {
  return create(FileChangeSchema, { type: changeTypes[type], directory, path, newPath });
}
