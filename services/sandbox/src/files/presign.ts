// Addresses by which whoever has one reads or writes one file of a sandbox for a time. All that one is good for is in
// it and signed, so nothing is kept: it is over at its time, and with its sandbox, which is looked for at each use.
import { createHmac, timingSafeEqual } from "node:crypto";
import { SylaError } from "@syla/kit/error";

/** What an address is good for. */
export interface Grant {
  readonly sandbox: string;
  readonly path: string;
  readonly operation: "read" | "write";
  /** In seconds since 1970. */
  readonly expiresAt: number;
  /** How large the file may be; 0 is no bound. */
  readonly bytesMax: number;
}

/** How a grant is written, for the day on which that changes. */
const version = 1;
const tokenShape = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;

/** Signs and knows addresses. */
export class Presigner {
  readonly #key: Uint8Array;
  readonly #nowMs: () => number;

  constructor(key: Uint8Array, nowMs: () => number) {
    this.#key = key;
    this.#nowMs = nowMs;
  }

  /** When so much time will have passed, in seconds since 1970. */
  secondsAfter(ms: number): number {
    return Math.floor((this.#nowMs() + ms) / 1000);
  }

  /** The secret part of the address of a grant. */
  sign({ sandbox, path, operation, expiresAt, bytesMax }: Grant): string {
    const fields = [version, sandbox, path, operation, expiresAt, bytesMax];
    const text = Buffer.from(JSON.stringify(fields)).toString("base64url");
    return `${text}.${this.#signature(text).toString("base64url")}`;
  }

  /** What an address is good for; throws `presigned_refused` when that is not this, not any more, or nothing. */
  open(token: string, operation: Grant["operation"]): Grant {
    const [, text = "", signature = ""] = tokenShape.exec(token) ?? [];
    const given = Buffer.from(signature, "base64url");
    const expected = this.#signature(text);
    const isSigned = given.length === expected.length && timingSafeEqual(given, expected);
    const grant = isSigned ? parseGrant(text) : undefined;
    if (grant === undefined) throw refused("its signature is not valid");
    if (grant.operation !== operation) throw refused(`it is good to ${grant.operation} only`);
    if (grant.expiresAt * 1000 <= this.#nowMs()) throw refused("its time is over");
    return grant;
  }

  #signature(text: string): Buffer {
    return createHmac("sha256", this.#key).update(text).digest();
  }
}

// What is signed was written by `sign`; of another version it is nothing that is known.
function parseGrant(text: string): Grant | undefined {
  const fields = JSON.parse(Buffer.from(text, "base64url").toString()) as [
    ...[number, string, string, Grant["operation"], number, number],
  ];
  const [written, sandbox, path, operation, expiresAt, bytesMax] = fields;
  return written === version ? { sandbox, path, operation, expiresAt, bytesMax } : undefined;
}

function refused(why: string): SylaError {
  return new SylaError("presigned_refused", `Cannot use this address: ${why}.`);
}
