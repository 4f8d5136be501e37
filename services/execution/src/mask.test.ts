// What a mask lets through, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createMask, maskedBytesMin, MaskedStream, maskFile } from "./mask.ts";

/** What comes out of a stream after each piece, and at its end. */
function outputs(
  secrets: readonly string[],
  pieces: readonly (string | Uint8Array)[],
  cut = false,
) {
  const stream = new MaskedStream(createMask(secrets));
  const written = pieces.map((piece) => stream.write(Buffer.from(piece)).toString("latin1"));
  return [...written, stream.end({ cut }).toString("latin1")];
}

/**
 * The same by looking everywhere: every byte of an occurrence is covered, and what overlaps is one mask. Whatever
 * begins at a place or after it is left out.
 */
function masked(secrets: readonly string[], text: string, before = text.length): string {
  const spans = secrets
    .flatMap((secret) =>
      Array.from(text, (_, start) => ({ start, end: start + secret.length })).filter(({ start }) =>
        text.startsWith(secret, start),
      ),
    )
    .toSorted((a, b) => a.start - b.start);
  let result = "";
  let next = 0;
  for (const { start, end } of spans) {
    if (start >= next && start >= before) break;
    if (start >= next) result += `${text.slice(next, start)}***`;
    next = Math.max(next, end);
  }
  return result + text.slice(next, before);
}

/** The longest end of a text that is the beginning of a secret and not the whole of it. */
function beginning(secrets: readonly string[], text: string): number {
  const lengths = Array.from(text, (_, index) => text.length - index);
  const begins = (length: number) =>
    secrets.some((secret) => secret.length > length && secret.startsWith(text.slice(-length)));
  return lengths.find(begins) ?? 0;
}

function cutUp(text: string, places: readonly number[]): string[] {
  const ends = [...places.map((place) => place % (text.length + 1)), text.length].toSorted(
    (a, b) => a - b,
  );
  return ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

const letters = fc.constantFrom("a", "b", "c");
const someSecrets = fc.array(
  fc.string({ unit: letters, minLength: maskedBytesMin, maxLength: 9 }),
  {
    minLength: 1,
    maxLength: 5,
  },
);
// Texts of three letters have many of the secrets in them; whole ones besides, so that every run has some.
const textOf = (secrets: readonly string[]) =>
  fc
    .array(fc.oneof(letters, fc.constantFrom(...secrets)), { maxLength: 60 })
    .map((parts) => parts.join(""));
const cases = someSecrets.chain((secrets) =>
  fc.tuple(fc.constant(secrets), textOf(secrets), fc.array(fc.nat(400), { maxLength: 12 })),
);

test("MaskedStream covers every secret and nothing else, however the bytes are cut", () => {
  fc.assert(
    fc.property(cases, ([secrets, text, places]) => {
      assert.equal(outputs(secrets, cutUp(text, places)).join(""), masked(secrets, text));
    }),
    { numRuns: 2000 },
  );
});

test("MaskedStream holds back what may begin a secret, and not a byte more", () => {
  fc.assert(
    fc.property(cases, ([secrets, text, places]) => {
      const stream = new MaskedStream(createMask(secrets));
      let said = "";
      let seen = "";
      for (const piece of cutUp(text, places)) {
        said += piece;
        seen += stream.write(Buffer.from(piece)).toString();
        assert.equal(seen, masked(secrets, said, said.length - beginning(secrets, said)));
      }
    }),
    { numRuns: 2000 },
  );
});

test("MaskedStream masks a secret that comes byte by byte, and lets the rest pass at once", () => {
  const pieces = ["name> ", ...Array.from("s3cret"), "!\n"];
  assert.deepEqual(outputs(["s3cret"], pieces), ["name> ", "", "", "", "", "", "***", "!\n", ""]);
});

test("MaskedStream lets go what only looked like a secret as soon as it does not", () => {
  assert.deepEqual(outputs(["s3cret"], ["s3cre", "ss3", "x"]), ["", "s3cres", "s3x", ""]);
  assert.deepEqual(outputs(["aab!", "abab!"], ["aaba", "b", "c"]), ["a", "", "ababc", ""]);
});

test("of secrets that lie in one another the longest is covered, of those that overlap both", () => {
  assert.equal(outputs(["pass", "password"], ["a password"]).join(""), "a ***");
  assert.equal(outputs(["pass", "password"], ["a passport"]).join(""), "a ***port");
  assert.equal(outputs(["pass", "password"], ["a pass"]).join(""), "a ***");
  assert.equal(outputs(["abcdef", "defghi"], ["<abcdefghi>"]).join(""), "<***>");
  assert.equal(outputs(["abcdef", "defghi"], ["<abcdef", "ghi>"]).join(""), "<***>");
  assert.equal(outputs(["abcd", "efgh"], ["abcdefgh"]).join(""), "******");
});

test("MaskedStream gives back a beginning that stayed one, but not when the stream was cut off", () => {
  assert.deepEqual(outputs(["s3cret"], ["a s3c"]), ["a ", "s3c"]);
  assert.deepEqual(outputs(["s3cret"], ["a s3c"], true), ["a ", "***"]);
  assert.deepEqual(outputs(["s3cret"], ["a s3cret"], true), ["a ***", ""]);
  assert.deepEqual(outputs(["pass", "password"], ["passwo"], true), ["", "***"]);
});

test("MaskedStream works on bytes: what is not text stays as it is, around a secret that is", () => {
  const bytes = Buffer.concat([
    Buffer.from([0xff, 0x00]),
    Buffer.from("s3cret"),
    Buffer.from([0xe2]),
  ]);
  assert.equal(outputs(["s3cret"], [bytes]).join(""), "\xff\x00***\xe2");
  const stream = new MaskedStream(createMask(["Grüße€"]));
  const text = [...Buffer.from("Viele Grüße€!")].map((byte) => stream.write(Uint8Array.of(byte)));
  assert.equal(Buffer.concat(text).toString(), "Viele ***!");
});

test("white space around a secret is not looked for", () => {
  assert.equal(outputs([" \ts3cret\r\n"], ["<s3cret>\n s3cret\n"]).join(""), "<***>\n ***\n");
});

test("masked output is never longer than what was written", () => {
  fc.assert(
    fc.property(cases, ([secrets, text, places]) => {
      assert.ok(outputs(secrets, cutUp(text, places)).join("").length <= text.length);
    }),
  );
});

test("MaskedStream takes time with the bytes and not with the secrets, at their worst", () => {
  // Each text is nearly the secret, everywhere.
  const secrets = Array.from({ length: 64 }, (_, n) => `${"a".repeat(1000)}${n}b`);
  const stream = new MaskedStream(createMask(secrets));
  const began = performance.now();
  for (let n = 0; n < 16; n += 1) stream.write(Buffer.alloc(65_536, "a"));
  assert.ok(performance.now() - began < 5000);
});

test("maskFile() masks text, also text that was cut in the middle of a character", () => {
  const mask = createMask(["s3cret"]);
  const file = (bytes: Uint8Array, cut: boolean) => Buffer.from(maskFile(mask, bytes, cut));
  assert.equal(file(Buffer.from("a s3cret"), false).toString(), "a ***");
  const cut = Buffer.from("s3cret €").subarray(0, -1);
  assert.deepEqual(file(cut, true), Buffer.concat([Buffer.from("*** "), cut.subarray(-2)]));
  assert.equal(file(Buffer.from("so s3c"), true).toString(), "so ***");
  const binary = Buffer.concat([Buffer.from([0xff]), Buffer.from("s3cret")]);
  assert.deepEqual(file(binary, false), binary);
});
