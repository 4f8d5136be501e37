// Reads a tar as it comes: strict in what it takes, so that what is unpacked is what the archive says, and bounded, so
// that no archive holds more of this process than a few headers. It knows of no file system.
import {
  ArchiveError,
  type ArchiveEntry,
  BLOCK_BYTES,
  type Header,
  isZero,
  linkTarget,
  paddingOf,
  parseHeader,
  pathBelow,
  shown,
} from "./tar-header.ts";
import { type Overrides, parsePax } from "./tar-pax.ts";

/** Of headers that say more of an entry; a file's extended attributes are among it. */
const extensionBytesMax = 1024 ** 2;
/** After the end: tar fills up its last record, whose size is anyone's choice. */
const trailingBytesMax = 16 * 1024 ** 2;

/** The entries of a tar; throws ArchiveError at the first thing that is not taken. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const bytes = new ByteReader(source);
  try {
    let lasting: Overrides = {};
    for (;;) {
      const next = await nextHeader(bytes, lasting);
      if (next === undefined) break;
      lasting = next.lasting;
      const content = new Content(bytes, next.header.sizeBytes);
      const entry = toEntry(next.header, content);
      if (entry !== undefined) yield entry;
      await content.skip();
    }
    await bytes.drain(trailingBytesMax);
  } finally {
    await bytes.close();
  }
}

interface Found {
  readonly header: Header;
  /** What a header before it says of all that follow. */
  readonly lasting: Overrides;
}

// The header of the next entry, with what those before it say of it; undefined at the end.
async function nextHeader(bytes: ByteReader, given: Overrides): Promise<Found | undefined> {
  let lasting = given;
  let once: Overrides = {};
  for (let extensionBytes = 0; ;) {
    const block = await bytes.take(BLOCK_BYTES);
    if (isZero(block)) return undefined;
    const header = parseHeader(block);
    if (!"xgLK".includes(header.type)) return { header: merged(header, lasting, once), lasting };
    extensionBytes += header.sizeBytes;
    if (extensionBytes > extensionBytesMax) throw new ArchiveError("a header in it is too long");
    const said = await bytes.take(header.sizeBytes);
    await bytes.take(paddingOf(header.sizeBytes));
    if (header.type === "g") lasting = { ...lasting, ...parsePax(said) };
    else if (header.type === "x") once = { ...once, ...parsePax(said) };
    else once = { ...once, [header.type === "L" ? "path" : "target"]: untilZero(said) };
  }
}

function merged(header: Header, lasting: Overrides, once: Overrides): Header {
  const { path, target, sizeBytes, mtimeSeconds } = { ...lasting, ...once };
  return {
    ...header,
    name: path ?? header.name,
    target: target ?? header.target,
    sizeBytes: sizeBytes ?? header.sizeBytes,
    mtimeSeconds: mtimeSeconds ?? header.mtimeSeconds,
  };
}

function untilZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end));
}

const types: Readonly<Record<string, ArchiveEntry["type"]>> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
  "7": "file",
};
const refusals: Readonly<Record<string, string>> = {
  "3": "is a device",
  "4": "is a device",
  "6": "is a pipe",
  S: "has holes",
};

// Undefined for the folder that the archive is of.
function toEntry({ name, type: letter, ...header }: Header, content: Content) {
  const known = Object.hasOwn(types, letter) ? types[letter] : undefined;
  if (known === undefined) {
    const why = refusals[letter] ?? "is of a kind that is not known";
    throw new ArchiveError(`'${shown(name)}' in it ${why}`);
  }
  // As it was before there was a letter for it.
  const type = known === "file" && name.at(-1) === 0x2f ? "directory" : known;
  if (type !== "file" && header.sizeBytes > 0) {
    throw new ArchiveError(`'${shown(name)}' in it is no file and has content`);
  }
  const path = pathBelow(name);
  if (path.length === 0) {
    if (type === "directory") return undefined;
    throw new ArchiveError("a file in it has no name");
  }
  let target: Buffer = Buffer.alloc(0);
  if (type === "symlink") target = linkTarget(header.target);
  if (type === "hardlink") target = pathBelow(header.target);
  const { mode, mtimeSeconds } = header;
  const sizeBytes = type === "file" ? header.sizeBytes : 0;
  return { type, path, target, mode, mtimeSeconds, sizeBytes, content };
}

/** What is in one entry, which can be read once and in part. */
class Content implements AsyncIterable<Buffer> {
  readonly #bytes: ByteReader;
  #left: number;
  readonly #padding: number;

  constructor(bytes: ByteReader, sizeBytes: number) {
    this.#bytes = bytes;
    this.#left = sizeBytes;
    this.#padding = paddingOf(sizeBytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const piece = await this.#bytes.some(this.#left);
      this.#left -= piece.length;
      yield piece;
    }
  }

  /** Goes to the next header. */
  async skip(): Promise<void> {
    while (this.#left > 0) this.#left -= (await this.#bytes.some(this.#left)).length;
    await this.#bytes.take(this.#padding);
  }
}

class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** So many bytes. */
  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0;) {
      const part = await this.some(missing);
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
  }

  /** The next bytes, at least one and so many at most. */
  async some(most: number): Promise<Buffer> {
    if (this.#held.length === 0 && !(await this.#fill())) {
      throw new ArchiveError("it ends in the middle");
    }
    const part = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(part.length);
    return part;
  }

  /** Reads to the end, so that whoever unpacks it looks at its checksum. */
  async drain(bytesMax: number): Promise<void> {
    for (let bytes = this.#held.length; await this.#fill(); bytes += this.#held.length) {
      if (bytes > bytesMax) throw new ArchiveError("it goes on after its end");
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    for (;;) {
      const step = await this.#source.next();
      if (step.done === true) return false;
      const { value } = step;
      if (value.length === 0) continue;
      this.#held = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return true;
    }
  }
}
