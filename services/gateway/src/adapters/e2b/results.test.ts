import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CellResultSchema, type MimePartSchema } from "@syla/contract/syla/session/v1/cell";
import { lineOf } from "./execution.ts";
import { resultLine } from "./results.ts";

const line = (parts: MessageInitShape<typeof MimePartSchema>[], main = false) =>
  resultLine(create(CellResultSchema, { main, parts }));
const text = (mimeType: string, value: string) =>
  ({ mimeType, data: { case: "text", value } }) as const;
const bytes = (mimeType: string, value: string) =>
  ({ mimeType, data: { case: "base64", value: Buffer.from(value) } }) as const;
const common = { type: "result", is_main_result: false };

test("resultLine() calls each form by E2B's name, and gives bytes in base64", () => {
  const parts = [
    ...[text("text/plain", "<Figure>"), text("text/html", "<b>"), text("text/markdown", "**b**")],
    ...[text("image/svg+xml", "<svg/>"), bytes("image/png", "png"), bytes("image/jpeg", "jpeg")],
    ...[bytes("application/pdf", "pdf"), text("text/latex", "$x$")],
    text("application/javascript", "alert(1)"),
  ];
  assert.deepEqual(line(parts, true), {
    ...{ type: "result", is_main_result: true, text: "<Figure>", html: "<b>", markdown: "**b**" },
    ...{ svg: "<svg/>", png: "cG5n", jpeg: "anBlZw==", pdf: "cGRm", latex: "$x$" },
    javascript: "alert(1)",
  });
});

test("resultLine() reads JSON, and leaves out what only calls itself so", () => {
  const parts = [
    ...[text("application/json", '{"a": [1]}'), text("e2b/data", '{"x": [1, 2]}')],
    text("e2b/chart", "no JSON"),
  ];
  assert.deepEqual(line(parts), { ...common, json: { a: [1] }, data: { x: [1, 2] } });
});

test("resultLine() gives forms without a name under their media types", () => {
  const parts = [text("application/vnd.x+json", '{"a": 1}'), bytes("image/gif", "GIF")];
  const extra = { "application/vnd.x+json": { a: 1 }, "image/gif": "R0lG" };
  assert.deepEqual(line(parts), { ...common, ...extra, extra });
});

test("resultLine() shows a text without its quotes, and no empty text beside another form", () => {
  const cases = [
    ...[
      ["'a'", "a"],
      ['"it\'s"', "it's"],
      ["'a\n'", "a\n"],
      ["'", "'"],
      ["''", ""],
    ],
    ...[
      ["'a\"", "'a\""],
      ["42", "42"],
      ["", ""],
    ],
  ] as const;
  for (const [given, told] of cases) {
    assert.deepEqual(line([text("text/plain", given)]), { ...common, text: told });
  }
  const both = [text("text/plain", ""), text("text/html", "<b>")];
  assert.deepEqual(line(both), { ...common, html: "<b>" });
});

test("lineOf() is JSON in ASCII, on one line", () => {
  const value = { text: "a\n€ 😀 \u2028\u007f\ud800" };
  const told = lineOf(value);
  assert.match(told, /^[ -\u007f]+\n$/);
  assert.deepEqual(JSON.parse(told), value);
});
