// Archives of folders in a sandbox. Their bytes are made and read here, as bytes; what is in the folder is told and
// made by a process in the jail (box.ts), so that no path of an archive or of the tenant is one of the host's.
import { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import type { Box } from "./box.ts";
import type { UnpackStep } from "./box-send.ts";
import { ArchiveError, type ArchiveEntry, pathBelow, shown } from "./tar-header.ts";
import { readTar } from "./tar-read.ts";
import { writeTar } from "./tar-write.ts";

/** What an archive is; for one that is read, `detect` is whichever its first bytes say. */
export type ArchiveKind = "tar" | "gzip" | "detect";

/** What was unpacked. */
export interface Unpacked {
  readonly entries: number;
  /** In all of its files. */
  readonly bytes: number;
}

/** In one archive, either way. */
const entriesMax = 100_000;
/** Of what is held to the end: links, and the folders that are unpacked. */
const heldBytesMax = 16 * 1024 ** 2;
const entryBytes = 200;
const chunkBytes = 65_536;
const gzipLevel = 4;

/** The archive of all below a folder. */
export async function* packFolder(
  box: Pick<Box, "pack">,
  path: string,
  kind: Exclude<ArchiveKind, "detect">,
): AsyncGenerator<Buffer> {
  const tar = inChunks(writeTar(plain(box.pack(path, entriesMax))));
  if (kind === "tar") yield* tar;
  else yield* through(tar, createGzip({ level: gzipLevel }));
}

/**
 * Only what may be unpacked elsewhere: it is the tenant's word what is in its folder, and whoever unpacks the archive
 * is not to be led out of theirs by a path, or by a link that is in it.
 */
async function* plain(entries: AsyncIterable<ArchiveEntry>): AsyncGenerator<ArchiveEntry> {
  const links = new Set<string>();
  let heldBytes = 0;
  for await (const entry of entries) {
    const path = entry.path.toString("latin1");
    if (!pathBelow(entry.path).equals(entry.path) || path === "") {
      throw new ArchiveError(`'${shown(entry.path)}' is no path of it`);
    }
    for (let end = path.indexOf("/"); end !== -1; end = path.indexOf("/", end + 1)) {
      if (links.has(path.slice(0, end))) {
        throw new ArchiveError(`'${shown(entry.path)}' lies behind a link in it`);
      }
    }
    if (entry.type === "symlink") {
      links.add(path);
      heldBytes += entryBytes + path.length;
      if (heldBytes > heldBytesMax) throw new ArchiveError("it has too many links");
    }
    yield entry;
  }
}

/** Unpacks an archive below a folder; throws ArchiveError where it is not to be unpacked. */
export async function unpackFolder(
  box: Pick<Box, "unpack">,
  path: string,
  kind: ArchiveKind,
  source: AsyncIterable<Uint8Array>,
): Promise<Unpacked> {
  const unpacked = { entries: 0, bytes: 0 };
  const tar = kind === "tar" ? source : decompressed(source, kind);
  await box.unpack(path, unpackSteps(counted(readTar(tar), unpacked)));
  return unpacked;
}

async function* counted(
  entries: AsyncIterable<ArchiveEntry>,
  counts: { entries: number; bytes: number },
): AsyncGenerator<ArchiveEntry> {
  for await (const entry of entries) {
    counts.entries += 1;
    counts.bytes += entry.sizeBytes;
    if (counts.entries > entriesMax) {
      throw new ArchiveError(`it has more than ${entriesMax} entries`);
    }
    yield entry;
  }
}

/**
 * In which order an archive is unpacked. Links are made last: until then no name of the archive leads anywhere but
 * below the folder, unless a link was there before. Folders get their modes and times after all that is in them.
 */
async function* unpackSteps(entries: AsyncIterable<ArchiveEntry>): AsyncGenerator<UnpackStep> {
  const links: ArchiveEntry[] = [];
  const folders: ArchiveEntry[] = [];
  let heldBytes = 0;
  for await (const entry of entries) {
    const isLink = entry.type === "symlink" || entry.type === "hardlink";
    if (!isLink) yield { kind: "make", entry };
    if (entry.type === "file") continue;
    heldBytes += entryBytes + entry.path.length + entry.target.length;
    if (heldBytes > heldBytesMax) throw new ArchiveError("it has too many links and folders");
    (isLink ? links : folders).push(entry);
  }
  for (const entry of links) yield { kind: "make", entry };
  for (const entry of folders.toReversed()) yield { kind: "finish", entry };
}

const gzipMagic = Buffer.from([0x1f, 0x8b]);

async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  kind: "gzip" | "detect",
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  for (let bytes = 0; bytes < gzipMagic.length;) {
    const step = await iterator.next();
    if (step.done === true) break;
    first.push(step.value);
    bytes += step.value.length;
  }
  const begin = Buffer.concat(first);
  const whole = joined(begin, iterator);
  const isGzip = begin.subarray(0, gzipMagic.length).equals(gzipMagic);
  if (kind === "detect" && !isGzip) yield* whole;
  else yield* through(whole, createGunzip());
}

async function* joined(first: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield first;
    for (let step = await rest.next(); step.done !== true; step = await rest.next()) {
      yield step.value;
    }
  } finally {
    await rest.return?.();
  }
}

/** What comes out of a compression; its own fault is one of the archive, one of what goes in is thrown as it is. */
async function* through(
  source: AsyncIterable<Uint8Array>,
  zlib: ReturnType<typeof createGzip> | ReturnType<typeof createGunzip>,
): AsyncGenerator<Buffer> {
  let failed: { readonly thrown: unknown } | undefined;
  const input = Readable.from(noting(source, (thrown) => (failed = { thrown })));
  input.on("error", (error) => zlib.destroy(error));
  try {
    const output: AsyncIterable<unknown> = input.pipe(zlib);
    for await (const chunk of output) if (Buffer.isBuffer(chunk)) yield chunk;
  } catch (cause) {
    if (failed !== undefined) throw failed.thrown;
    throw new ArchiveError("it is no gzip, or damaged", { cause });
  } finally {
    input.destroy();
    zlib.destroy();
  }
}

async function* noting(
  source: AsyncIterable<Uint8Array>,
  note: (thrown: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (thrown) {
    note(thrown);
    throw thrown;
  }
}

/** Headers are small, and a chunk costs more than its bytes. */
async function* inChunks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of source) {
    parts.push(part);
    bytes += part.length;
    if (bytes < chunkBytes) continue;
    yield Buffer.concat(parts);
    [parts, bytes] = [[], 0];
  }
  if (bytes > 0) yield Buffer.concat(parts);
}
