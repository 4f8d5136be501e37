// Files as the contract tells them.
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type FileEntry,
  FileEntry_Type as EntryType,
  FileEntrySchema,
} from "@syla/contract/syla/sandbox/v1/file";
import type { Entry } from "./box.ts";
import { WORK_DIRECTORY } from "../jail/root.ts";

/** What a caller calls by a relative path lies in the working directory. */
export function pathInside(path: string): string {
  if (path === "") return WORK_DIRECTORY;
  return path.startsWith("/") ? path : `${WORK_DIRECTORY}/${path}`;
}

const entryTypes: Readonly<Record<Entry["type"], EntryType>> = {
  file: EntryType.FILE,
  directory: EntryType.DIRECTORY,
  symlink: EntryType.SYMLINK,
  other: EntryType.OTHER,
};

/** What lies at a path. */
export function describeEntry(entry: Entry): FileEntry {
  const { type, path, mode, sizeBytes, modifiedMs, target } = entry;
  return create(FileEntrySchema, {
    ...{ path, name: basename(path), type: entryTypes[type], sizeBytes, mode },
    modifiedAt: timestampFromMs(modifiedMs),
    ...(type === "symlink" ? { target } : {}),
  });
}
