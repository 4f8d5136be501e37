import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ProcessOutputSchema } from "@syla/contract/syla/sandbox/v1/process";
import { CellSchema } from "@syla/contract/syla/session/v1/cell";
import type { SessionEvent } from "@syla/contract/syla/session/v1/session";
import { CallContext } from "@syla/kit/call";
import { systemClock } from "@syla/kit/clock";
import { SessionLog } from "./session-log.ts";

const kib = 1024;

function print(log: SessionLog, cell: number, text: string): void {
  const value = create(ProcessOutputSchema, { data: { case: "text", value: text } });
  log.append(cell, { case: "stdout", value }, text.length);
}

function end(log: SessionLog, id: number) {
  const number = log.next;
  log.append(id, { case: "ended", value: create(CellSchema, { id }) }, 0);
  return { message: { id }, lastEvent: number };
}

const show = ({ number, cell, event }: SessionEvent) => `${number} ${cell} ${event.case}`;

async function all(events: AsyncIterable<SessionEvent>): Promise<string[]> {
  const shown: string[] = [];
  for await (const event of events) shown.push(show(event));
  return shown;
}

test("one cell is watched to its end and no further, all of them to the log's", async () => {
  const log = new SessionLog({ bytesMax: 64 * kib, clock: systemClock });
  print(log, 1, "a");
  const first = end(log, 1);
  print(log, 2, "b");
  const context = new CallContext();
  assert.deepEqual(await all(log.watch(0, first, context)), ["1 1 stdout", "2 1 ended"]);
  assert.deepEqual(await all(log.watch(2, first, context)), []);
  log.close();
  assert.deepEqual(await all(log.watch(1, undefined, context)), ["2 1 ended", "3 2 stdout"]);
});

test("a cell whose events are not kept any more is watched to its end all the same", async () => {
  const log = new SessionLog({ bytesMax: 2 * kib, clock: systemClock });
  const first = end(log, 1);
  for (let n = 0; n < 10; n += 1) print(log, 2, "x".repeat(kib));
  const shown = await all(log.watch(0, first, new CallContext()));
  assert.deepEqual(
    shown.map((text) => text.replace(/^\d+ /, "")),
    ["0 lostBytes"],
  );
});

test("there is no room while one who follows is far behind, and there is when it leaves", async () => {
  const log = new SessionLog({ bytesMax: 64 * kib, clock: systemClock });
  const context = new CallContext();
  const follower = log.watch(0, undefined, context);
  print(log, 1, "first");
  await follower.next();
  for (let n = 0; n < 20; n += 1) print(log, 1, "x".repeat(32 * kib));
  const hurried = log.room();
  assert.ok(hurried !== undefined);
  log.hurry(true);
  await hurried;
  assert.equal(log.room(), undefined);
  log.hurry(false);
  const room = log.room();
  assert.ok(room !== undefined);
  await follower.return(undefined);
  await room;
  assert.equal(log.room(), undefined);
});

test("events that say nothing take room as well", async () => {
  const log = new SessionLog({ bytesMax: 64 * kib, clock: systemClock });
  const follower = log.watch(0, undefined, new CallContext());
  print(log, 1, "first");
  await follower.next();
  for (let n = 0; n < 2000; n += 1) end(log, 1);
  assert.ok(log.room() !== undefined);
  await follower.return(undefined);
});
