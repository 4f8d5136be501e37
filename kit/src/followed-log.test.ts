import assert from "node:assert/strict";
import { test } from "node:test";
import { CallContext } from "./call.ts";
import { FollowedLog } from "./followed-log.ts";

const lost = (number: number, bytes: number) => `${number} lost ${bytes}`;

async function all(log: FollowedLog<string>, after: number): Promise<string[]> {
  const events: string[] = [];
  for await (const event of log.watch(after, new CallContext())) events.push(event);
  return events;
}

test("FollowedLog holds the last of very many events, and says how much went before", async () => {
  const log = new FollowedLog<string>({ bytesMax: 100 * 257, lost });
  let seen = 0;
  for (let n = 1; n <= 200_000; n += 1) log.append(String(n), 1, () => (seen += 1));
  log.close();
  assert.equal(seen, 200_000);
  const events = await all(log, 0);
  assert.deepEqual(events.slice(0, 2), ["199900 lost 199900", "199901"]);
  assert.deepEqual([events.length, events.at(-1)], [101, "200000"]);
  assert.deepEqual(await all(log, 150_000), events.toSpliced(0, 1, "199900 lost 199900"));
  assert.deepEqual(await all(log, 199_998), ["199999", "200000"]);
});

test("FollowedLog drops nothing that one who follows has not seen, and lets go on when it has", async () => {
  const log = new FollowedLog<string>({ bytesMax: 257, lost });
  const follower = log.watch(0, new CallContext());
  const first = follower.next();
  let seen = 0;
  for (let n = 1; n <= 100_000; n += 1) log.append(String(n), 1, () => (seen += 1));
  assert.equal((await first).value, "1");
  assert.equal(seen, 0);
  for (let n = 2; n <= 100_000; n += 1) {
    const { value } = await follower.next();
    if (n > 99_900) assert.equal(value, String(n));
  }
  assert.equal(seen, 99_999);
  await follower.return(undefined);
  assert.equal(seen, 100_000);
});
