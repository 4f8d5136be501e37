// Reads `additional_files`, a zip archive, with a bound on everything it can hold. What the archive says of a file's
// size is checked before the file is unpacked and held while it is: one that holds more than it says is refused where
// the surplus begins. Nothing is written anywhere; the files go into the jail as bytes.
import { posix } from "node:path";
import { buffer } from "node:stream/consumers";
import { type Entry, fromBufferPromise } from "yauzl";

/** One file of an archive. */
export interface ArchiveFile {
  readonly name: string;
  readonly content: Buffer;
}

/** The files of an archive, or why it is refused. */
export type Archive = { readonly files: readonly ArchiveFile[] } | { readonly fault: string };

/** Judge0's bound on all that is unpacked, in KB. */
export const extractKbMax = 10_240;
/** As many as an execution takes beside the program's own. */
const filesMax = 255;
const entriesMax = 1024;
const fileBytesMax = 2 * 1024 ** 2;

const typeMask = 0o170_000;
const regularFile = 0o100_000;

/** Reads an archive; its folders are those of its files. */
export async function readArchive(bytes: Buffer): Promise<Archive> {
  const files: ArchiveFile[] = [];
  let entries = 0;
  let left = extractKbMax * 1024;
  try {
    // The library refuses absolute names and those with `..` in them.
    const zip = await fromBufferPromise(bytes, { lazyEntries: true, validateEntrySizes: true });
    for await (const entry of zip.eachEntry()) {
      entries += 1;
      if (entries > entriesMax) return { fault: `have more than ${entriesMax} entries` };
      if (entry.fileName.endsWith("/")) continue;
      left -= entry.uncompressedSize;
      const fault = faultOf(entry, files.length, left);
      if (fault !== undefined) return { fault };
      const stream = await zip.openReadStreamPromise(entry);
      files.push({ name: posix.normalize(entry.fileName), content: await buffer(stream) });
    }
  } catch {
    return { fault: "are not a zip archive that can be read, or a name in it leaves its folder" };
  }
  return { files };
}

function faultOf(entry: Entry, files: number, leftBytes: number): string | undefined {
  const { fileName, externalFileAttributes, uncompressedSize } = entry;
  const type = (externalFileAttributes >>> 16) & typeMask;
  if (type !== 0 && type !== regularFile) return `have ${fileName}, which is no file`;
  if (entry.isEncrypted()) return `have ${fileName}, which is encrypted`;
  if (files >= filesMax) return `have more than ${filesMax} files`;
  if (uncompressedSize > fileBytesMax) return `have ${fileName}, of over ${fileBytesMax} bytes`;
  return leftBytes < 0 ? `unpack to more than ${extractKbMax} KB` : undefined;
}
