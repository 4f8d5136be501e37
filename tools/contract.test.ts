// What every file of the contract owes to the surfaces derived from it, beyond what buf's linter knows. New files are
// found by themselves; every exception is in a table with its reason.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { create, type DescFile, type DescMessage, type DescMethod } from "@bufbuild/protobuf";
import { fromJsonString, getOption, hasOption } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { createValidator } from "@bufbuild/protovalidate";
import comments from "@syla/contract/comments.json" with { type: "json" };
import { http } from "@syla/contract/google/api/annotations";
import type { HttpRule } from "@syla/contract/google/api/http";
import { method as methodOption, service } from "@syla/contract/syla/options/v1/options";
import { listFiles, root } from "./repository.ts";

/** Methods that do something new at every call, so that no idempotency level is true of them. */
const runsAgain: Readonly<Record<string, string>> = {
  "syla.execution.v1.ExecutionService.CreateExecution": "every call is another execution",
  "syla.execution.v1.ExecutionService.Execute": "every call is another execution",
  "syla.execution.v1.ExecutionService.ExecuteStream": "every call is another execution",
  "syla.repl.v1.ReplService.Execute": "every call is another run",
  "syla.repl.v1.ReplService.ExecuteStream": "every call is another run",
  "syla.sandbox.v1.RunnerService.Run": "every call is another run",
  "syla.sandbox.v1.SandboxService.CreateSandbox": "every call is another sandbox",
  "syla.sandbox.v1.ProcessService.StartProcess": "every call is another process",
  "syla.sandbox.v1.ProcessService.StartProcessStream": "every call is another process",
  "syla.sandbox.v1.ProcessService.RunProcess": "every call is another process",
  "syla.sandbox.v1.ProcessService.WriteInput": "every call writes anew",
  "syla.sandbox.v1.ProcessService.SignalProcess": "every call is another signal",
  "syla.session.v1.SessionService.CreateSession": "every call is another session",
  "syla.session.v1.SessionService.RunCell": "every call is another cell",
  "syla.session.v1.SessionService.RunCellStream": "every call is another cell",
  "syla.session.v1.SessionService.AnswerInput": "what was answered is not asked a second time",
  "syla.session.v1.SessionService.InterruptSession": "every call is another interrupt",
  "syla.session.v1.SessionService.RestartSession": "every call is another start",
  "syla.sandbox.v1.TunnelService.Connect": "every call is another connection",
  "syla.sandbox.v1.FileService.MoveFile": "what was moved is not there a second time",
  "syla.sandbox.v1.FileService.RemoveFile": "what was removed is not there a second time",
  "syla.sandbox.v1.SnapshotService.CreateSnapshot": "every call is another snapshot",
  "syla.sandbox.v1.SnapshotService.DeleteSnapshot": "what was removed is not there a second time",
  "syla.sandbox.v1.SnapshotService.ForkSandbox": "every call is other sandboxes",
  "syla.sandbox.v1.TemplateService.DeleteTemplate": "what was removed is not there a second time",
};

/** List methods whose answer is whole. */
const unpaged: Readonly<Record<string, string>> = {
  "syla.execution.v1.ExecutionService.ListLanguages": "as many as are installed on a host",
  "syla.repl.v1.ReplService.ListLanguages": "the original design's answer has no pages",
  "syla.sandbox.v1.RunnerService.ListLanguages": "as many as are installed on a host",
  "syla.sandbox.v1.SandboxService.ListSandboxMetrics": "those of the last half hour, 120 at most",
  "syla.sandbox.v1.ProcessService.ListProcesses": "those that run, at most 256, and the last 100",
  "syla.session.v1.SessionService.ListCells": "those that wait, and the last 100",
  "syla.sandbox.v1.NetworkService.ListNetworkEvents": "the last 250 of either kind",
  "syla.session.v1.SessionService.ListSessionLanguages": "as many as are installed on a host",
  "syla.sandbox.v1.FileService.ListFiles":
    "bounded, and says when there is more: who wants that lists below",
  "syla.sandbox.v1.PortService.ListPorts":
    "those of one sandbox, of which a bounded part of the kernel's table is read",
  "syla.registry.v1.RegistryService.ListServices": "the original design's answer has no pages",
};

// A generated module exports one descriptor of its file, under a name made from its path.
function parseFile(loaded: object): DescFile {
  const file = Object.values(loaded).find(
    (value: unknown) =>
      typeof value === "object" && value !== null && "kind" in value && value.kind === "file",
  ) as DescFile | undefined;
  if (file === undefined) throw new Error("Cannot read a generated file: it has no descriptor.");
  return file;
}

async function loadFiles(): Promise<readonly DescFile[]> {
  const folder = join(root, "contract/gen");
  const names = listFiles(folder).filter((name) => /^syla\/.*_pb\.ts$/.test(name));
  return Promise.all(
    names.map(async (name) => {
      const loaded: unknown = await import(pathToFileURL(join(folder, name)).href);
      assert.ok(typeof loaded === "object" && loaded !== null);
      return parseFile(loaded);
    }),
  );
}

function fullName(method: DescMethod): string {
  return `${method.parent.typeName}.${method.name}`;
}

function isInternal(method: DescMethod): boolean {
  return hasOption(method.parent, service) && getOption(method.parent, service).internal;
}

function httpRules(method: DescMethod): readonly HttpRule[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  return [rule, ...rule.additionalBindings];
}

function pathVariables(path: string): readonly string[] {
  return [...path.matchAll(/\{([\w.]+)(?:=[^}]*)?\}/g)].map(([, name = ""]) => name);
}

function hasField(message: DescMessage, name: string): boolean {
  return message.fields.some((field) => field.name === name);
}

function namesOf(file: DescFile): readonly string[] {
  const types = [...nestedTypes(file)].flatMap((type): readonly string[] => {
    if (type.kind === "message") {
      const oneofs = type.oneofs.map((oneof) => `${type.typeName}.${oneof.name}`);
      return [type.typeName, ...oneofs, ...type.fields.map((f) => `${type.typeName}.${f.name}`)];
    }
    if (type.kind === "enum") {
      return [type.typeName, ...type.values.map((value) => `${type.typeName}.${value.name}`)];
    }
    if (type.kind === "service") return [type.typeName, ...type.methods.map(fullName)];
    return [type.typeName];
  });
  return types;
}

/** The request of an example: its JSON is the body that REST takes, which may be one field of the request. */
function readExample(method: DescMethod, json: string) {
  const body = httpRules(method)[0]?.body ?? "*";
  const field = method.input.fields.find(({ name }) => name === body);
  if (field?.message === undefined) return fromJsonString(method.input, json);
  return create(method.input, { [field.localName]: fromJsonString(field.message, json) });
}

const files = await loadFiles();
const methods = files.flatMap((file) => file.services.flatMap((owner) => owner.methods));
const described = new Map(Object.entries(comments));

test("the contract has methods to hold against these rules", () => {
  assert.ok(methods.length >= 15, `${methods.length} methods`);
});

for (const file of files) {
  test(`everything in ${file.name}.proto has a comment`, () => {
    const missing = namesOf(file).filter((name) => (described.get(name) ?? "") === "");
    assert.deepEqual(missing, []);
  });

  test(`every field name in ${file.name}.proto is in snake_case`, () => {
    const fields = [...nestedTypes(file)].flatMap((type) =>
      type.kind === "message" ? type.fields.map((field) => field.name) : [],
    );
    const wrong = fields.filter((name) => !/^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/.test(name));
    assert.deepEqual(wrong, []);
  });
}

for (const method of methods) {
  const name = fullName(method);
  describe(name, () => {
    test("says whether it may be called again", () => {
      const unknown = method.idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
      assert.equal(unknown, name in runsAgain, "an idempotency_level, or a reason above");
    });

    test("has a path on REST that its fields fill, unless only services call it", () => {
      const rules = httpRules(method);
      assert.equal(rules.length > 0, !isInternal(method));
      for (const { pattern, body } of rules) {
        assert.ok(typeof pattern.value === "string", "one of the verbs of google.api.http");
        for (const variable of pathVariables(pattern.value)) {
          assert.ok(hasField(method.input, variable), `${pattern.value}: no field ${variable}`);
        }
        if (body !== "" && body !== "*")
          assert.ok(hasField(method.input, body), `no field ${body}`);
        if (pattern.case === "get") assert.equal(body, "", "a GET has no body");
      }
    });

    test("reads only when its verb is GET, and the other way round", () => {
      const readOnly = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      for (const { pattern } of httpRules(method)) assert.equal(pattern.case === "get", readOnly);
    });

    test("answers a list in pages", () => {
      if (!method.name.startsWith("List")) return;
      const paged =
        hasField(method.input, "page_size") &&
        hasField(method.input, "page_token") &&
        hasField(method.output, "next_page_token");
      assert.equal(paged, !(name in unpaged), "page_size and page_token, or a reason above");
    });

    test("has a policy that names fields there are", () => {
      if (!hasOption(method, methodOption)) return;
      const policy = getOption(method, methodOption);
      const { location, resumeField, cursorField, serverSentEvents } = policy;
      for (const field of pathVariables(location)) assert.ok(hasField(method.output, field), field);
      if (resumeField !== "") assert.ok(hasField(method.input, resumeField), resumeField);
      if (cursorField !== "") assert.ok(hasField(method.output, cursorField), cursorField);
      const dataField = serverSentEvents?.dataField ?? "";
      if (dataField !== "") assert.ok(hasField(method.output, dataField), dataField);
    });

    test("has examples that are valid requests", () => {
      if (!hasOption(method, methodOption)) return;
      const validator = createValidator();
      for (const { title, requestJson } of getOption(method, methodOption).examples) {
        const request = readExample(method, requestJson);
        const result = validator.validate(method.input, request);
        assert.equal(result.kind, "valid", `${title}: ${String(result.error)}`);
      }
    });
  });
}

test("no two methods have the same verb and path", () => {
  const routes = methods.flatMap((method) =>
    httpRules(method).map(({ pattern }) =>
      typeof pattern.value === "string"
        ? `${pattern.case} ${pattern.value.replaceAll(/\{\w+\}/g, "{}")}`
        : method.name,
    ),
  );
  assert.deepEqual(
    routes.filter((route, index) => routes.indexOf(route) !== index),
    [],
  );
});

test("every exception is one of a method that there is", () => {
  const known = new Set(methods.map(fullName));
  const unknown = [...Object.keys(runsAgain), ...Object.keys(unpaged)].filter(
    (name) => !known.has(name),
  );
  assert.deepEqual(unknown, []);
});
