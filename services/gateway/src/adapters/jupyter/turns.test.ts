import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "./turns.ts";

test("turns are taken in order, urgent ones beside the others, and not too many wait", async () => {
  const turns = new Turns();
  const gate = Promise.withResolvers<void>();
  const done: string[] = [];
  const say = (word: string) => async () => void done.push(word);
  assert.ok(turns.take("shell", 1, () => gate.promise));
  const second = Promise.withResolvers<void>();
  assert.ok(
    turns.take("shell", 1, async () => {
      done.push("second");
      second.resolve();
    }),
  );
  const urgent = Promise.withResolvers<void>();
  turns.take("urgent", 1, async () => {
    done.push("urgent");
    urgent.resolve();
  });
  await urgent.promise;
  assert.deepEqual(done, ["urgent"]);
  assert.ok(!turns.take("shell", 16 * 1024 ** 2, say("never")));
  let taken = 0;
  while (turns.take("shell", 1, say("more"))) taken += 1;
  assert.ok(taken > 1000 && taken < 2000);
  assert.ok(!turns.isEmpty);
  gate.resolve();
  await second.promise;
  assert.deepEqual(done.slice(0, 2), ["urgent", "second"]);
});
