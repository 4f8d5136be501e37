import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "@syla/contract/grpc/health/v1/health";
import { CallContext, type HeaderSource } from "./call.ts";
import { localAccess, owner } from "./local-access.ts";
import { localKey } from "./local-key.ts";
import { SylaError } from "./error.ts";
import { createProbe } from "./transport-fixture.ts";

const text = `syla_${"5".repeat(64)}`;
const key = localKey("/data/api-key", text);
const methodsOf = () => createProbe().dispatcher.services[0]?.methods ?? [];

function headers(given: Readonly<Record<string, string>>): HeaderSource {
  return { get: (name) => given[name] };
}

// What the interceptor lets through to the method.
async function asked(context: CallContext, required = true): Promise<string> {
  const [method] = methodsOf();
  assert.ok(method !== undefined);
  const call = localAccess({ key, required }).unary(method, async (request) => request);
  try {
    await (async () => call({ $typeName: "" }, context))();
    return "answered";
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError);
    return thrown.code;
  }
}

test("localAccess() lets in who brings the key in any of its headers, as the owner", async () => {
  const ways = [
    { authorization: `Bearer ${text}` },
    { authorization: `bearer  ${text}` },
    { "x-api-key": text },
    { "x-api-key": text.replace("syla_", "e2b_") },
    { "x-auth-token": text },
    { authorization: "Basic dXNlcjo=", "x-api-key": text },
  ];
  for (const way of ways) {
    const context = new CallContext({ surface: "rest", headers: headers({ ...way }) });
    assert.equal(await asked(context), "answered", JSON.stringify(way));
    assert.equal(context.principal, owner);
  }
});

test("localAccess() refuses who brings none or another, and says where it is", async () => {
  const ways: Readonly<Record<string, string>>[] = [
    {},
    { authorization: "Bearer" },
    { authorization: `Bearer ${text.replace(/5$/, "6")}` },
    { authorization: `Basic ${text}` },
    { authorization: text },
    { "x-api-key": "" },
    { "x-api-key": `${text}, ${text}` },
  ];
  for (const surface of ["rest", "grpc", "graphql", "websocket", "connect", "piston"]) {
    for (const way of ways) {
      const context = new CallContext({ surface, headers: headers(way) });
      assert.equal(await asked(context), "unauthenticated", `${surface} ${JSON.stringify(way)}`);
      assert.equal(context.principal, undefined);
    }
  }
});

test("localAccess() asks nothing where no key is required, of the platform itself, and of who is known", async () => {
  assert.equal(await asked(new CallContext({ surface: "rest" }), false), "answered");
  assert.equal(await asked(new CallContext()), "answered");
  const known = new CallContext({ surface: "e2b" });
  known.principal = { name: "somebody" };
  assert.equal(await asked(known.child()), "answered");
});

test("localAccess() refuses a stream before its first message, and leaves health to everybody", () => {
  const [method] = methodsOf();
  assert.ok(method !== undefined);
  const access = localAccess({ key, required: true });
  const context = new CallContext({ surface: "grpc" });
  const stream = access.stream(method, () => assert.fail("the handler was reached"));
  assert.throws(() => stream({ $typeName: "" }, context), { code: "unauthenticated" });
  const next = async (): Promise<never> => assert.fail("not called");
  assert.equal(access.unary(Health.method.check, next), next);
});
