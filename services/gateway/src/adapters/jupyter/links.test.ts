import assert from "node:assert/strict";
import { test } from "node:test";
import { SylaError } from "@syla/kit/error";
import { type Connection, KernelLink, KernelLinks } from "./links.ts";

const quiet: Connection = { replaced: () => undefined };
const cell = (ended: boolean) => ({
  ...{ parent: {}, client: "c", firstEvent: 1, expressions: [], count: 0 },
  ...{ ended, answered: ended },
});

test("a client that connects anew takes the place of its connection, and goes on where it was", () => {
  const links = new KernelLinks();
  let replaced = 0;
  const first: Connection = { replaced: () => void (replaced += 1) };
  const link = links.enter("k", "ada", first);
  link.place("ada", 7);
  assert.equal(links.enter("k", "ada", quiet), link);
  assert.deepEqual([replaced, links.count("k"), links.total], [1, 1, 1]);
  links.leave(link, "ada", first);
  assert.equal(links.count("k"), 1);
  links.leave(link, "ada", quiet);
  assert.equal(links.count("k"), 0);
  assert.equal(links.enter("k", "ada", quiet).places.get("ada"), 7);
  links.leave(link, "ada", quiet);
  links.forget("k");
  assert.equal(links.find("k"), undefined);
});

test("a kernel has a bounded number of connections", () => {
  const links = new KernelLinks();
  for (let n = 0; n < 32; n += 1) {
    links.assertRoom("k", "another");
    links.enter("k", `client ${n}`, { ...quiet });
  }
  const isFull = (error: unknown) =>
    error instanceof SylaError && error.code === "too_many_channels";
  assert.throws(() => links.assertRoom("k", "another"), isFull);
  assert.throws(() => links.enter("k", "another", quiet), isFull);
  links.assertRoom("k", "client 7");
  links.assertRoom("other", "another");
});

test("of cells that have ended the oldest are forgotten, and of clients that are gone", () => {
  const link = new KernelLink("k");
  link.add(1, cell(false));
  for (let number = 2; number < 1000; number += 1) link.add(number, cell(true));
  assert.equal(link.cells.size, 256);
  assert.ok(link.cells.has(1) && link.cells.has(999) && !link.cells.has(2));
  link.connections.set("here", quiet);
  link.place("here", 1);
  for (let number = 0; number < 200; number += 1) link.place(`gone ${number}`, 1);
  assert.equal(link.places.size, 64);
  assert.ok(link.places.has("here"));
});
