// The wire of FileService: one handler per method, in the order of the contract.
import { isUtf8 } from "node:buffer";
import { constants } from "node:os";
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type FileChange,
  FileChange_Type as ChangeType,
  FileChangeSchema,
  type FileContent,
  type FileEntry,
  FileEntry_Type as EntryType,
  FileEntrySchema,
  FileService,
  ListFilesResponseSchema,
  type ReadFileResponse,
  ReadFileResponseSchema,
  RemoveFileResponseSchema,
  WriteFilesResponseSchema,
} from "@syla/contract/syla/sandbox/v1/file";
import type { CallContext } from "@syla/kit/call";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { type ErrorCode, SylaError } from "@syla/kit/error";
import { type Box, type Change, type Entry, FileError } from "./box.ts";
import { WORK_DIRECTORY } from "./root.ts";
import type { Sandboxes } from "./sandboxes.ts";

/** Of one file in one answer, in bytes. */
const readBytesMax = 16 * 1024 ** 2;
const entriesMax = 10_000;

export function fileRpc(sandboxes: Sandboxes): Implementation {
  const within = async <T>(id: string, work: (box: Box) => Promise<T>): Promise<T> => {
    const sandbox = await sandboxes.find(id);
    sandbox.assertRunning();
    try {
      return await work(sandbox.box);
    } catch (error) {
      throw error instanceof FileError ? refusal(error) : error;
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
    throw error instanceof FileError ? refusal(error) : error;
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

/** What a caller calls by a relative path lies in the working directory. */
function absolute(path: string): string {
  if (path === "") return WORK_DIRECTORY;
  return path.startsWith("/") ? path : `${WORK_DIRECTORY}/${path}`;
}

function newFile({ path, body, mode }: FileContent) {
  const content =
    body.case === "content" ? Buffer.from(body.value) : (body.value ?? new Uint8Array());
  return { path: absolute(path), content, mode };
}

const entryTypes: Readonly<Record<Entry["type"], EntryType>> = {
  file: EntryType.FILE,
  directory: EntryType.DIRECTORY,
  symlink: EntryType.SYMLINK,
  other: EntryType.OTHER,
};

function describe({ type, path, mode, sizeBytes, modifiedMs, target }: Entry): FileEntry {
  return create(FileEntrySchema, {
    ...{ path, name: basename(path), type: entryTypes[type], sizeBytes, mode },
    modifiedAt: timestampFromMs(modifiedMs),
    ...(type === "symlink" ? { target } : {}),
  });
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

const { errno } = constants;
const refusals: ReadonlyMap<number, readonly [ErrorCode, string]> = new Map([
  [errno.ENOENT, ["file_not_found", "there is nothing at this path"]],
  [errno.EACCES, ["file_refused", "the sandbox's user may not do that there"]],
  [errno.EPERM, ["file_refused", "the sandbox's user may not do that there"]],
  [errno.EROFS, ["file_refused", "it is part of the sandbox's system, which cannot be changed"]],
  [errno.ENOTDIR, ["file_conflict", "a part of the path is no folder"]],
  [errno.EISDIR, ["file_conflict", "it is a folder"]],
  [errno.EEXIST, ["file_conflict", "there is something else at this path"]],
  [errno.ENOTEMPTY, ["file_conflict", "there is a folder with something in it"]],
  [errno.EBUSY, ["file_conflict", "it is in use"]],
  [errno.EINVAL, ["file_conflict", "it is no file, or would lie below itself"]],
  [errno.EXDEV, ["file_conflict", "it cannot be moved there: copy it"]],
  [errno.ELOOP, ["file_conflict", "its links lead in a circle"]],
  [errno.ENAMETOOLONG, ["file_conflict", "a name is too long"]],
  [errno.ENOSPC, ["sandbox_disk_full", "the sandbox's disk is full"]],
  [errno.EDQUOT, ["sandbox_disk_full", "the sandbox's disk is full"]],
]);

function refusal({ errno: number, path }: FileError): SylaError {
  const [code, why] = refusals.get(number) ?? [
    "file_conflict",
    `it cannot be done (error ${number})`,
  ];
  return new SylaError(code, `Cannot use ${path === "" ? "the files" : path}: ${why}.`);
}
