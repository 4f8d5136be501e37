// What secrets must keep to, and what is left of them in a spec that goes on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ExecutionSpecSchema } from "@syla/contract/syla/execution/v1/spec";
import { namesSecrets, secretFaults, withholdSecrets } from "./secrets.ts";

function specOf(spec: MessageInitShape<typeof ExecutionSpecSchema>) {
  return create(ExecutionSpecSchema, { language: "bash", code: "env", ...spec });
}

function faultsOf(spec: MessageInitShape<typeof ExecutionSpecSchema>): string[] {
  const faults = secretFaults(specOf(spec), "/spec/secrets");
  assert.ok(!JSON.stringify(faults).includes("hidden"), "a value is told");
  return faults.map(({ pointer, rule }) => `${pointer} ${rule}`);
}

test("withholdSecrets() leaves their names in the spec and takes the values", () => {
  const given = specOf({ env: { A: "1" }, secrets: { TOKEN: "hidden", OTHER: "hidden too" } });
  const { spec, secrets } = withholdSecrets(given);
  const variables = { TOKEN: "hidden", OTHER: "hidden too" };
  assert.deepEqual(secrets, { variables, network: undefined });
  assert.deepEqual(spec.secrets, { TOKEN: "", OTHER: "" });
  assert.deepEqual({ ...spec, secrets: secrets.variables }, given);
  const written = Buffer.from(toBinary(ExecutionSpecSchema, spec)).toString("latin1");
  assert.ok(written.includes("TOKEN") && !written.includes("hidden"));
});

test("withholdSecrets() takes the values of a network's headers, and what they are made of", () => {
  const inject = [{ host: "a.test", header: "X", value: "hidden ${A}" }];
  for (const network of [
    { inject },
    { secrets: { A: "hidden" } },
    { inject, secrets: { A: "hidden" } },
  ]) {
    const given = specOf({ network });
    const { spec, secrets } = withholdSecrets(given);
    assert.deepEqual(secrets.network, given.network);
    assert.ok(namesSecrets(spec));
    const written = Buffer.from(toBinary(ExecutionSpecSchema, spec)).toString("latin1");
    assert.ok(!written.includes("hidden"));
  }
  const { spec, secrets } = withholdSecrets(specOf({ network: { allow: [] } }));
  assert.deepEqual([namesSecrets(spec), secrets.network], [false, spec.network]);
});

test("namesSecrets() tells a spec that has or had secrets from one that never did", () => {
  const { spec } = withholdSecrets(specOf({ secrets: { EMPTY: "" } }));
  assert.equal(namesSecrets(spec), true);
  assert.equal(namesSecrets(withholdSecrets(specOf({ env: { A: "1" } })).spec), false);
});

test("a name in both env and secrets is refused, each by its pointer", () => {
  const env = { A: "1", B: "2", constructor: "3" };
  assert.deepEqual(faultsOf({ env, secrets: { A: "hidden", B: "hidden", C: "hidden" } }), [
    "/spec/secrets/A secrets.unique",
    "/spec/secrets/B secrets.unique",
  ]);
  assert.deepEqual(faultsOf({ env: { A: "1" }, secrets: { toString: "hidden" } }), []);
});

test("a value too short to be masked is refused when that is asked for, and else taken", () => {
  const secrets = { A: "abc", B: "abcd", C: "\u00fc\u00fc", D: " abc\n", E: "" };
  assert.deepEqual(faultsOf({ secrets }), []);
  assert.deepEqual(faultsOf({ secrets, maskSecrets: true }), [
    "/spec/secrets/A secrets.short",
    "/spec/secrets/D secrets.short",
    "/spec/secrets/E secrets.short",
  ]);
  assert.deepEqual(faultsOf({ maskSecrets: true }), []);
});

test("values of more than 64 KiB together are refused", () => {
  const half = "x".repeat(32 * 1024);
  assert.deepEqual(faultsOf({ secrets: { A: half, B: half } }), []);
  assert.deepEqual(faultsOf({ secrets: { A: half, B: half, C: "x" } }), [
    "/spec/secrets secrets.size",
  ]);
});
