// Templates: built once, from files, packages and commands, and what sandboxes then begin with.
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { refusal } from "../api.ts";
import { tarball, wheel } from "../packages.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import {
  getOk,
  getSandbox,
  killSandbox,
  makeSandbox,
  type Sandbox,
  shell,
} from "../sandbox-api.ts";
import {
  begin,
  buildEvents,
  declare,
  getTemplate,
  remove,
  takeSnapshot,
  templatesPath,
} from "../snapshot-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform();

test("a template is built once for all who declare it at one time, and sandboxes begin with it", async () => {
  const spec = {
    name: "greeter",
    language: "python",
    files: [
      { path: "app/hello.sh", content: "echo hello $WHO from $(basename $PWD)\n", mode: 493 },
      { path: "/tmp/note", content: "a note\n" },
    ],
    commands: ["echo built >> log; echo to the log", "echo $WHO >&2; ln -s app/hello.sh run"],
    env: { WHO: "world" },
    directory: "app",
  };
  const [one, two] = await Promise.all([declare(platform(), spec), declare(platform(), spec)]);
  assert.equal(one.id, two.id);
  const events = await buildEvents(platform(), "greeter");
  assert.deepEqual(
    events.map(({ number }) => number),
    events.map((_, index) => index + 1),
  );
  assert.deepEqual(
    events.flatMap(({ step, output }) => step ?? output ?? []),
    ["2 files", spec.commands[0], "to the log\n", spec.commands[1], "world\n", "keep the files"],
  );
  const built = await getTemplate(platform(), "greeter");
  assert.deepEqual([built.status, events.at(-1)?.ended], ["READY", built]);
  assert.equal((await getSandbox(platform(), built.buildSandbox)).status, "ENDED");
  const again = await declare(platform(), { ...spec, metadata: { other: "labels" } });
  assert.deepEqual([again.id, again.status], [one.id, "READY"]);
  const made = await makeSandbox(platform(), { template: "greeter", env: { WHO: "you" } });
  assert.equal(made.language, "python");
  const said = await shell(platform(), made.id, "./hello.sh; cat ../log /tmp/note");
  assert.equal(said.stdout, "hello you from app\nbuilt\na note\n", said.stderr);
  const changed = await declare(platform(), { ...spec, commands: ["true"] });
  assert.notEqual(changed.id, one.id);
  await buildEvents(platform(), "greeter");
  const other = await makeSandbox(platform(), { template: "greeter" });
  assert.equal((await shell(platform(), other.id, "ls ..")).stdout, "app\n");
  // Deleted while it is used: those go on, and can be copied.
  assert.equal((await remove(platform(), `${templatesPath}/greeter`)).status, 200);
  await refusal(await begin(platform(), { template: "greeter" }), 404, "template_not_found");
  assert.equal((await shell(platform(), made.id, "cat ../log")).stdout, "built\n");
  await takeSnapshot(platform(), made.id);
});

test("packages are installed from the template's files, and are there without set-up", async () => {
  const folder = makeDataDirectory();
  const spec = {
    name: "packages",
    language: "python",
    files: [
      { path: "wheels/tiny-1.0-py3-none-any.whl", contentBase64: wheel(folder).toString("base64") },
      { path: "small-1.0.0.tgz", contentBase64: tarball(folder).toString("base64") },
    ],
    packages: { pip: ["tiny==1.0"], npm: ["small-1.0.0.tgz"] },
  };
  rmSync(folder, { recursive: true });
  await declare(platform(), spec);
  const events = await buildEvents(platform(), "packages");
  const { status, errorMessage } = await getTemplate(platform(), "packages");
  const said = events.map(({ output = "" }) => output).join("");
  assert.equal(status, "READY", `${errorMessage} ${said}`);
  const { id } = await makeSandbox(platform(), { template: "packages" });
  const ran = await shell(
    platform(),
    id,
    `cd /tmp && python3 -c 'import tiny; print(tiny.answer)'
     mkdir -p /work/deeper && cd /work/deeper && node -p 'require("small")'; tiny`,
  );
  assert.equal(ran.stdout, "42\nsmall\ntiny says 42\n", ran.stderr);
});

test("a build that fails says why, keeps its log and is tried again when it is declared again", async () => {
  const spec = { name: "broken", commands: ["echo before", "exit 3", "echo never"] };
  const first = await declare(platform(), spec);
  const events = await buildEvents(platform(), "broken");
  const failed = await getTemplate(platform(), "broken");
  assert.deepEqual(
    [failed.status, failed.errorMessage],
    ["FAILED", 'The step "exit 3" ended with code 3.'],
  );
  assert.deepEqual(await buildEvents(platform(), "broken"), events);
  assert.ok(!JSON.stringify(events).includes("never"));
  await refusal(await begin(platform(), { template: "broken" }), 409, "template_not_ready");
  assert.notEqual((await declare(platform(), spec)).id, first.id);
  await buildEvents(platform(), "broken");
  const noisy = { name: "noisy", commands: ["head -c 3000000 /dev/zero | tr '\\0' x"] };
  await declare(platform(), noisy);
  const loud = await buildEvents(platform(), "noisy");
  assert.ok(JSON.stringify(loud).length < 1_000_000);
  assert.ok(loud.some(({ lostBytes = 0 }) => lostBytes > 2_000_000));
  const late = { name: "late", commands: ["sleep 100"], timeout: "0.3s" };
  await declare(platform(), late);
  await buildEvents(platform(), "late");
  assert.match((await getTemplate(platform(), "late")).errorMessage ?? "", /longer than 0.3 s/);
  await refusal(await fetch(`${platform().url}${templatesPath}/none`), 404, "template_not_found");
});

test("a template that is deleted or declared anew while it is built leaves nothing of that build", async () => {
  const slow = (name: string, more = "") => ({ name, commands: [`sleep 100 ${more}`] });
  const one = await declare(platform(), slow("gone"));
  await untilBuilding("gone");
  await refusal(await begin(platform(), { template: "gone" }), 409, "template_not_ready");
  assert.equal((await remove(platform(), `${templatesPath}/gone`)).status, 200);
  await refusal(await fetch(`${platform().url}${templatesPath}/gone`), 404, "template_not_found");
  await declare(platform(), slow("anew"));
  await untilBuilding("anew");
  const fresh = await declare(platform(), { name: "anew", commands: ["echo done"] });
  await buildEvents(platform(), "anew");
  const { id, status } = await getTemplate(platform(), "anew");
  assert.deepEqual([id, status], [fresh.id, "READY"]);
  assert.notEqual(one.id, fresh.id);
  assert.deepEqual([await buildingIn("gone"), await buildingIn("anew")], [[], []]);
});

test("a platform that dies while it builds says so afterwards; what was built is there", async () => {
  const data = makeDataDirectory();
  try {
    const first = await startPlatform({ data });
    await declare(first, { name: "whole", commands: ["echo whole > file"] });
    await buildEvents(first, "whole");
    const { digest } = await getTemplate(first, "whole");
    await declare(first, { name: "half", commands: ["echo begun; sleep 100"] });
    await first.kill();
    const second = await startPlatform({ data });
    const half = await getTemplate(second, "half");
    assert.deepEqual([half.status, half.digest], ["FAILED", ""]);
    assert.match(half.errorMessage ?? "", /died while it was built/);
    assert.equal((await buildEvents(second, "half")).at(-1)?.ended?.status, "FAILED");
    assert.deepEqual(readdirSync(join(data, "snapshots")), [digest]);
    const { id } = await makeSandbox(second, { template: "whole" });
    assert.equal((await shell(second, id, "cat file")).stdout, "whole\n");
    await killSandbox(second, id);
    assert.equal(await second.stop(), 0);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

/** The sandboxes in which it is being built now. */
async function buildingIn(name: string): Promise<readonly Sandbox[]> {
  const filter = encodeURIComponent(`status = "RUNNING" AND metadata.template = "${name}"`);
  const path = `/api/v1/sandboxes?filter=${filter}`;
  return (await getOk<{ sandboxes: Sandbox[] }>(platform(), path)).sandboxes;
}

async function untilBuilding(name: string): Promise<void> {
  await eventually("the build has begun", async () => (await buildingIn(name)).length === 1);
}
