// What becomes of a run's output between the sandbox and the event log.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ArtifactSchema } from "@syla/contract/syla/execution/v1/execution";
import { bytesOf } from "@syla/kit/text-or-bytes";
import { createMask } from "./mask.ts";
import { RunOutput, type Stream } from "./run-output.ts";

function open(secrets?: readonly string[]) {
  const chunks: string[] = [];
  const output = new RunOutput({
    emit: (stream, chunk) => chunks.push(`${stream}: ${bytesOf(chunk).toString()}`),
    lingerMs: 10_000,
    chunkBytesMax: 1000,
    mask: secrets === undefined ? undefined : createMask(secrets),
  });
  const write = (stream: Stream, text: string) => output.write(stream, Buffer.from(text));
  return { chunks, output, write };
}

test("RunOutput keeps the order of the streams", () => {
  const { chunks, output, write } = open();
  for (const [stream, text] of [
    ["stdout", "a"],
    ["stdout", "b"],
    ["stderr", "c"],
    ["stdout", "d"],
  ] as const)
    write(stream, text);
  output.end({ cut: false });
  assert.deepEqual(chunks, ["stdout: a", "stdout: b", "stderr: c", "stdout: d"]);
});

test("RunOutput masks a secret that the other stream came between, in its own stream", () => {
  const { chunks, output, write } = open(["s3cret"]);
  write("stdout", "out s3");
  write("stderr", "err s3");
  write("stdout", "cret!");
  write("stderr", "d");
  output.end({ cut: false });
  assert.deepEqual(chunks, ["stdout: out ", "stderr: err ", "stdout: ***!", "stderr: s3d"]);
});

test("RunOutput ends with what it held back, masked when the program was cut off", () => {
  for (const [cut, last] of [
    [false, ["stdout: s3c", "stderr: s"]],
    [true, ["stdout: ***", "stderr: ***"]],
  ] as const) {
    const { chunks, output, write } = open(["s3cret"]);
    write("stdout", "s3c");
    write("stderr", "s");
    assert.deepEqual(chunks, []);
    output.end({ cut });
    assert.deepEqual(chunks, last);
  }
});

test("RunOutput masks artifacts, and without a mask leaves all as it is", () => {
  const artifact = create(ArtifactSchema, {
    name: "a.txt",
    contentBase64: Buffer.from("<s3cret>"),
    sizeBytes: 8,
  });
  const { contentBase64, ...rest } = open(["s3cret"]).output.artifact(artifact);
  assert.equal(Buffer.from(contentBase64).toString(), "<***>");
  assert.deepEqual({ ...rest, contentBase64: artifact.contentBase64 }, { ...artifact });
  assert.equal(open().output.artifact(artifact), artifact);
});
