import assert from "node:assert/strict";
import { test } from "node:test";
import { CallContext } from "./call.ts";
import { Changes } from "./changes.ts";

test("a change wakes everyone who waited for it, and no one who comes after", async () => {
  const changes = new Changes();
  let woken = 0;
  const wait = async () => {
    await changes.next(new CallContext());
    woken += 1;
  };
  const both = Promise.all([wait(), wait()]);
  changes.tell();
  await both;
  void wait();
  await Promise.resolve();
  assert.equal(woken, 2);
});
