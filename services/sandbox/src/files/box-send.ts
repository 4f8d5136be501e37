// What is sent to the agent's `box`, record by record (see ../agent/box.c and ../agent/pack.c).
import { type Channel, InputClosedError } from "../jail/channels.ts";
import type { ArchiveEntry } from "./tar-header.ts";

const pieceBytesMax = 65_536;
const pieceBroken = 0xffff_ffff;

/** What is to be written. */
export interface NewFile {
  readonly path: string;
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** 0 leaves those of the file that is replaced. */
  readonly mode: number;
}

/** One step of unpacking: something is made, or the folder that it is gets the mode and the time that it is to have. */
export interface UnpackStep {
  readonly kind: "make" | "finish";
  readonly entry: ArchiveEntry;
}

/** Sends files to `write`; throws what their content throws, when that was told and the file given up. */
export function sendFiles(channel: Channel, files: readonly NewFile[]): Promise<void> {
  return untilClosed(channel, async () => {
    for (const { path, content, mode } of files) {
      await channel.write(Buffer.concat([Buffer.from("f"), u32(mode), sized(Buffer.from(path))]));
      await sendContent(channel, content);
    }
  });
}

const letters = { file: "f", directory: "d", symlink: "l", hardlink: "h" } as const;

/** Sends the steps of unpacking to `unpack`; throws what they throw. */
export function sendParts(channel: Channel, steps: AsyncIterable<UnpackStep>): Promise<void> {
  return untilClosed(channel, async () => {
    for await (const { kind, entry } of steps) {
      const isLink = entry.type === "symlink" || entry.type === "hardlink";
      const time = Buffer.alloc(8);
      time.writeBigInt64LE(BigInt(entry.mtimeSeconds), 0);
      const letter = Buffer.from(kind === "finish" ? "m" : letters[entry.type]);
      const parts = [letter, u32(entry.mode), time, sized(entry.path)];
      if (isLink) parts.push(sized(entry.target));
      await channel.write(Buffer.concat(parts));
      if (entry.type === "file") await sendContent(channel, entry.content);
    }
  });
}

// When it takes no more, what it said last tells why. Where the steps themselves have failed it is told that there are
// no more, so that it leaves nothing that is half done.
async function untilClosed(channel: Channel, send: () => Promise<void>): Promise<void> {
  try {
    try {
      await send();
    } finally {
      await channel.write(Buffer.alloc(1));
      channel.endInput();
    }
  } catch (error) {
    if (!(error instanceof InputClosedError)) throw error;
  }
}

async function sendContent(channel: Channel, content: NewFile["content"]): Promise<void> {
  const parts = content instanceof Uint8Array ? [content] : content;
  try {
    for await (const part of parts) await sendPieces(channel, part);
  } catch (error) {
    if (!(error instanceof InputClosedError)) await channel.write(u32(pieceBroken));
    throw error;
  }
  await channel.write(u32(0));
}

async function sendPieces(channel: Channel, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += pieceBytesMax) {
    const piece = bytes.subarray(at, at + pieceBytesMax);
    await channel.write(Buffer.concat([u32(piece.length), piece]));
  }
}

function sized(bytes: Buffer): Buffer {
  return Buffer.concat([u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}
