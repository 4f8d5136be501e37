// Templates: built once, from files, packages and commands, and what sandboxes then begin with.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
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
  forkSandbox,
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

// Every kind of change that a program can make to what it finds; and what is then there.
const changes = `echo more >> app/file; mv app moved; rm moved/gone; ln -sf /tmp/x moved/link; chmod 700 moved /tmp
  truncate -s 0 moved/deep/large; rmdir moved/empty; mkdir moved/gone; echo in > moved/gone/in; touch -d @1 moved/deep
  mv moved/deep/one moved/two; echo own > own; cp -a moved copy; rm -rf other; mkdir other; rm /tmp/note`;
// Of a folder without its size and links, which only its file system knows the meaning of.
const inventory = `cd /; find work tmp -printf '%p %y %m %T@ %l %U' \\( -type d -printf '\\n' \\
  -o -printf ' %n %s\\n' \\) | sort; find work tmp -type f -print0 | sort -z | xargs -0 sha256sum`;

test("what a sandbox changes of its template is its own: those beside and after it begin with the original", async () => {
  const folder =
    "mkdir -p app/deep app/empty other/in; echo one > app/deep/one; echo gone > app/gone";
  const files = `${folder}; seq 1000 > app/deep/large; echo file > app/file; ln app/file app/name; ln -s file app/link
    echo note > /tmp/note; echo x > other/in/x; chmod 640 app/gone; touch -d @1000000000.5 app/deep app/file`;
  await declare(platform(), { name: "shared", commands: [files] });
  await buildEvents(platform(), "shared");
  const make = () => makeSandbox(platform(), { template: "shared" });
  const inventoryOf = async (id: string) => (await shell(platform(), id, inventory)).stdout;
  const [one, two] = await Promise.all([make(), make()]);
  const original = await inventoryOf(one.id);
  assert.match(original, /work\/app\/name f 644 1000000000\.5\d* +1000 2 5\n/);
  const changed = await shell(platform(), one.id, `set -e; ${changes}; cat moved/name moved/two`);
  assert.deepEqual([changed.stdout, changed.stderr], ["file\nmore\none\n", ""]);
  assert.equal(await inventoryOf(two.id), original);
  const three = await make();
  assert.equal(await inventoryOf(three.id), original);
  // The copy of a sandbox is of what is seen there, wherever it lies.
  const seen = await inventoryOf(one.id);
  assert.notEqual(seen, original);
  const { id: snapshot } = await takeSnapshot(platform(), one.id);
  const { sandboxes } = await forkSandbox(platform(), one.id);
  const begun = await makeSandbox(platform(), { snapshot });
  for (const { id } of [begun, ...sandboxes]) assert.equal(await inventoryOf(id), seen);
  for (const { id } of [one, two, three, begun, ...sandboxes]) await killSandbox(platform(), id);
});

test("the bounds of a sandbox of a template hold for what it writes itself", async () => {
  await declare(platform(), {
    name: "large",
    commands: ["head -c 6000000 /dev/urandom > large"],
  });
  await buildEvents(platform(), "large");
  const { id } = await makeSandbox(platform(), {
    template: "large",
    limits: { diskBytes: 16_000_000 },
  });
  const said = await shell(
    platform(),
    id,
    `head -c 18000000 /dev/zero > a; stat -c %s large; rm a; echo x >> large; stat -c %s large
     for n in $(seq 25000); do : > n$n || break; done; ls | wc -l`,
  );
  assert.match(said.stderr, /No space left on device[^]*No space left on device/);
  const [large, longer, files] = said.stdout.split("\n").map(Number);
  assert.deepEqual([large, longer], [6_000_000, 6_000_002]);
  assert.ok(files !== undefined && files > 19_900 && files < 20_020, String(files));
  await killSandbox(platform(), id);
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

test("what is unpacked of a template goes with the last who names or uses it, also over a kill -9", async () => {
  const data = makeDataDirectory();
  const trees = () => readdirSync(join(data, "trees"));
  try {
    const first = await startPlatform({ data });
    await declare(first, {
      name: "one",
      commands: ["echo one > file; mkdir -p a/b; echo f > a/b/f"],
    });
    await buildEvents(first, "one");
    await declare(first, { name: "two", commands: ["echo two > file"] });
    await buildEvents(first, "two");
    const { digest } = await getTemplate(first, "two");
    const made = await makeSandbox(first, { template: "one" });
    const mounts = (await shell(first, made.id, "grep ' /work ' /proc/self/mountinfo")).stdout;
    assert.equal(
      mounts.includes("overlay"),
      trees().length === 2,
      "where there are trees, they are used",
    );
    assert.doesNotMatch(mounts, /syla-test/);
    const kept = trees().filter((name) => name.startsWith(digest));
    await remove(first, `${templatesPath}/one`);
    assert.equal((await shell(first, made.id, "cat a/b/f; mv a c; cat c/b/f")).stdout, "f\nf\n");
    const [oneTree] = trees().filter((name) => !name.startsWith(digest));
    assert.equal(oneTree !== undefined, kept.length === 1, "somebody uses it");
    await first.kill();
    const second = await startPlatform({ data });
    assert.deepEqual(trees(), kept);
    const { id } = await makeSandbox(second, { template: "two" });
    assert.equal((await shell(second, id, "cat file")).stdout, "two\n");
    // One that cannot be begun with is no reason to refuse a sandbox, which then unpacks.
    for (const name of kept) renameSync(join(data, "trees", name), join(data, "moved"));
    const { id: unpacked } = await makeSandbox(second, { template: "two" });
    for (const name of kept) renameSync(join(data, "moved"), join(data, "trees", name));
    const other = await shell(second, unpacked, "cat file; grep -c overlay /proc/self/mountinfo");
    assert.equal(other.stdout, "two\n0\n");
    await killSandbox(second, unpacked);
    await remove(second, `${templatesPath}/two`);
    assert.deepEqual(trees(), kept);
    await killSandbox(second, id);
    await eventually("the tree is gone", async () => trees().length === 0);
    assert.equal(await second.stop(), 0);
    const hosts = readFileSync("/proc/self/mountinfo", "utf8");
    assert.doesNotMatch(hosts, new RegExp(`${data}|syla-spawn`));
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
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
