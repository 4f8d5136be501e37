import assert from "node:assert/strict";
import { test } from "node:test";
import { absolute, home, inside, outside, told } from "./home.ts";

test("absolute() begins at home and leaves nothing to resolve", () => {
  const cases = [
    ["", "/home/user"],
    ["~", "/home/user"],
    ["~/a", "/home/user/a"],
    ["a/./b/../c/", "/home/user/a/c"],
    ["/tmp/x/", "/tmp/x"],
    ["../../../etc", "/etc"],
    ["~other", "/home/user/~other"],
  ] as const;
  for (const [path, expected] of cases) assert.equal(absolute(path), expected);
});

test("inside() and outside() are each other's reverse for who asks below home, and nothing for others", () => {
  assert.equal(inside("/home/user"), "/work");
  assert.equal(inside("/home/user/a"), "/work/a");
  for (const path of [`${home}s`, "/home", "/work/a", "/tmp"]) assert.equal(inside(path), path);
  assert.equal(outside("/work/a/b", "/home/user/a"), "/home/user/a/b");
  assert.equal(outside("/work", "/home/user"), "/home/user");
  assert.equal(outside("/work/a", "/work"), "/work/a");
  assert.equal(outside("/workshop", "/home/user/x"), "/workshop");
});

test("told() names home as E2B's users do, and nothing that only looks like it", () => {
  assert.equal(
    told("Cannot use /work/a.txt: it is no folder."),
    "Cannot use /home/user/a.txt: it is no folder.",
  );
  assert.equal(told("'/work' and (/work)."), "'/home/user' and (/home/user).");
  for (const other of ["/workshop", "/tmp/work/a", "/work-1", "./work"])
    assert.equal(told(other), other);
});
