import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesShape, parseTemplate, routerPath, shapeOf } from "./template.ts";

test("parseTemplate() reads literals, captures and a verb", () => {
  const template = parseTemplate("/api/v1/executions/{id}:cancel");
  assert.equal(template.verb, "cancel");
  assert.equal(shapeOf(template), "/api/v1/executions/*");
  assert.deepEqual(template.variables, [{ fieldPath: "id", start: 3, end: 4 }]);
  assert.equal(routerPath(template), "/api/v1/executions/:3");
});

test("parseTemplate() reads captures of several segments and of the rest", () => {
  const template = parseTemplate("/v1/{name=shelves/*/books/*}/{page.token}/{path=**}");
  assert.equal(shapeOf(template), "/v1/shelves/*/books/*/*/**");
  assert.deepEqual(template.variables, [
    { fieldPath: "name", start: 1, end: 5 },
    { fieldPath: "page.token", start: 5, end: 6 },
    { fieldPath: "path", start: 6, end: 7 },
  ]);
});

test("parseTemplate() takes a verb after a literal", () => {
  const template = parseTemplate("/api/v1/executions:execute");
  assert.equal(template.verb, "execute");
  assert.equal(routerPath(template), "/api/v1/executions");
});

test("parseTemplate() refuses what is no template", () => {
  for (const text of ["v1/x", "/v1/{a=**}/b", "/v1/{a", "/v1/{1}"]) {
    assert.throws(() => parseTemplate(text), /Cannot/);
  }
});

test("matchesShape() tells whether a path has a template's shape", () => {
  const template = parseTemplate("/a/{b}/c");
  assert.ok(matchesShape(template, "/a/x/c"));
  for (const path of ["/a//c", "/a/x/d", "/a/x", "/a/x/c/"])
    assert.ok(!matchesShape(template, path));
  assert.ok(matchesShape(parseTemplate("/a/{b=**}"), "/a/x/y/z"));
});
