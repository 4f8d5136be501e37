import assert from "node:assert/strict";
import { test } from "node:test";
import { findMissing, platformEntry } from "./lockfile.ts";

const parent = { version: "1.2.3", dev: true };

test("platformEntry() reads the platform from the name, and gives up where there is none", () => {
  assert.deepEqual(platformEntry("@a/b-linux-x64-musl", "1.2.3", parent), {
    version: "1.2.3",
    cpu: ["x64"],
    dev: true,
    libc: ["musl"],
    optional: true,
    os: ["linux"],
  });
  assert.deepEqual(platformEntry("@a/darwin-arm64", "1.2.3", {}), {
    version: "1.2.3",
    cpu: ["arm64"],
    optional: true,
    os: ["darwin"],
  });
  assert.equal(platformEntry("fsevents", "2.3.3", parent), undefined);
  assert.equal(platformEntry("@a/darwin-arm64", "^1.2.3", parent), undefined);
});

test("findMissing() finds a package where node would, and names the others", () => {
  const optionalDependencies = { "@a/linux-x64": "1.2.3", "@a/darwin-x64": "1.2.3" };
  const missing = findMissing({
    packages: {
      "node_modules/b": { ...parent, optionalDependencies },
      "node_modules/@a/linux-x64": {},
    },
  });
  assert.deepEqual([...missing.keys()], ["node_modules/@a/darwin-x64"]);
  const nested = findMissing({
    packages: {
      "node_modules/b/node_modules/c": { ...parent, optionalDependencies },
      "node_modules/b/node_modules/@a/linux-x64": {},
      "node_modules/b/node_modules/c/node_modules/@a/darwin-x64": {},
    },
  });
  assert.deepEqual([...nested.keys()], []);
});
