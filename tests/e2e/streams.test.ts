// Streams of events: live, afterwards, resumed, as server-sent events and as lines; and what a caller that leaves
// means for what it was following.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cancel, create, findByLabel, get, parseEvent, post } from "../api.ts";
import {
  assertGapless,
  readExecutionEvents,
  readLines,
  readSentEvents,
  stdoutOf,
} from "../streams.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();
const stream = "/api/v1/executions:stream";

/** Says "one", waits to be told by a second run of nothing but time, says "two". */
const slow = { language: "bash", code: "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three" };
const endless = {
  language: "bash",
  code: "echo up; while :; do sleep 1; done",
  limits: { wallTime: "600s" },
};

function watch(id: string, init: RequestInit & { after?: number } = {}): Promise<Response> {
  const query = init.after === undefined ? "" : `?after=${init.after}`;
  return fetch(`${platform().url}/api/v1/executions/${id}/events${query}`, init);
}

/** Begins a call, reads until the program speaks, and leaves. */
async function leaveOnceItRuns(begin: (signal: AbortSignal) => Promise<Response>): Promise<void> {
  const leaving = new AbortController();
  const response = await begin(leaving.signal);
  const events = readSentEvents(response);
  for await (const { data } of events) if (data.includes('"stdout"')) break;
  leaving.abort();
}

async function statusByLabel(label: string): Promise<string | undefined> {
  return (await findByLabel(platform(), label))?.status;
}

test("output streams while the program still runs", async () => {
  const seen: string[] = [];
  const response = await post(platform(), stream, slow);
  for await (const { data, event } of readSentEvents(response)) {
    if (event === "end") break;
    const { stdout, stderr, finished, number } = parseEvent(JSON.parse(data));
    if (stdout ?? stderr) seen.push(`${stdout?.text ?? ""}${stderr?.text ?? ""}`.trim());
    if (number === 3) assert.deepEqual(seen, ["one"]);
    if (finished !== undefined) assert.equal(finished.stdout, "", "output went before");
  }
  assert.deepEqual(seen, ["one", "two", "three"]);
});

test("a stream is numbered without a gap, from waiting over running to its end, and says that it ended", async () => {
  const response = await post(platform(), stream, slow);
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  assert.match(response.headers.get("cache-control") ?? "", /no-store/);
  const { events, end } = await readExecutionEvents(response);
  assertGapless(events);
  assert.deepEqual(
    events.flatMap(({ status }) => status ?? []),
    [...[{ status: "PENDING", phase: "" }], { status: "RUNNING", phase: "run" }],
  );
  assert.equal(events.at(-1)?.finished?.status, "SUCCEEDED");
  assert.equal(end, "end");
});

test("a compiled program tells when it is compiled and when it is run", async () => {
  const code = '#include <stdio.h>\nint main(void) { puts("built"); }';
  const { events } = await readExecutionEvents(
    await post(platform(), stream, { language: "c", code }),
  );
  assert.deepEqual(
    events.flatMap(({ status }) => status?.phase ?? []),
    ["", "compile", "run"],
  );
  assert.equal(stdoutOf(events), "built\n");
});

test("watching tells the same events live and afterwards, to any number of watchers", async () => {
  const { id } = await create(platform(), slow);
  const live = await Promise.all([1, 2, 3].map(async () => readExecutionEvents(await watch(id))));
  const afterwards = await readExecutionEvents(await watch(id));
  for (const { events } of live) assert.deepEqual(events, afterwards.events);
  assertGapless(afterwards.events);
});

test("a watch resumes after Last-Event-ID and after `after`, during the run and when it is over", async () => {
  const { id } = await create(platform(), slow);
  const headers = { "Last-Event-ID": "2" };
  for (const when of ["during", "when it is over"]) {
    const [byHeader, byQuery] = await Promise.all([
      readExecutionEvents(await watch(id, { headers })),
      readExecutionEvents(await watch(id, { after: 2 })),
    ]);
    assertGapless(byHeader.events, 3);
    assert.deepEqual(byHeader.events, byQuery.events, when);
    assert.equal(byHeader.events.at(-1)?.finished?.status, "SUCCEEDED");
  }
});

test("a watch that was cut off and resumed misses nothing and repeats nothing", async () => {
  const count = 40;
  const code = `for n in $(seq ${count}); do echo $n; sleep 0.01; done`;
  const { id } = await create(platform(), { language: "bash", code });
  const seen: string[] = [];
  let last = "0";
  for (let over = false; !over;) {
    const leaving = new AbortController();
    const response = await watch(id, {
      headers: { "Last-Event-ID": last },
      signal: leaving.signal,
    });
    let taken = 0;
    for await (const sent of readSentEvents(response)) {
      over = sent.event === "end";
      if (over) break;
      last = sent.id;
      seen.push(parseEvent(JSON.parse(sent.data)).stdout?.text ?? "");
      taken += 1;
      if (taken === 5) break;
    }
    leaving.abort();
  }
  assert.deepEqual(
    seen.join("").trim().split("\n").map(Number),
    Array.from({ length: count }, (_, n) => n + 1),
  );
});

test("a watch after the last event ends at once; one far beyond it too", async () => {
  const { events } = await readExecutionEvents(await post(platform(), stream, slow));
  const id = events.at(-1)?.finished?.id ?? "";
  for (const after of [events.length, 1000]) {
    const rest = await readExecutionEvents(await watch(id, { after }));
    assert.deepEqual(rest, { events: [], end: "end" });
  }
});

test("a Last-Event-ID that is no number is refused", async () => {
  const { id } = await create(platform(), { language: "bash", code: "echo" });
  const response = await watch(id, { headers: { "Last-Event-ID": "x" } });
  assert.equal(response.status, 400);
  await response.body?.cancel();
});

test("the same stream comes as lines of JSON to who asks for them", async () => {
  const headers = { Accept: "application/x-ndjson" };
  const response = await post(platform(), stream, slow, { headers });
  assert.match(response.headers.get("content-type") ?? "", /^application\/x-ndjson/);
  const lines = await Array.fromAsync(readLines(response));
  const events = lines.map((line) => parseEvent(JSON.parse(line)));
  const numbered = events.filter(({ number }) => number !== undefined);
  assertGapless(numbered);
  assert.equal(stdoutOf(numbered), "one\nthree\n");
  assert.equal(numbered.at(-1)?.finished?.status, "SUCCEEDED");
});

test("a stream that fails before its first event is a problem, not a stream", async () => {
  const response = await post(platform(), stream, { language: "bash" });
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(response.status, 400);
  await response.body?.cancel();
});

test("a caller that leaves a stream it began cancels the run", async () => {
  const metadata = { label: "left-stream" };
  await leaveOnceItRuns((signal) => post(platform(), stream, { ...endless, metadata }, { signal }));
  await eventually(
    "the run is cancelled",
    async () => (await statusByLabel("left-stream")) === "CANCELLED",
  );
});

test("a caller that leaves while it waits for the answer cancels the run", async () => {
  const leaving = new AbortController();
  const spec = { ...endless, metadata: { label: "left-execute" } };
  const answer = post(platform(), "/api/v1/executions:execute", spec, { signal: leaving.signal });
  await eventually("it runs", async () => (await statusByLabel("left-execute")) === "RUNNING");
  leaving.abort();
  await assert.rejects(answer, { name: "AbortError" });
  await eventually(
    "the run is cancelled",
    async () => (await statusByLabel("left-execute")) === "CANCELLED",
  );
  const found = await findByLabel(platform(), "left-execute");
  assert.equal((await get(platform(), found?.id ?? "")).stdout, "up\n");
});

test("a watcher that leaves does not disturb what it watched", async () => {
  const { id } = await create(platform(), endless);
  await leaveOnceItRuns((signal) => watch(id, { signal }));
  assert.equal((await get(platform(), id)).status, "RUNNING");
  const { status, stdout } = await cancel(platform(), id);
  assert.deepEqual([status, stdout], ["CANCELLED", "up\n"]);
});

test("a watcher is told of a cancellation by another", async () => {
  const { id } = await create(platform(), endless);
  const watched = watch(id).then(readExecutionEvents);
  await cancel(platform(), id);
  const { events, end } = await watched;
  assert.equal(events.at(-1)?.finished?.status, "CANCELLED");
  assert.equal(end, "end");
});

test("a deadline that the caller sets ends the call and the run", async () => {
  const spec = { ...endless, metadata: { label: "deadline" } };
  const headers = { "X-Request-Timeout": "1" };
  const response = await post(platform(), "/api/v1/executions:execute", spec, { headers });
  assert.equal(response.status, 504);
  await response.body?.cancel();
  await eventually(
    "the run is cancelled",
    async () => (await statusByLabel("deadline")) === "CANCELLED",
  );
});
