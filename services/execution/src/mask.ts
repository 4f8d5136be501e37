// Writes `***` over secrets in what a program says. All of them are looked for at once, by the automaton of Aho and
// Corasick ("Efficient string matching", 1975), so that a byte costs the same with one secret as with sixty, and so
// that its state tells at any moment how many of the last bytes may begin a secret: just those wait for what comes
// next. Whatever belongs to a secret is covered; where one overlaps another, both are covered by one mask.
//
// Measured on one core: 4 ns a byte of text with five secrets, 15 ns at the worst.
import { isUtf8 } from "node:buffer";
import { invariant } from "@syla/kit/assert";
import { incompleteTail } from "@syla/kit/utf8";

/**
 * The shortest that can be masked, in bytes. Less would be found where nobody wrote it; and as a mask is shorter,
 * output never grows beyond its limit.
 */
export const maskedBytesMin = 4;

const maskBytes = Buffer.from("***");

/** What of a secret is looked for: programs strip white space from around what they are given. */
export function maskedPart(value: string): Buffer {
  return Buffer.from(value.trim());
}

/** The automaton. State 0 is its beginning, and as an answer means "none". */
export interface Mask {
  /** The state after each byte at the beginning. */
  readonly root: Int32Array;
  /** A state's first way on, and the next one beside it. */
  readonly firstChild: Int32Array;
  readonly sibling: Int32Array;
  /** The byte that leads to a state. */
  readonly byte: Uint8Array;
  /** The state for the longest end of what was read that begins a secret too. */
  readonly fallback: Int32Array;
  /** How long the longest secret is that ends here, or 0. */
  readonly ending: Int32Array;
  /** How many of the last bytes may be the beginning of a secret that has not ended. */
  readonly waiting: Int32Array;
}

/** Makes the mask of values, each of `maskedBytesMin` bytes or more; about 21 bytes for each of theirs. */
export function createMask(values: Iterable<string>): Mask {
  const secrets = Array.from(values, maskedPart);
  invariant(
    secrets.every(({ length }) => length >= maskedBytesMin),
    "a short secret is refused before",
  );
  const states = secrets.reduce((sum, { length }) => sum + length, 1);
  const mask: Mask = {
    root: new Int32Array(256),
    firstChild: new Int32Array(states),
    sibling: new Int32Array(states),
    byte: new Uint8Array(states),
    fallback: new Int32Array(states),
    ending: new Int32Array(states),
    waiting: new Int32Array(states),
  };
  let used = 1;
  for (const secret of secrets) used = plant(mask, secret, used);
  link(mask, used);
  return mask;
}

/** Adds the states of one secret, and answers how many are used then. */
function plant(mask: Mask, secret: Uint8Array, used: number): number {
  const { root, firstChild, sibling, byte, ending } = mask;
  let state = 0;
  let next = used;
  for (const each of secret) {
    let child = childOf(mask, state, each);
    if (child === 0) {
      child = next;
      next += 1;
      byte[child] = each;
      sibling[child] = firstChild[state] ?? 0;
      firstChild[state] = child;
      if (state === 0) root[each] = child;
    }
    state = child;
  }
  ending[state] = secret.length;
  return next;
}

/** Finds what each state falls back to, the shallow ones first, for the deeper ones need theirs. */
function link(mask: Mask, used: number): void {
  const { firstChild, sibling, byte, fallback, ending, waiting } = mask;
  const depth = new Int32Array(used);
  const queue = new Int32Array(used);
  let queued = 1;
  for (const state of queue) {
    for (let child = firstChild[state] ?? 0; child !== 0; child = sibling[child] ?? 0) {
      const fall = state === 0 ? 0 : step(mask, fallback[state] ?? 0, byte[child] ?? 0);
      fallback[child] = fall;
      depth[child] = (depth[state] ?? 0) + 1;
      ending[child] = Math.max(ending[child] ?? 0, ending[fall] ?? 0);
      const goesOn = firstChild[child] !== 0;
      waiting[child] = (goesOn ? depth[child] : waiting[fall]) ?? 0;
      queue[queued] = child;
      queued += 1;
    }
  }
}

function childOf({ root, firstChild, sibling, byte }: Mask, state: number, next: number): number {
  if (state === 0) return root[next] ?? 0;
  let child = firstChild[state] ?? 0;
  while (child !== 0 && byte[child] !== next) child = sibling[child] ?? 0;
  return child;
}

function step(mask: Mask, state: number, next: number): number {
  let from = state;
  for (;;) {
    const child = childOf(mask, from, next);
    if (child !== 0 || from === 0) return child;
    from = mask.fallback[from] ?? 0;
  }
}

/** From one place to before another in the bytes of a pass. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** One go over some bytes. What lies before `#next` is written or covered. */
class Pass {
  readonly #data: Buffer;
  /** Spans to cover, in order and apart, which a longer secret may still swallow. */
  readonly #found: Span[];
  #next = 0;
  #out: Buffer | undefined;
  #outBytes = 0;

  constructor(data: Buffer, found: Span[]) {
    this.#data = data;
    this.#found = found;
  }

  /** Covers a span that ends after all others. */
  cover(start: number, end: number): void {
    let first = start;
    for (let last = this.#found.at(-1); last !== undefined; last = this.#found.at(-1)) {
      if (last.end <= first) break;
      first = Math.min(first, last.start);
      this.#found.pop();
    }
    // Over a mask that is written already: it grows.
    if (first < this.#next) this.#next = end;
    else this.#found.push({ start: first, end });
  }

  /** Writes the masks that begin before a place, which no secret that is still to be found can begin before. */
  settle(before: number): void {
    for (let [span] = this.#found; span !== undefined; [span] = this.#found) {
      if (span.start >= before) return;
      this.#found.shift();
      this.#out ??= Buffer.allocUnsafe(this.#data.length + maskBytes.length);
      this.#copy(this.#out, span.start);
      this.#outBytes += maskBytes.copy(this.#out, this.#outBytes);
      this.#next = span.end;
    }
  }

  /** Everything before a place, masked; and what waits from there on. */
  end(before: number): { masked: Buffer; rest: Buffer; found: Span[] } {
    this.settle(before);
    const end = Math.max(before, this.#next);
    let masked = this.#data.subarray(this.#next, end);
    if (this.#out === undefined) {
      this.#next = end;
    } else {
      this.#copy(this.#out, end);
      masked = this.#out.subarray(0, this.#outBytes);
    }
    const found = this.#found.map((span) => ({ start: span.start - end, end: span.end - end }));
    return { masked, rest: this.#data.subarray(end), found };
  }

  #copy(out: Buffer, end: number): void {
    this.#outBytes += this.#data.copy(out, this.#outBytes, this.#next, end);
    this.#next = end;
  }
}

/** One stream of bytes behind a mask. It holds back at most as many bytes as the longest secret has, less one. */
export class MaskedStream {
  readonly #mask: Mask;
  #state = 0;
  #held: Buffer = Buffer.alloc(0);
  #found: Span[] = [];

  constructor(mask: Mask) {
    this.#mask = mask;
  }

  /** Takes bytes, and answers those that are decided, masked; the buffer may be the one that was given. */
  write(bytes: Uint8Array): Buffer {
    const { root, ending, waiting } = this.#mask;
    const given = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const data = this.#held.length === 0 ? given : Buffer.concat([this.#held, given]);
    const pass = new Pass(data, this.#found);
    let state = this.#state;
    for (let at = this.#held.length; at < data.length; at += 1) {
      const byte = data[at] ?? 0;
      state = state === 0 ? (root[byte] ?? 0) : step(this.#mask, state, byte);
      const length = ending[state] ?? 0;
      if (length === 0) continue;
      pass.cover(at + 1 - length, at + 1);
      pass.settle(at + 1 - (waiting[state] ?? 0));
    }
    this.#state = state;
    return this.#leave(pass.end(data.length - (waiting[state] ?? 0)));
  }

  /** The rest. Of a stream that was cut off, what may be the beginning of a secret is masked too. */
  end({ cut }: { readonly cut: boolean }): Buffer {
    const pass = new Pass(this.#held, this.#found);
    const { length } = this.#held;
    const waiting = this.#mask.waiting[this.#state] ?? 0;
    if (cut && waiting > 0) pass.cover(length - waiting, length);
    this.#state = 0;
    return this.#leave(pass.end(length));
  }

  #leave({ masked, rest, found }: ReturnType<Pass["end"]>): Buffer {
    // A copy, or a few bytes would hold on to the whole that they came in.
    this.#held = Buffer.from(rest);
    this.#found = found;
    return masked;
  }
}

/** A whole file behind a mask; bytes that are not UTF-8 as they are, for a mask would damage what they mean. */
export function maskFile(mask: Mask, bytes: Uint8Array, cut: boolean): Uint8Array {
  const text = bytes.subarray(0, bytes.length - (cut ? incompleteTail(bytes) : 0));
  if (!isUtf8(text)) return bytes;
  const stream = new MaskedStream(mask);
  return Buffer.concat([stream.write(bytes), stream.end({ cut })]);
}
