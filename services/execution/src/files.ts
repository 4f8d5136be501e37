// Refuses files that cannot all be written, before anything is queued. What one name may be says the contract; what
// names may be beside one another is here: no two of them the same, none a folder of another, no part longer than a
// file system takes.
import type { SourceFile } from "@syla/contract/syla/execution/v1/execution";
import type { Violation } from "@syla/kit/error";
import { invalidRequest } from "@syla/kit/validate";

/** What Linux allows for a part of a path (NAME_MAX) and for all of it (PATH_MAX, less the working directory). */
const partBytesMax = 255;
const nameBytesMax = 4000;

/** Throws `invalid_request` when files cannot be written beside one another; `pointer` says where they are. */
export function checkFiles(files: readonly SourceFile[], pointer: string): void {
  const names = new Map<string, number>();
  const folders = new Map<string, number>();
  const violations: Violation[] = [];
  const tell = (index: number, rule: string, detail: string) =>
    violations.push({ pointer: `${pointer}/${index}/name`, detail, rule });
  for (const [index, { name }] of files.entries()) {
    if (tooLong(name)) {
      tell(index, "file.length", `must have parts of at most ${partBytesMax} bytes`);
      continue;
    }
    const parents = foldersOf(name);
    const clash = names.get(name) ?? folders.get(name) ?? firstOf(parents, names);
    if (clash !== undefined) {
      tell(index, "file.unique", `cannot be beside file ${clash}: both need the same place`);
    }
    names.set(name, index);
    for (const parent of parents) folders.set(parent, index);
  }
  if (violations.length > 0) throw invalidRequest(violations);
}

function tooLong(name: string): boolean {
  const long = (text: string, bytesMax: number) => Buffer.byteLength(text) > bytesMax;
  return long(name, nameBytesMax) || name.split("/").some((part) => long(part, partBytesMax));
}

/** `a/b/c` lies in `a` and `a/b`. */
function foldersOf(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function firstOf(keys: readonly string[], map: ReadonlyMap<string, number>): number | undefined {
  return keys.map((key) => map.get(key)).find((found) => found !== undefined);
}
