// What cannot be done with a file, in the words of the catalogue.
import { constants } from "node:os";
import { type ErrorCode, SylaError } from "@syla/kit/error";
import { FileError } from "./box.ts";
import { ArchiveError } from "./tar-header.ts";

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

/** What was thrown, as an error of the catalogue where it is about a file or an archive. */
export function fileRefusal(thrown: unknown): unknown {
  if (thrown instanceof ArchiveError) {
    return new SylaError("invalid_archive", `Cannot use the archive: ${thrown.message}.`);
  }
  return thrown instanceof FileError ? refusal(thrown) : thrown;
}

function refusal({ errno: number, path }: FileError): SylaError {
  const [code, why] = refusals.get(number) ?? [
    "file_conflict",
    `it cannot be done (error ${number})`,
  ];
  return new SylaError(code, `Cannot use ${path === "" ? "the files" : path}: ${why}.`);
}
