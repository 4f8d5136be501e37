import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CallContext } from "@syla/kit/call";
import type { Change } from "./changes.ts";
import { Refusal } from "./errors.ts";
import { Watchers } from "./watchers.ts";

const [a, b] = ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"];
const change = (name: string): Change => ({ name, type: "EVENT_TYPE_CREATE" });

function folder(count: number, seen: { ended: boolean }, prefix = "f") {
  return async function* (parent: CallContext): AsyncGenerator<Change | "begun"> {
    yield "begun";
    for (let n = 0; n < count; n += 1) yield change(`${prefix}${n}`);
    await new Promise<void>((resolve) => parent.onAbort(() => resolve()));
    seen.ended = true;
  };
}

test("a watcher keeps what happens until it is asked, for its sandbox alone, and ends when it is removed", async () => {
  const watchers = new Watchers();
  const seen = { ended: false };
  const id = await watchers.open(a, folder(2, seen));
  assert.deepEqual(await watchers.take(a, id), [change("f0"), change("f1")]);
  assert.deepEqual(await watchers.take(a, id), []);
  const unknown = (error: unknown) => error instanceof Refusal && error.status === "not_found";
  await assert.rejects(watchers.take(b, id), unknown);
  assert.throws(() => watchers.remove(b, id), unknown);
  watchers.remove(a, id);
  await sleep(5);
  assert.ok(seen.ended);
  await assert.rejects(watchers.take(a, id), unknown);
});

test("a watcher that nobody asks keeps so much, and says that there was more", async () => {
  const watchers = new Watchers();
  const id = await watchers.open(a, folder(20_000, { ended: false }));
  assert.equal((await watchers.take(a, id)).length, 10_000);
  await assert.rejects(watchers.take(a, id), /10000 changes/);
  const long = await watchers.open(a, folder(20_000, { ended: false }, "x".repeat(4000)));
  assert.equal((await watchers.take(a, long)).length, 1016);
  await assert.rejects(watchers.take(a, long), /1016 changes/);
  watchers.close();
});

test("a folder that cannot be watched is none, and there are not too many", async () => {
  const watchers = new Watchers();
  // oxlint-disable-next-line require-yield
  const failing = async function* (): AsyncGenerator<Change> {
    throw new Refusal("not_found", "no folder");
  };
  await assert.rejects(watchers.open(a, failing), /no folder/);
  for (let n = 0; n < 256; n += 1) await watchers.open(a, folder(0, { ended: false }));
  await assert.rejects(watchers.open(a, folder(0, { ended: false })), /256 watchers/);
  watchers.close();
  await watchers.open(a, folder(0, { ended: false }));
  watchers.close();
});
