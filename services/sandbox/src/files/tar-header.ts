// Blocks of a tar: ustar (POSIX.1-1988), with what pax and GNU made of it. Names are bytes, as the kernel has them, and
// never anything that leads out of the folder they are below.

export const BLOCK_BYTES = 512;
const nameBytesMax = 4095;
const partBytesMax = 255;

/** What makes an archive one that is not unpacked. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

/** Something in an archive. */
export interface ArchiveEntry {
  readonly type: "file" | "directory" | "symlink" | "hardlink";
  /** Below the folder that the archive is of; its bytes. */
  readonly path: Buffer;
  /** Permission bits, without those that give a program another user. */
  readonly mode: number;
  /** When it was last changed, in whole seconds since 1970. */
  readonly mtimeSeconds: number;
  /** Of a link: where it leads, or of a hard one another path of the archive. */
  readonly target: Buffer;
  /** Of a file. */
  readonly sizeBytes: number;
  /** What is in a file, to be read before the next entry is asked for. */
  readonly content: AsyncIterable<Buffer>;
}

/** A header block. */
export interface Header {
  readonly name: Buffer;
  readonly target: Buffer;
  readonly type: string;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
}

const at = {
  name: [0, 100],
  mode: [100, 108],
  size: [124, 136],
  mtime: [136, 148],
  checksum: [148, 156],
  target: [157, 257],
  magic: [257, 263],
  prefix: [345, 500],
} as const;
const typeAt = 156;

/** Whether a block is the end of a tar. */
export function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

/** Reads a header block; throws ArchiveError when it is none. */
export function parseHeader(block: Buffer): Header {
  if (number(block, at.checksum) !== checksum(block)) {
    throw new ArchiveError("it is no tar, or damaged: a checksum is wrong");
  }
  const type = String.fromCharCode(block[typeAt] ?? 0);
  const isPosix = block.toString("latin1", ...at.magic) === "ustar\0";
  const prefix = isPosix ? text(block, at.prefix) : Buffer.alloc(0);
  const name = text(block, at.name);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, slash, name]),
    target: text(block, at.target),
    type: type === "\0" ? "0" : type,
    mode: number(block, at.mode) & 0o777,
    sizeBytes: sizeOf(number(block, at.size)),
    mtimeSeconds: number(block, at.mtime),
  };
}

/** A size that is one; throws ArchiveError. */
export function sizeOf(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new ArchiveError("a size in it is none");
}

const slash = Buffer.from("/");

function text(block: Buffer, [from, to]: readonly [number, number]): Buffer {
  const end = block.subarray(from, to).indexOf(0);
  return Buffer.from(block.subarray(from, end === -1 ? to : from + end));
}

// Octal digits, or where they are not enough GNU's: the first bit set, and a number of 95 bits in two's complement.
function number(block: Buffer, [from, to]: readonly [number, number]): number {
  const first = block[from] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = /^ *([0-7]*)(?:[ \0]|$)/.exec(block.toString("latin1", from, to))?.[1];
    if (digits === undefined) throw new ArchiveError("it is no tar, or damaged: a number is none");
    return digits === "" ? 0 : Number.parseInt(digits, 8);
  }
  let value = (first & 0x40) === 0 ? first & 0x3f : (first & 0x7f) - 0x80;
  for (const byte of block.subarray(from + 1, to)) value = value * 256 + byte;
  if (!Number.isSafeInteger(value)) throw new ArchiveError("a number in it is too large");
  return value;
}

// The sum of all bytes, as if its own field had spaces. A loop over numbers: an iterator takes ten times as long.
function checksum(block: Buffer): number {
  let sum = 0x20 * (at.checksum[1] - at.checksum[0]);
  for (let index = 0; index < at.checksum[0]; index += 1) sum += block[index] ?? 0;
  for (let index = at.checksum[1]; index < BLOCK_BYTES; index += 1) sum += block[index] ?? 0;
  return sum;
}

/**
 * A path of an archive without what means nothing in it, empty for the folder itself; throws ArchiveError when it is
 * absolute, leads upwards or is longer than a path can be.
 */
export function pathBelow(name: Buffer): Buffer {
  if (name[0] === 0x2f) throw new ArchiveError(`'${shown(name)}' in it is an absolute path`);
  if (name.includes(0)) throw new ArchiveError("a path in it has a zero byte");
  if (name.length > nameBytesMax) throw new ArchiveError("a path in it is too long");
  const parts = name.toString("latin1").split("/");
  const told = parts.filter((part) => part !== "" && part !== ".");
  if (told.includes("..")) throw new ArchiveError(`'${shown(name)}' in it leads upwards`);
  if (told.some((part) => part.length > partBytesMax)) {
    throw new ArchiveError("a name in it is too long");
  }
  return Buffer.from(told.join("/"), "latin1");
}

/** Where a symbolic link leads, which may be anywhere; throws ArchiveError when it is no path. */
export function linkTarget(target: Buffer): Buffer {
  if (target.length > 0 && target.length <= nameBytesMax && !target.includes(0)) return target;
  throw new ArchiveError("a link in it leads nowhere");
}

/** A path for a sentence. */
export function shown(path: Buffer): string {
  return path.toString("utf8").slice(0, 200);
}

const types: Readonly<Record<ArchiveEntry["type"], string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  directory: "5",
};
const octalBytesMax = 8 ** 11 - 1;

/** The header of an entry: one block, or three with a pax header before it where ustar has no room. */
export function headerOf(entry: Omit<ArchiveEntry, "content">): Buffer {
  const path = entry.type === "directory" ? Buffer.concat([entry.path, slash]) : entry.path;
  const [prefix, name] = split(path);
  const size = entry.type === "file" ? entry.sizeBytes : 0;
  const pax: Buffer[] = [];
  if (name === undefined) pax.push(paxRecord("path", path));
  if (entry.target.length > 100) pax.push(paxRecord("linkpath", entry.target));
  if (size > octalBytesMax) pax.push(paxRecord("size", Buffer.from(String(size))));
  if (entry.mtimeSeconds < 0) {
    pax.push(paxRecord("mtime", Buffer.from(String(entry.mtimeSeconds))));
  }
  const mtimeSeconds = Math.max(0, entry.mtimeSeconds);
  const own = write({
    ...{ prefix, name: name ?? path.subarray(0, 100), target: entry.target.subarray(0, 100) },
    ...{ type: types[entry.type], mode: entry.mode, mtimeSeconds },
    size: size > octalBytesMax ? 0 : size,
  });
  if (pax.length === 0) return own;
  const records = Buffer.concat(pax);
  const [none, paxName] = [Buffer.alloc(0), Buffer.from("PaxHeader")];
  const before = write({
    ...{ prefix: none, name: paxName, target: none, type: "x", mode: 0o644, mtimeSeconds },
    size: records.length,
  });
  return Buffer.concat([before, padded(records), own]);
}

// A name of up to 100 bytes, below a prefix of up to 155.
function split(path: Buffer): [prefix: Buffer, name: Buffer | undefined] {
  const none = Buffer.alloc(0);
  if (path.length <= 100) return [none, path];
  const cut = path.indexOf(0x2f, path.length - 101);
  const fits = cut > 0 && cut <= 155 && cut < path.length - 1;
  return fits ? [path.subarray(0, cut), path.subarray(cut + 1)] : [none, undefined];
}

interface Fields {
  readonly prefix: Buffer;
  readonly name: Buffer;
  readonly target: Buffer;
  readonly type: string;
  readonly mode: number;
  readonly size: number;
  readonly mtimeSeconds: number;
}

function write(fields: Fields): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  fields.name.copy(bytes, at.name[0]);
  fields.target.copy(bytes, at.target[0]);
  fields.prefix.copy(bytes, at.prefix[0]);
  bytes.write(octal(fields.mode, 7), at.mode[0], "latin1");
  bytes.write(octal(0, 7) + octal(0, 7), 108, "latin1"); // whose it is, is not told
  bytes.write(octal(fields.size, 11), at.size[0], "latin1");
  bytes.write(octal(fields.mtimeSeconds, 11), at.mtime[0], "latin1");
  bytes.write(fields.type, typeAt, "latin1");
  bytes.write("ustar\x0000", at.magic[0], "latin1");
  bytes.write(`${octal(checksum(bytes), 6)} `, at.checksum[0], "latin1");
  return bytes;
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

/** Bytes with zeros to the end of their last block. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(paddingOf(bytes.length))]);
}

/** How many zeros follow so many bytes. */
export function paddingOf(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
