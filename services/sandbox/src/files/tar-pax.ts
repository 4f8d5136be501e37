// The records of a pax header (POSIX.1-2001): what is said of the next entry, or of all that follow.
import { ArchiveError, sizeOf } from "./tar-header.ts";

/** What pax and GNU's long names say of an entry, in place of its header. */
export interface Overrides {
  readonly path?: Buffer;
  readonly target?: Buffer;
  readonly sizeBytes?: number;
  readonly mtimeSeconds?: number;
}

/** Reads `length key=value\n` to the end; throws ArchiveError when they are not that, or of a file with holes. */
export function parsePax(bytes: Buffer): Overrides {
  let found: Overrides = {};
  for (let from = 0; from < bytes.length;) {
    const space = bytes.indexOf(0x20, from);
    const digits = space === -1 ? "" : bytes.toString("latin1", from, space);
    const end = from + (/^[1-9]\d{0,8}$/.test(digits) ? Number(digits) : 0);
    const equals = bytes.indexOf(0x3d, space);
    if (end > bytes.length || bytes[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw new ArchiveError("a pax header in it is damaged");
    }
    const key = bytes.toString("latin1", space + 1, equals);
    found = { ...found, ...override(key, Buffer.from(bytes.subarray(equals + 1, end - 1))) };
    from = end;
  }
  return found;
}

function override(key: string, value: Buffer): Overrides {
  if (key.startsWith("GNU.sparse.")) throw new ArchiveError("a file in it has holes");
  if (key === "path") return { path: value };
  if (key === "linkpath") return { target: value };
  if (key === "size") return { sizeBytes: sizeOf(decimal(value)) };
  if (key === "mtime") return { mtimeSeconds: Math.floor(decimal(value)) };
  return {};
}

function decimal(value: Buffer): number {
  const text = value.toString("latin1");
  if (/^-?\d{1,15}(?:\.\d*)?$/.test(text)) return Number(text);
  throw new ArchiveError("a number in it is none");
}
