// What lies at a path, as E2B tells it.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type FileEntry,
  FileEntry_Type as Type,
  type FileService,
} from "@syla/contract/syla/sandbox/v1/file";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { inside, outside } from "./home.ts";

const types: ReadonlyMap<Type, string> = new Map([
  [Type.FILE, "FILE_TYPE_FILE"],
  [Type.DIRECTORY, "FILE_TYPE_DIRECTORY"],
  [Type.SYMLINK, "FILE_TYPE_SYMLINK"],
]);
const letters: ReadonlyMap<Type, string> = new Map([
  [Type.DIRECTORY, "d"],
  [Type.SYMLINK, "l"],
]);

/** An entry as the answer to a question about `asked`. */
export function entryInfo(entry: FileEntry, asked: string): object {
  const { type, mode, sizeBytes, modifiedAt, target } = entry;
  const path = outside(entry.path, asked);
  return {
    name: path.slice(path.lastIndexOf("/") + 1),
    type: types.get(type) ?? "FILE_TYPE_UNSPECIFIED",
    path,
    size: String(sizeBytes),
    mode,
    permissions: (letters.get(type) ?? "-") + permissionsOf(mode),
    owner: "user",
    group: "user",
    ...(modifiedAt === undefined ? {} : { modifiedTime: timestampDate(modifiedAt).toISOString() }),
    ...(target === undefined ? {} : { symlinkTarget: target }),
  };
}

/** For example `rw-r--r--`. */
function permissionsOf(mode: number): string {
  const letter = (index: number) => ((mode >> (8 - index)) & 1) === 1;
  return Array.from("rwxrwxrwx", (text, index) => (letter(index) ? text : "-")).join("");
}

/** What lies at a path of E2B's user. */
export function stat(
  files: Client<typeof FileService>,
  sandbox: string,
  path: string,
  parent: CallContext,
): Promise<FileEntry> {
  return files.statFile({ sandbox, path: inside(path) }, { parent });
}

/** The same, or undefined when there is nothing at the path. */
export async function orMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    if (thrown instanceof SylaError && thrown.code === "file_not_found") return undefined;
    throw thrown;
  }
}
