import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { prepareRoot } from "./root.ts";

const place = mkdtempSync(join(tmpdir(), "syla-root-"));
after(() => rmSync(place, { recursive: true }));

test("what is bound below the link at /home/user takes its place, and nothing is made where it led", () => {
  const directory = join(place, "root");
  const source = join(place, "tools-of-a-test");
  mkdirSync(source);
  const root = prepareRoot({ directory, agentPath: "/bin/true" });
  const home = "/home/user";
  const link = join(directory, home);
  assert.equal(readlinkSync(link), "/work");
  const limits = { hostUid: 1, diskBytes: 1, diskInodes: 1 };
  root.command({ binds: [{ source, target: `${home}s/tools` }], ...limits });
  assert.ok(lstatSync(link).isSymbolicLink());
  const target = `${home}/tools-of-a-test`;
  const command = root.command({ binds: [{ source, target }], ...limits });
  assert.ok(command.join(" ").includes(`--ro-bind ${source} ${target}`));
  assert.ok(lstatSync(link).isDirectory());
  assert.deepEqual(readdirSync(link), ["tools-of-a-test"]);
  assert.ok(!existsSync("/work/tools-of-a-test"));
});
