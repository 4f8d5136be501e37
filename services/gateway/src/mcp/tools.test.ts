import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { ToolSchema } from "@syla/contract/syla/options/v1/options";
import { FileService } from "@syla/contract/syla/sandbox/v1/file";
import { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { DescService } from "@bufbuild/protobuf";
import { createDispatcher, type Implementation } from "@syla/kit/dispatch";
import { comments } from "../openapi/comments.ts";
import { isObject } from "./rpc.ts";
import { mcpTools, toolDefinition } from "./tools.ts";
import { restRoutes, type RestRoute } from "../routes.ts";

// Nothing is called.
function unserved(service: DescService): Implementation {
  return { service, handler: () => () => Promise.reject(new Error("not served")) };
}

const services = [ExecutionService, SandboxService, ProcessService, FileService];
const routes = restRoutes(createDispatcher(services.map(unserved), []));
const definitions = new Map(
  [...mcpTools(routes)].map(([name, tool]) => [name, toolDefinition(tool, comments())]),
);

function propertiesOf(name: string, side: "inputSchema" | "outputSchema"): JsonObject {
  const schema = definitions.get(name)?.[side];
  const properties = isObject(schema) ? schema["properties"] : undefined;
  assert.ok(isObject(properties), name);
  return properties;
}

test("every tool has schemas that need no references, and nothing combined at the top", () => {
  assert.ok(definitions.size >= 18);
  for (const [name, { inputSchema, outputSchema }] of definitions) {
    for (const schema of [inputSchema, outputSchema]) {
      assert.ok(isObject(schema), name);
      assert.equal(schema["type"], "object", name);
      assert.doesNotMatch(JSON.stringify(schema), /"\$ref"|"format":"u?int|writeOnly/, name);
    }
    for (const word of ["allOf", "anyOf", "oneOf"]) {
      assert.ok(isObject(inputSchema) && !(word in inputSchema), `${name}: ${word}`);
    }
  }
});

test("every argument of every tool is described", () => {
  for (const name of definitions.keys()) {
    for (const [argument, schema] of Object.entries(propertiesOf(name, "inputSchema"))) {
      assert.ok(isObject(schema) && "description" in schema, `${name}: ${argument}`);
    }
  }
});

test("a body's fields stand beside the others, without those that are hidden", () => {
  const run = Object.keys(propertiesOf("run_process", "inputSchema"));
  const wanted = ["sandbox", "command", "args", "env", "directory", "tag", "timeout", "cpuTime"];
  assert.deepEqual(run, wanted);
  const { required } = parseSchema(definitions.get("run_process")?.["inputSchema"]);
  assert.deepEqual(required, ["sandbox", "command"]);
  assert.ok(!("secrets" in propertiesOf("run_code", "inputSchema")));
});

function parseSchema(schema: unknown): { readonly required?: readonly string[] } {
  return schema as { required?: string[] };
}

test("numbers of 64 bits are numbers to a model and texts in an answer, and bytes are in no answer", () => {
  const limits = JSON.stringify(propertiesOf("run_code", "inputSchema")["limits"]);
  assert.match(limits, /"memoryBytes":\{"type":"integer"/);
  const sandbox = JSON.stringify(propertiesOf("create_sandbox", "outputSchema")["limits"]);
  assert.match(sandbox, /"memoryBytes":\{"type":"string"/);
  assert.deepEqual(Object.keys(propertiesOf("read_file", "outputSchema")), ["entry", "content"]);
});

test("rules among arguments are in the description, and hints come from the contract", () => {
  assert.match(JSON.stringify(definitions.get("run_code")), /give exactly one of code, files/);
  assert.match(
    JSON.stringify(definitions.get("write_process_input")),
    /give at most one of text, base64/,
  );
  assert.deepEqual(definitions.get("remove_file")?.["annotations"], {
    ...{ title: "Remove a file", readOnlyHint: false },
    ...{ destructiveHint: true, idempotentHint: false },
  });
  assert.deepEqual(definitions.get("read_file")?.["annotations"], {
    ...{ title: "Read a file", readOnlyHint: true },
    ...{ destructiveHint: false, idempotentHint: true },
  });
});

test("a method that cannot be a tool as it is marked keeps the gateway from starting", () => {
  const marked = (name: string, init: MessageInitShape<typeof ToolSchema>): RestRoute[] => {
    const route = routes.find(({ method }) => method.desc.name === name);
    assert.ok(route !== undefined);
    const policy = { ...route.method.policy, tool: create(ToolSchema, init) };
    return [{ ...route, method: { ...route.method, policy } }];
  };
  assert.equal(mcpTools(marked("Execute", { name: "once" })).size, 1);
  const wrong: readonly (readonly [RestRoute[], RegExp])[] = [
    [marked("Execute", { name: "Not a name" }), /its name is/],
    [marked("Execute", { name: "once", hidden: ["colour"] }), /no colour to hide/],
    [marked("Execute", { name: "once", resultField: "finished" }), /result_field/],
    [marked("ExecuteStream", { name: "once" }), /result_field/],
    [marked("ExecuteStream", { name: "once", resultField: "number" }), /no event that ends it/],
    [[...marked("Execute", { name: "a" }), ...marked("ListFiles", { name: "a" })], /has its name/],
  ];
  for (const [given, why] of wrong) assert.throws(() => mcpTools(given), why);
});
