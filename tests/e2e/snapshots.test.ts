// Snapshots and forks: what is in a copy of a sandbox's files, what is not, and how much may be kept.
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { post, refusal } from "../api.ts";
import { makeDataDirectory, startPlatform } from "../platform.ts";
import {
  follow,
  getOk,
  getProcess,
  killSandbox,
  makeSandbox,
  pathOf,
  shell,
  startProcess,
  textOf,
  watchProcess,
} from "../sandbox-api.ts";
import {
  begin,
  forkSandbox,
  remove,
  type Snapshot,
  snapshotsPath,
  takeSnapshot,
} from "../snapshot-api.ts";
import { eventually, sharedPlatform } from "./shared.ts";

const platform = sharedPlatform({ environment: { SYLA_SANDBOX_SNAPSHOT_BYTES_EACH: "30000000" } });

const shown = (id: string, code: string) =>
  shell(platform(), id, code).then(({ stdout, stderr }) => stdout + stderr);

/** Everything that a copy is to have of a file, of all files; times to the nanosecond. */
const inventory = `cd /; { find work tmp -printf '%p %y %m %n %l ' \\( -type d -printf '\\n' \\
  -o -printf '%s %T@\\n' \\); find work tmp -type f ! -name big -exec sha256sum {} +; } 2>&1 | sort`;

test("a copy has contents, modes, times, links, holes and names, whatever they are", async () => {
  const { id } = await makeSandbox(platform());
  await shell(
    platform(),
    id,
    String.raw`mkdir -p a/b/c empty; echo one > a/one; printf 'x\0y' > a/b/bytes; ln -s ../one a/b/link
    ln -s /etc/passwd out; ln -s nowhere broken; ln a/one a/b/c/other; chmod 640 a/one
    head -c 3000000 /dev/urandom > random; truncate -s 1T big; printf tail >> big; touch $'new\nline' '-rf' 'ñ é'
    printf secret > closed; chmod 0 closed; mkdir locked; echo in > locked/in; chmod 0 locked
    echo t > /tmp/t; mkdir /tmp/d; touch -d '1999-12-31 23:59:59.123456789' a/b/bytes a/b; chmod 700 a
    for i in $(seq 300); do mkdir -p many/$((i % 7)); echo $i > many/$((i % 7))/$i; done
    d=deep; for i in $(seq 200); do d=$d/x; done; mkdir -p $d; echo bottom > $d/f`,
  );
  const before = (await shown(id, inventory)).split("\n");
  const snapshot = await takeSnapshot(platform(), id, { kind: "test" });
  assert.deepEqual(snapshot.lost, []);
  assert.ok(snapshot.sizeBytes < 4_000_000, "a hole takes nothing");
  assert.deepEqual((await shown(id, inventory)).split("\n"), before, "the source is as it was");
  const made = await makeSandbox(platform(), { snapshot: snapshot.id });
  assert.deepEqual((await shown(made.id, inventory)).split("\n"), before);
  assert.equal(
    await shown(made.id, "tail -c 4 big; cat a/b/c/other; chmod 400 closed; cat closed"),
    "tailone\nsecret",
  );
  assert.equal(await shown(made.id, "echo more >> a/one; cat a/b/c/other"), "one\nmore\n");
  assert.equal(await shown(id, "cat a/one"), "one\n", "each has its own");
  const [listed] = (
    await getOk<{ snapshots: Snapshot[] }>(
      platform(),
      `${snapshotsPath}?filter=${encodeURIComponent(`sandbox = "${id}" AND metadata.kind = "test"`)}`,
    )
  ).snapshots;
  assert.deepEqual(listed, snapshot);
  await Promise.all([id, made.id].map((each) => killSandbox(platform(), each)));
});

test("a fork of a busy sandbox begins where it is, and says what it lost", async () => {
  const { id } = await makeSandbox(platform(), {
    env: { COLOUR: "blue" },
    secrets: { TOKEN: "very secret" },
    metadata: { user: "ada", run: "1" },
  });
  // One moment: the second file never is ahead of the first, nor more than one behind it.
  const busy = `head -c 10000000 /dev/zero | tr '\\0' x > filler; for ((i = 1; ; i++)); do
    echo $i > n; mv n first; echo $i > n; mv n second; done`;
  const { id: worker } = await startProcess(platform(), id, {
    command: "bash",
    args: ["-c", busy],
  });
  await shell(platform(), id, "mkfifo pipe; until [ -e second ]; do sleep 0.01; done");
  const { sandboxes, lost } = await forkSandbox(platform(), id, {
    count: 3,
    metadata: { run: "2" },
  });
  assert.deepEqual(
    lost.map(({ kind }) => kind),
    ["PROCESSES", "SPECIAL_FILES"],
  );
  assert.equal(sandboxes.length, 3);
  for (const fork of sandboxes) {
    const said = await shown(fork.id, "echo $(cat first second) $COLOUR $TOKEN; pgrep -c bash; ls");
    const [first = NaN, second = NaN] = said.split(" ").map(Number);
    assert.ok(first === second || first === second + 1, said);
    assert.match(said, /blue very secret\n1\nfiller\nfirst\n(n\n)?second\n$/);
    assert.deepEqual(fork.metadata, { user: "ada", run: "2" });
  }
  const then = await shown(id, "cat second");
  await eventually("the source goes on", async () => (await shown(id, "cat second")) !== then);
  assert.equal((await getProcess(platform(), id, worker)).running, true);
  const { snapshots } = await getOk<{ snapshots: Snapshot[] }>(
    platform(),
    `${snapshotsPath}?filter=${encodeURIComponent(`sandbox = "${id}"`)}`,
  );
  assert.deepEqual(snapshots, [], "a fork keeps nothing");
  await Promise.all(
    [id, ...sandboxes.map((one) => one.id)].map((each) => killSandbox(platform(), each)),
  );
});

test("what was stopped before a copy is stopped after it, and what ran runs", async () => {
  const { id } = await makeSandbox(platform());
  await shell(platform(), id, "sleep 100 & sleep 200 & sleep 0.2; kill -STOP $!");
  const states = "ps -eo stat=,args= | grep 'sleep [12]00' | grep -v grep | sort -k3";
  const before = await shown(id, states);
  assert.match(before, /^S\S* +sleep 100\nT\S* +sleep 200\n$/);
  await takeSnapshot(platform(), id);
  assert.equal(await shown(id, states), before);
  await killSandbox(platform(), id);
});

test("a shell at a terminal does not find its job stopped by a copy", async () => {
  const { id } = await makeSandbox(platform());
  const { id: terminal } = await startProcess(platform(), id, {
    ...{ command: "bash", args: ["-i"], input: true, terminal: { columns: 80, rows: 24 } },
  });
  const code = "for i in $(seq 40); do sleep 0.02; done; sleep 1; echo do''ne; exit\n";
  const data = { text: code };
  const written = await post(platform(), pathOf(id, `/processes/${terminal}:write`), data);
  assert.equal(written.status, 200, await written.text());
  const taken: Snapshot[] = [];
  while ((await getProcess(platform(), id, terminal)).running) {
    taken.push(await takeSnapshot(platform(), id));
  }
  assert.ok(taken.length > 3);
  const said = textOf(await follow(await watchProcess(platform(), id, terminal)));
  assert.match(said, /\rdone\r\n/);
  assert.doesNotMatch(said, /Stopped/);
  await killSandbox(platform(), id);
});

test("a snapshot outlives its sandbox and the platform, and those that began with it outlive it", async () => {
  const data = makeDataDirectory();
  try {
    const first = await startPlatform({ data });
    const { id } = await makeSandbox(first);
    await shell(first, id, "echo kept > file");
    const [one, two] = [await takeSnapshot(first, id), await takeSnapshot(first, id)];
    assert.equal(one.digest, two.digest);
    assert.equal(readdirSync(join(data, "snapshots")).length, 1, "what is equal is kept once");
    // In the middle of another: nothing of that is left, and nothing that is kept is lost.
    await shell(first, id, "head -c 100000000 /dev/urandom > large");
    const interrupted = post(first, pathOf(id, "/snapshots"), {}).catch(() => undefined);
    await eventually("it is being written", async () =>
      readdirSync(join(data, "snapshots")).some((name) => name.startsWith(".")),
    );
    await first.kill();
    await interrupted;
    const second = await startPlatform({ data });
    assert.deepEqual(readdirSync(join(data, "snapshots")), [one.digest]);
    const made = await makeSandbox(second, { snapshot: one.id });
    assert.equal((await remove(second, `${snapshotsPath}/${one.id}`)).status, 200);
    assert.deepEqual(readdirSync(join(data, "snapshots")), [one.digest], "another names it");
    assert.equal((await remove(second, `${snapshotsPath}/${two.id}`)).status, 200);
    assert.deepEqual(readdirSync(join(data, "snapshots")), []);
    assert.equal((await shell(second, made.id, "cat file")).stdout, "kept\n");
    await refusal(await begin(second, { snapshot: one.id }), 404, "snapshot_not_found");
    await refusal(
      await fetch(`${second.url}${snapshotsPath}/${one.id}`),
      404,
      "snapshot_not_found",
    );
    assert.equal(await second.stop(), 0);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

test("what is too much is refused, with nothing left of it", async () => {
  const { id } = await makeSandbox(platform());
  await shell(platform(), id, "head -c 31000000 /dev/zero | tr '\\0' x > large");
  await refusal(await post(platform(), pathOf(id, "/snapshots"), {}), 507, "snapshot_too_large");
  await refusal(await post(platform(), pathOf(id, ":fork"), {}), 507, "snapshot_too_large");
  assert.equal(await shown(id, "rm large; head -c 9000000 /dev/urandom > some; echo $?"), "0\n");
  const { id: snapshot } = await takeSnapshot(platform(), id);
  const small = { snapshot, limits: { diskBytes: "4000000" } };
  await refusal(await begin(platform(), small), 507, "sandbox_disk_full");
  const both = { snapshot, template: "any" };
  await refusal(await begin(platform(), both), 400, "invalid_request");
  await killSandbox(platform(), id);
  const gone = await post(platform(), pathOf(id, "/snapshots"), {});
  await refusal(gone, 410, "sandbox_ended");
});

test("all snapshots together are bounded, and one that is deleted makes room", async () => {
  const tight = await startPlatform({ environment: { SYLA_SANDBOX_SNAPSHOT_BYTES: "5000000" } });
  const { id } = await makeSandbox(tight);
  const random = () => shell(tight, id, "head -c 3000000 /dev/urandom > f");
  await random();
  const first = await takeSnapshot(tight, id);
  await random();
  await refusal(await post(tight, pathOf(id, "/snapshots"), {}), 507, "snapshots_full");
  await remove(tight, `${snapshotsPath}/${first.id}`);
  await takeSnapshot(tight, id);
  assert.equal(await tight.stop(), 0);
});
