// Output as messages of the contract have it: text, or the bytes of what is none.
import { isUtf8 } from "node:buffer";

/** A message with such data; one that has none is empty. */
export interface TextOrBytes {
  readonly data:
    | { readonly case: "text"; readonly value: string }
    | { readonly case: "base64"; readonly value: Uint8Array }
    | { readonly case: undefined; readonly value?: undefined };
}

const none = new Uint8Array();

/** The bytes of it, not copied where it has them. */
export function bytesOf({ data }: TextOrBytes): Buffer {
  if (data.case === "text") return Buffer.from(data.value, "utf8");
  const bytes = data.value ?? none;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The data of a message: text when the bytes are UTF-8, else the bytes, not copied. */
export function textOrBytes(bytes: Buffer) {
  return isUtf8(bytes)
    ? { case: "text" as const, value: bytes.toString("utf8") }
    : { case: "base64" as const, value: bytes };
}
