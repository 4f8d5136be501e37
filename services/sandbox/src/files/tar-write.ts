// Writes a tar, piece by piece: ustar, and pax where a name or a size does not fit into that.
import { ArchiveError, type ArchiveEntry, BLOCK_BYTES, headerOf, paddingOf } from "./tar-header.ts";

/** The bytes of a tar of these entries; a file that turns out to have another size than it said ends it. */
export async function* writeTar(entries: AsyncIterable<ArchiveEntry>): AsyncGenerator<Buffer> {
  for await (const entry of entries) {
    yield headerOf(entry);
    if (entry.type !== "file") continue;
    let left = entry.sizeBytes;
    for await (const piece of entry.content) {
      left -= piece.length;
      if (left < 0) break;
      yield piece;
    }
    if (left !== 0) {
      throw new ArchiveError(`${entry.path.toString("utf8")} has changed while it was read`);
    }
    const padding = paddingOf(entry.sizeBytes);
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}
