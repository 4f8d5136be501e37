import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogue } from "./error.ts";
import { renderErrors } from "./error-reference.ts";

test("renderErrors() has a row for every code, with its numbers", () => {
  const rows = renderErrors().match(/^\| `\w+` \|/gm) ?? [];
  assert.deepEqual(
    rows.map((row) => row.slice(3, -3)),
    Object.keys(catalogue),
  );
  assert.match(
    renderErrors(),
    /^\| `queue_full` \| 429 \| `RESOURCE_EXHAUSTED` \(8\) \| yes \| Too many/m,
  );
  assert.match(
    renderErrors(),
    /^\| `request_timeout` \| 408 \| `DEADLINE_EXCEEDED` \(4\) \| yes \|/m,
  );
});
