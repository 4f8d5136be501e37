import assert from "node:assert/strict";
import { test } from "node:test";
import { create, isMessage } from "@bufbuild/protobuf";
import {
  type Execution,
  type ExecutionEvent,
  ExecutionEventSchema,
  ExecutionSchema,
} from "@syla/contract/syla/execution/v1/execution";
import { Fold } from "./fold.ts";

type Event = ExecutionEvent["event"];

function folded(events: readonly Event[]): Execution {
  const fold = new Fold(ExecutionEventSchema, "finished");
  for (const event of events) fold.add(create(ExecutionEventSchema, { event }));
  const result = fold.result();
  assert.ok(isMessage(result, ExecutionSchema));
  return result;
}

function printed(stream: "stdout" | "stderr", bytes: string | Uint8Array): Event {
  const { event } = create(ExecutionEventSchema, {
    event: {
      case: stream,
      value: {
        data:
          typeof bytes === "string"
            ? { case: "text", value: bytes }
            : { case: "base64", value: bytes },
      },
    },
  });
  return event;
}

const end: Event = {
  case: "finished",
  value: create(ExecutionSchema, { id: "1", exitCode: 0 }),
};

test("output is joined into the answer, each stream by itself", () => {
  const answer = folded([
    printed("stdout", "a"),
    printed("stderr", "b"),
    printed("stdout", "c"),
    end,
  ]);
  assert.deepEqual([answer.id, answer.stdout, answer.stderr], ["1", "ac", "b"]);
});

test("output that is not UTF-8 as a whole is bytes", () => {
  const answer = folded([printed("stdout", "a"), printed("stdout", new Uint8Array([0xff])), end]);
  assert.deepEqual([answer.stdout, [...answer.stdoutBase64]], ["", [0x61, 0xff]]);
});

test("of more output than a run may have, the last is held", () => {
  const piece = "x".repeat(1024 ** 2);
  const pieces = Array.from({ length: 20 }, () => printed("stdout", piece));
  const answer = folded([...pieces, printed("stdout", "end"), end]);
  assert.equal(answer.stdout.length, 15 * 1024 ** 2 + "end".length);
  assert.ok(answer.stdout.endsWith("xend"));
});

test("files become the answer's list, and the event that ended it stays as it was", () => {
  const { event: artifact } = create(ExecutionEventSchema, {
    event: { case: "artifact", value: { name: "x" } },
  });
  const answer = folded([artifact, end]);
  assert.deepEqual(
    answer.artifacts.map(({ name }) => name),
    ["x"],
  );
  assert.equal(end.value?.$typeName === ExecutionSchema.typeName && end.value.artifacts.length, 0);
});

test("a stream without its end is an error, and so is an end that is none", () => {
  assert.throws(() => folded([printed("stdout", "a")]), /without an answer/);
  assert.throws(() => new Fold(ExecutionEventSchema, "number"), /no event that ends it/);
});
