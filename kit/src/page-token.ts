// Page tokens say where a list goes on. They are opaque and signed, so that a client cannot make one up, and bound to
// the query, so that a token of one list or filter is refused by another instead of giving a wrong page.
//
//   token = base64url( signature (16 bytes) | cursor (UTF-8) )
//   signature = HMAC-SHA256(key, query length | query | cursor)
import { createHmac, timingSafeEqual } from "node:crypto";
import { invariant } from "./assert.ts";
import { SylaError } from "./error.ts";

/** Makes and opens page tokens. */
export interface PageTokens {
  /** The token that goes on after `cursor` in the list that `query` names. */
  seal(cursor: string, query: string): string;
  /** The cursor of a token; throws `invalid_page_token` unless it was sealed for this query. */
  open(token: string, query: string): string;
}

const signatureBytes = 16;
const keyBytesMin = 32;
const tokenLengthMax = 4096;

/** Makes page tokens under a key (32 bytes or more) that all processes of an installation share: `installationKey`. */
export function createPageTokens(options: { readonly key: Uint8Array }): PageTokens {
  const { key } = options;
  invariant(key.length >= keyBytesMin, `the key of page tokens has ${keyBytesMin} bytes or more`);
  const sign = (cursor: Uint8Array, query: string): Buffer =>
    createHmac("sha256", key)
      .update(`${query.length}:${query}`)
      .update(cursor)
      .digest()
      .subarray(0, signatureBytes);
  return {
    seal: (cursor, query) => {
      const bytes = Buffer.from(cursor);
      return Buffer.concat([sign(bytes, query), bytes]).toString("base64url");
    },
    open: (token, query) => {
      const bytes = Buffer.from(token.slice(0, tokenLengthMax), "base64url");
      const cursor = bytes.subarray(signatureBytes);
      const signature = bytes.subarray(0, signatureBytes);
      const whole = token.length <= tokenLengthMax && signature.length === signatureBytes;
      if (!whole || !timingSafeEqual(signature, sign(cursor, query))) throw foreign();
      return cursor.toString();
    },
  };
}

function foreign(): SylaError {
  return new SylaError(
    "invalid_page_token",
    "Cannot use the page token: it was not given out for this query. Ask again without it.",
  );
}
