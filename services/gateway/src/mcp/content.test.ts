import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromJson,
  type JsonObject,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import { type ArtifactSchema, ExecutionSchema } from "@syla/contract/syla/execution/v1/execution";
import {
  RemoveFileResponseSchema,
  ReadFileResponseSchema,
} from "@syla/contract/syla/sandbox/v1/file";
import { toolAnswer } from "./content.ts";

const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0);

function textOf(content: JsonObject | undefined): string {
  const text = content?.["text"];
  return typeof text === "string" ? text : "";
}

function attached(artifact: MessageInitShape<typeof ArtifactSchema>) {
  const execution = create(ExecutionSchema, { artifacts: [artifact] });
  return toolAnswer(ExecutionSchema, execution).content.slice(1);
}

test("texts come as they are, then what is worth a line, and nothing that is empty", () => {
  const execution = create(ExecutionSchema, {
    ...{ id: "1", stdout: "out\n", stderr: "err\n", exitCode: 0, language: "python" },
    metrics: { cpuUsageMillicores: 3 },
  });
  const { content, structuredContent } = toolAnswer(ExecutionSchema, execution);
  assert.deepEqual(
    content.map(({ text }) => text),
    ["out\n", "stderr:\nerr\n", "status: STATUS_UNSPECIFIED\nexitCode: 0"],
  );
  assert.equal(structuredContent["language"], "python");
  assert.ok(!("stdoutBase64" in structuredContent));
});

test("a long text has its beginning and its end, and is whole where it is structured", () => {
  const stdout = `begin${"x".repeat(100_000)}end`;
  const execution = create(ExecutionSchema, { stdout });
  const { content, structuredContent } = toolAnswer(ExecutionSchema, execution);
  assert.match(
    textOf(content[0]),
    /^begin.*\n\[\.\.\. 34472 characters are left out here \.\.\.\]\n.*end$/s,
  );
  assert.equal(structuredContent["stdout"], stdout);
});

test("images are images by their bytes, and only whole ones", () => {
  const image = { type: "image", data: Buffer.from(png).toString("base64"), mimeType: "image/png" };
  assert.deepEqual(attached({ name: "a.txt", contentBase64: png }), [image]);
  const [half] = attached({ name: "a b/c.png", contentBase64: png, truncated: true });
  assert.deepEqual(half, {
    type: "resource",
    resource: { uri: "syla:a%20b/c.png", mimeType: "image/png", blob: image.data },
  });
  const [text] = attached({ name: "a.png", contentBase64: Buffer.from("no image") });
  assert.deepEqual(text, { type: "text", text: "a.png:\nno image" });
});

// What a notebook's cell answers: a thing in several forms, and how it came to an error.
function cellSchema(): DescMessage {
  const field = (name: string, number: number, more: object = {}) => ({
    ...{ name, jsonName: name, number, type: Type.STRING, label: Label.OPTIONAL, ...more },
  });
  const list = (name: string, number: number, typeName: string) =>
    field(name, number, { type: Type.MESSAGE, label: Label.REPEATED, typeName });
  const part = [
    field("mime_type", 1, { jsonName: "mimeType" }),
    field("text", 2),
    field("base64", 3, { type: Type.BYTES }),
  ];
  const traceback = field("traceback", 2, { label: Label.REPEATED });
  const file = create(FileDescriptorProtoSchema, {
    ...{ name: "cell.proto", package: "test", syntax: "proto3" },
    messageType: [
      { name: "Part", field: part },
      { name: "Result", field: [list("parts", 1, ".test.Part")] },
      { name: "Cell", field: [list("results", 1, ".test.Result"), traceback] },
    ],
  });
  const cell = createFileRegistry(file, () => undefined).getMessage("test.Cell");
  assert.ok(cell !== undefined);
  return cell;
}

test("one thing in several forms is told in the simplest, and an image of it is one", () => {
  const desc = cellSchema();
  const parts = [
    { mimeType: "text/html", text: "<b>42</b>" },
    { mimeType: "text/plain", text: "42" },
    { mimeType: "image/png", base64: Buffer.from(png).toString("base64") },
  ];
  const cell = fromJson(desc, { results: [{ parts }], traceback: ["line 1", "line 2"] });
  const [text, image] = toolAnswer(desc, cell).content;
  assert.equal(
    textOf(text),
    "results:\n- parts: 42 [text/html, image/png]\ntraceback: \nline 1\nline 2",
  );
  assert.equal(image?.["mimeType"], "image/png");
});

test("a file that was read has its own name", () => {
  const file = create(ReadFileResponseSchema, {
    ...{ entry: { path: "/tmp/a/raw" }, contentBase64: Uint8Array.of(0, 0xff) },
  });
  const { content } = toolAnswer(ReadFileResponseSchema, file);
  assert.match(JSON.stringify(content.at(-1)), /"uri":"syla:\/tmp\/a\/raw"/);
});

test("an answer without anything in it says that it is done", () => {
  const { content } = toolAnswer(RemoveFileResponseSchema, create(RemoveFileResponseSchema));
  assert.deepEqual(content, [{ type: "text", text: "Done." }]);
});
