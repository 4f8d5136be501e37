import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";
import { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { RegistryService } from "@syla/contract/syla/registry/v1/registry";
import { ReplService } from "@syla/contract/syla/repl/v1/repl";
import { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import { createDispatcher } from "@syla/kit/dispatch";
import { comments } from "./comments.ts";
import { openApiDocument } from "./openapi.ts";
import { restRoutes } from "../routes.ts";

const services = [ExecutionService, ReplService, RegistryService, RunnerService];
const dispatcher = createDispatcher(
  services.map((service) => ({
    service,
    handler: () => () => Promise.reject(new Error("not called")),
  })),
  [],
);
const routes = restRoutes(dispatcher);
const document = openApiDocument(routes, { version: "1.2.3", comments: comments() });

function at(json: JsonValue | undefined, ...way: string[]): JsonValue | undefined {
  let value = json;
  for (const name of way) {
    assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), way.join("."));
    value = value[name];
  }
  return value;
}

function valuesOf(json: JsonValue | undefined): JsonValue[] {
  assert.ok(typeof json === "object" && json !== null);
  return Object.values(json);
}

test("openApiDocument() is valid by a public validator", async () => {
  const result = await new Validator().validate(structuredClone(document));
  assert.deepEqual(result.errors ?? [], []);
  assert.ok(result.valid);
});

test("openApiDocument() describes every route, and none of an internal service", () => {
  const described = valuesOf(at(document, "paths")).flatMap(valuesOf);
  assert.equal(described.length, routes.length);
  assert.ok(!JSON.stringify(document).includes("RunnerService"));
});

test("openApiDocument() says the contract's rules in keywords", () => {
  const schemas = at(document, "components", "schemas");
  const spec = at(schemas, "syla.execution.v1.ExecutionSpec");
  assert.deepEqual(at(spec, "required"), ["language"]);
  assert.match(JSON.stringify(at(spec, "description")), /Rule: give exactly one of code, files\./);
  assert.equal(at(spec, "properties", "language", "maxLength"), 64);
  assert.equal(at(spec, "properties", "files", "maxItems"), 256);
  assert.equal(
    at(spec, "properties", "env", "propertyNames", "pattern"),
    "^[A-Za-z_][A-Za-z0-9_]*$",
  );
  assert.equal(at(spec, "properties", "secrets", "writeOnly"), true);
  assert.equal(at(spec, "properties", "env", "writeOnly"), undefined);
  const limits = at(schemas, "syla.execution.v1.ExecutionLimits", "properties");
  assert.equal(at(limits, "pids", "maximum"), 32768);
  assert.match(JSON.stringify(at(limits, "wallTime", "description")), /At most 3600 s/);
  const stdin = at(spec, "properties", "stdin");
  assert.deepEqual(stdin, {
    type: "string",
    maxLength: 2097152,
    description: "What the program reads on its standard input. At most 2097152 bytes.",
  });
  const file = at(schemas, "syla.execution.v1.SourceFile");
  assert.deepEqual(at(file, "allOf"), [{ not: { required: ["content", "contentBase64"] } }]);
});

test("openApiDocument() has the contract's comments and examples", () => {
  const operation = at(document, "paths", "/api/v1/executions:execute", "post");
  assert.equal(at(operation, "summary"), "Runs a program and answers when it has ended");
  const content = at(operation, "requestBody", "content", "application/json");
  assert.deepEqual(at(content, "examples", "example1", "value"), {
    language: "python",
    code: "print(6 * 7)",
  });
});

test("openApiDocument() tells 201 with Location, parameters, events and the whole body of one field", () => {
  const paths = at(document, "paths");
  assert.ok(at(paths, "/api/v1/executions", "post", "responses", "201", "headers", "Location"));
  const watch = at(paths, "/api/v1/executions/{id}/events", "get");
  assert.deepEqual(
    valuesOf(at(watch, "parameters")).map((parameter) => [
      at(parameter, "in"),
      at(parameter, "name"),
    ]),
    [
      ["path", "id"],
      ["query", "after"],
      ["header", "Last-Event-ID"],
    ],
  );
  assert.ok(at(watch, "responses", "200", "content", "text/event-stream"));
  const list = at(
    paths,
    "/api/registry/services",
    "get",
    "responses",
    "200",
    "content",
    "application/json",
  );
  assert.equal(at(list, "schema", "type"), "array");
});
