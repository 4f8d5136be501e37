// An array of bytea as a parameter of a statement, in PostgreSQL's binary form. pg would write each value as
// hexadecimal text, which takes twice the bytes, several copies of them, and the server's time to read them back.
//
// The form is that of `array_recv` (PostgreSQL, src/backend/utils/adt/arrayfuncs.c): how many dimensions, whether one
// is null, the type; of the one dimension its length and first index; then each value after its length, -1 for null.

const byteaOid = 17;
const headBytes = 20;
const lengthBytes = 4;

/** The array in binary; a Buffer is what pg sends as such. */
export function encodeByteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  const bytes = values.reduce((sum, value) => sum + lengthBytes + (value?.length ?? 0), headBytes);
  const encoded = Buffer.allocUnsafe(bytes);
  let at = encoded.writeInt32BE(1, 0);
  at = encoded.writeInt32BE(values.includes(null) ? 1 : 0, at);
  at = encoded.writeInt32BE(byteaOid, at);
  at = encoded.writeInt32BE(values.length, at);
  at = encoded.writeInt32BE(1, at);
  for (const value of values) {
    at = encoded.writeInt32BE(value?.length ?? -1, at);
    if (value === null) continue;
    encoded.set(value, at);
    at += value.length;
  }
  return encoded;
}
