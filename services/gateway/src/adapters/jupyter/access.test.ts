import assert from "node:assert/strict";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { SylaError } from "@syla/kit/error";
import { localKey } from "@syla/kit/local-key";
import { checkHandshake, checkToken } from "./access.ts";

const text = `syla_${"1f".repeat(32)}`;
const key = localKey("", text);

function isLetIn(
  url: string,
  authorization?: string,
  check: (request: IncomingMessage) => void = (request) => checkToken(key, request),
): boolean {
  const request = new IncomingMessage(new Socket());
  request.url = url;
  if (authorization !== undefined) request.headers.authorization = authorization;
  try {
    check(request);
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError && thrown.code === "token_refused");
    assert.ok(!thrown.message.includes("syla_"));
    return false;
  }
}

test("checkToken() takes the key from a header or the address, and a wrong header for no token", () => {
  assert.ok(isLetIn("/x", `token ${text}`));
  assert.ok(isLetIn("/x", `Token ${text}`));
  assert.ok(isLetIn("/x", `Bearer ${text}`));
  assert.ok(isLetIn(`/x?a=1&token=${text}`));
  for (const [url, authorization] of [
    ["/x"],
    ["/x?token="],
    [`/x?token=${text}0`],
    [`/x?token=${text}`, "token wrong"],
    ["/x", text],
    ["/x", `Basic ${text}`],
    ["/x", `token ${text} more`],
  ] as const) {
    assert.ok(!isLetIn(url, authorization), `${url} ${authorization}`);
  }
});

test("checkHandshake() lets pass who brings no token, where the gateway needs no key, and no wrong one", () => {
  for (const isKeyRequired of [false, true]) {
    const check = (request: IncomingMessage) => checkHandshake(key, request, { isKeyRequired });
    assert.equal(isLetIn("/x?session_id=1", undefined, check), !isKeyRequired);
    assert.ok(isLetIn(`/x?token=${text}`, undefined, check));
    assert.ok(isLetIn("/x", `token ${text}`, check));
    assert.ok(!isLetIn("/x?token=", undefined, check));
    assert.ok(!isLetIn("/x?token=wrong", undefined, check));
    assert.ok(!isLetIn("/x", "", check));
  }
});
