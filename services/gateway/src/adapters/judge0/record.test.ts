import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LanguageSchema } from "@syla/contract/syla/execution/v1/execution";
import { fromMetadata, outputDigest, toMetadata } from "./record.ts";
import { readSubmission } from "./submission.ts";

const languages = [create(LanguageSchema, { name: "bash", version: "5.2.15" })];

async function read(body: Record<string, string | number | boolean>) {
  const given = { language_id: 46, source_code: "x", ...body };
  const answer = await readSubmission(given, { languages, base64: false, callbacks: true });
  assert.ok("submission" in answer, JSON.stringify(answer));
  return answer.submission;
}

test("what is remembered of a submission is found again, within what a label may hold", async () => {
  const long = "é".repeat(100_000);
  const submission = await read({
    ...{ stdin: "in\n", expected_output: long, command_line_arguments: "a 'b'" },
    ...{ cpu_time_limit: "1.5", redirect_stderr_to_stdout: "true", number_of_runs: 20 },
    callback_url: `https://example.com/${"x".repeat(1000)}`,
  });
  const earlier = Array.from({ length: 19 }, () => "01890a5d-ac96-774b-bcce-b302099a8057");
  const metadata = toMetadata(submission, earlier);
  for (const value of Object.values(metadata)) assert.ok(value.length <= 1024, value);
  const found = fromMetadata(metadata);
  assert.deepEqual(found?.earlier, earlier);
  assert.equal(found.language_id, 46);
  assert.equal(found.cpu_time_limit, 1.5);
  assert.equal(found.redirect_stderr_to_stdout, true);
  assert.equal(found.expected_digest, outputDigest(Buffer.from(long)));
  assert.equal(found.command_line_arguments, "a 'b'");
  assert.deepEqual(
    [...found.texts],
    [
      ["source_code", "x"],
      ["stdin", "in\n"],
    ],
  );
});

test("labels that are no submission's are none", () => {
  for (const judge0 of ["", "{}", "null", "[1]", '{"language_id":"46"}']) {
    assert.equal(fromMetadata({ judge0 }), undefined, judge0);
  }
  assert.equal(fromMetadata({}), undefined);
});

test("outputs are the same that differ in white space at the end of lines or of all", () => {
  const digest = (output: string) => outputDigest(Buffer.from(output));
  for (const same of ["a\nb\n", "a  \nb", "a\t\r\nb\n\n \n", "a\nb\0"]) {
    assert.equal(digest(same), digest("a\nb"), JSON.stringify(same));
  }
  for (const other of [" a\nb", "a\n\nb", "a b", "a\nb\u00a0", ""]) {
    assert.notEqual(digest(other), digest("a\nb"), JSON.stringify(other));
  }
  assert.equal(digest("\n \n"), digest(""));
  const began = performance.now();
  digest(`${" ".repeat(2_000_000)}x`);
  assert.ok(performance.now() - began < 1000);
});
