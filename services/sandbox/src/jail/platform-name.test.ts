import assert from "node:assert/strict";
import { test } from "node:test";
import { isOfDeadPlatform, platformName } from "./platform-name.ts";

test("isOfDeadPlatform() is false for what this process makes", () => {
  assert.match(platformName(), /^syla-\d+-\d+$/);
  assert.equal(isOfDeadPlatform(platformName()), false);
});

test("isOfDeadPlatform() is true when the pid is free, or is another process's by now", () => {
  assert.equal(isOfDeadPlatform("syla-4194304-5"), true);
  assert.equal(isOfDeadPlatform(`syla-${process.pid}-1`), true);
});

test("isOfDeadPlatform() claims nothing that no platform made", () => {
  for (const name of ["syla-supervisor", "docker", "syla-1", "xsyla-4194304-5", ""]) {
    assert.equal(isOfDeadPlatform(name), false, name);
  }
});
