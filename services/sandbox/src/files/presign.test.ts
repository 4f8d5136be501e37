import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SylaError } from "@syla/kit/error";
import { type Grant, Presigner } from "./presign.ts";

let nowMs = 1_700_000_000_000;
const presigner = new Presigner(Buffer.alloc(32, 1), () => nowMs);
const grant = (more: Partial<Grant> = {}): Grant => ({
  ...{ sandbox: "0197b000-0000-7000-8000-000000000001", path: "/work/ä b", operation: "read" },
  ...{ expiresAt: 1_700_000_060, bytesMax: 0, ...more },
});

function refused(token: string, why: RegExp, signer = presigner): void {
  assert.throws(
    () => signer.open(token, "read"),
    (error) => error instanceof SylaError && error.httpStatus === 403 && why.test(error.message),
  );
}

test("what is signed is known again, with all that it is good for", () => {
  const write = grant({ operation: "write", bytesMax: 7 });
  assert.deepEqual(presigner.open(presigner.sign(grant()), "read"), grant());
  assert.deepEqual(presigner.open(presigner.sign(write), "write"), write);
  refused(presigner.sign(write), /good to write only/);
});

test("it is good until its time, and not after", () => {
  const token = presigner.sign(grant());
  nowMs += 59_999;
  assert.ok(presigner.open(token, "read"));
  nowMs += 1;
  refused(token, /its time is over/);
  nowMs -= 60_000;
  assert.equal(presigner.secondsAfter(60_500), 1_700_000_060);
});

test("no other text is good for anything, nor one of another key", () => {
  const token = presigner.sign(grant());
  refused(token, /signature/, new Presigner(Buffer.alloc(32, 2), () => nowMs));
  fc.assert(
    fc.property(
      fc.nat(token.length - 1),
      fc.constantFrom("a", "Z", "0", "_", "-", ".", "=", "/", " "),
      (at, letter) => {
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        // The last letter of each part has bits that mean nothing; what they say is the same.
        const same = Buffer.from(changed.split(".")[1] ?? "", "base64url").equals(
          Buffer.from(token.split(".")[1] ?? "", "base64url"),
        );
        if (changed !== token && !(same && changed.split(".")[0] === token.split(".")[0])) {
          refused(changed, /signature/);
        }
      },
    ),
  );
  fc.assert(fc.property(fc.string(), (text) => refused(text, /signature/)));
});
