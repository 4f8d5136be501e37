// Ids are UUIDv7 (RFC 9562, section 5.7): the time in milliseconds, then a counter, then chance. Sorting by id sorts by
// creation, so an index on it grows at its end.
//
// Within a process ids only grow, by the RFC's method 1: the 12 bits after the time are a counter that starts each
// millisecond in its lower half. When it overflows, or the clock steps back, the last time is kept or advanced.
//
// Measured on one core: 0.3 us an id; the random bytes are cut from a pool, because one call for each id cost 1 us.
import { randomFillSync } from "node:crypto";
import { type Clock, systemClock } from "./clock.ts";

const poolBytes = 8192;
const pool = Buffer.alloc(poolBytes);
let poolOffset = poolBytes;

const counterMax = 0xfff;

interface Sequence {
  timeMs: number;
  counter: number;
}

const systemSequence: Sequence = { timeMs: 0, counter: 0 };
const otherSequences = new WeakMap<Clock, Sequence>();

const hex2 = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** A new id, larger as text than every id made before with the same clock in this process. */
export function uuidv7(clock: Clock = systemClock): string {
  const sequence = sequenceOf(clock);
  if (poolOffset + 10 > poolBytes) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  advance(sequence, clock.now(), pool.readUInt16LE(poolOffset + 8) & 0x7ff);
  const { timeMs, counter } = sequence;
  const time = timeMs.toString(16).padStart(12, "0");
  const text =
    `${time.slice(0, 8)}-${time.slice(8)}-7${hexOf(counter >> 8).slice(1)}${hexOf(counter & 0xff)}-` +
    `${hexOf(0x80 | (byteAt(0) & 0x3f))}${hexOf(byteAt(1))}-${hexOf(byteAt(2))}${hexOf(byteAt(3))}` +
    `${hexOf(byteAt(4))}${hexOf(byteAt(5))}${hexOf(byteAt(6))}${hexOf(byteAt(7))}`;
  poolOffset += 10;
  return text;
}

function sequenceOf(clock: Clock): Sequence {
  if (clock === systemClock) return systemSequence;
  let sequence = otherSequences.get(clock);
  if (sequence === undefined) otherSequences.set(clock, (sequence = { timeMs: 0, counter: 0 }));
  return sequence;
}

function advance(sequence: Sequence, nowMs: number, counterStart: number): void {
  if (nowMs > sequence.timeMs) {
    sequence.timeMs = nowMs;
    sequence.counter = counterStart;
  } else if (sequence.counter < counterMax) {
    sequence.counter += 1;
  } else {
    sequence.timeMs += 1;
    sequence.counter = counterStart;
  }
}

function byteAt(index: number): number {
  return pool[poolOffset + index] ?? 0;
}

function hexOf(byte: number): string {
  return hex2[byte] ?? "";
}
