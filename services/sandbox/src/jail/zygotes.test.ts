/** What jails are forked from: it starts, takes turns, is replaced, and its end is survived. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLog } from "@syla/kit/log";
import { buildAgent } from "./agent-build.ts";
import { type Cgroups, openCgroups } from "../cgroup/cgroup.ts";
import { admitUser, openGroupV2 } from "../cgroup/group.ts";
import { type Jail, openJail } from "./jail.ts";
import { runIn } from "./fixture.ts";
import { type Spawner, openSpawner } from "./spawner.ts";
import { isPrivileged, type JailRoot, prepareRoot, UID_BASE } from "./root.ts";
import { seccompFilter } from "../seccomp/seccomp.ts";
import { openZygote, type Zygote } from "./zygote.ts";
import { forksMax, Zygotes, type ZygoteSpec } from "./zygotes.ts";

const directory = mkdtempSync(join(tmpdir(), "zygotes-test-"));
const filter = seccompFilter();
const plain: ZygoteSpec = { key: "plain", binds: [] };
let root: JailRoot;
let cgroups: Cgroups;
let spawner: Spawner;

before(async () => {
  const agent = await buildAgent({
    directory: join(tmpdir(), `syla-agent-test-${process.getuid?.()}`),
  });
  root = prepareRoot({ directory: join(directory, "root"), agentPath: agent.path });
  cgroups = await openCgroups({ limits: isPrivileged() ? "cgroup" : "rlimit" });
  spawner = await openSpawner({ agentPath: agent.path });
});
after(async () => {
  await spawner.close();
  await cgroups.close();
  rmSync(directory, { recursive: true, force: true });
});

const openZygotes = (): Zygotes => {
  return new Zygotes({
    cgroups,
    root,
    spawner,
    filter,
    log: createLog({ level: "silent", name: "test" }),
  });
};

const fork = (zygote: Zygote): Jail => {
  const slot = cgroups.acquire({ memoryBytes: 64 * 1024 ** 2, pids: 16 });
  return openJail({ root, spawner, slot, filter, zygote, diskBytes: 1024 ** 2, diskInodes: 100 });
};

/** Of this process's spawner: children of the bubblewrap that opened them. */
const zygotePids = (): number[] => {
  const all = execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
  const rows = all.map((line) => line.trim().split(/\s+/));
  const childrenOf = (parents: readonly (string | undefined)[], command: RegExp) =>
    rows
      .filter(([, parent, ...words]) => parents.includes(parent) && command.test(words.join(" ")))
      .map(([pid]) => pid);
  const spawners = childrenOf([String(process.pid)], / spawn /);
  return childrenOf(childrenOf(spawners, /bwrap .*zygote/), /^\/init zygote/).map(Number);
};

const started = async (zygotes: Zygotes, spec: ZygoteSpec = plain): Promise<Zygote> => {
  await zygotes.settled(spec);
  const zygote = zygotes.take(spec);
  assert.ok(typeof zygote === "object", "there is none");
  return zygote;
};

describe("Zygotes", { skip: isPrivileged() ? false : "not root: there are no zygotes" }, () => {
  it("starts one at the first request, which does not wait for it", async () => {
    const zygotes = openZygotes();
    assert.equal(zygotes.take(plain), "starting");
    const jail = fork(await started(zygotes));
    assert.equal((await runIn(jail, ["/bin/echo", "here"])).stdout, "here\n");
    await jail.close();
    await zygotes.close();
  });

  it("forks jails that have nothing of one another", async () => {
    const zygotes = openZygotes();
    const zygote = await started(zygotes);
    const jails = Array.from({ length: 8 }, () => fork(zygote));
    const script =
      "echo $$ >> /tmp/seen; cat /tmp/seen | wc -l; ls /proc | grep -c '^[0-9]'; readlink /proc/self/ns/*";
    const said = await Promise.all(jails.map((jail) => runIn(jail, ["/bin/sh", "-c", script])));
    const namespaces = said.map(({ stdout }) => stdout.split("\n").slice(2).join());
    assert.equal(new Set(namespaces).size, 8);
    for (const { stdout } of said) assert.equal(stdout.split("\n")[0], "1", stdout);
    await Promise.all(jails.map((jail) => jail.close()));
    await zygotes.close();
  });

  it("lives through the end of one, whose jails end with it and say so", async () => {
    const zygotes = openZygotes();
    const zygote = await started(zygotes);
    const jail = fork(zygote);
    const running = runIn(jail, ["/bin/sleep", "30"], { limits: { wallMs: 60_000 } });
    await jail.ready;
    await zygote.close();
    assert.equal((await running).end.cause, "internal");
    await jail.close();
    const next = fork(await started(zygotes));
    assert.equal((await runIn(next, ["/bin/echo", "again"])).stdout, "again\n");
    await next.close();
    await zygotes.close();
  });

  it("ends one that is stuck when a jail of it is late, and with it the jails that wait", async () => {
    const zygotes = openZygotes();
    const zygote = await started(zygotes);
    const waiting = fork(zygote);
    await waiting.ready;
    for (const pid of zygotePids()) process.kill(pid, "SIGSTOP");
    const late = fork(zygote);
    await assert.rejects(late.ready, /not ready in time/);
    await Promise.all([late.close(), waiting.close()]);
    assert.equal(zygote.alive, false);
    const next = fork(await started(zygotes));
    assert.equal((await runIn(next, ["/bin/echo", "again"])).stdout, "again\n");
    await next.close();
    await zygotes.close();
  });

  it("replaces one that has forked many, whose last jails go on to their end", async () => {
    const zygotes = openZygotes();
    const first = await started(zygotes);
    const jail = fork(first);
    const running = runIn(jail, ["/bin/sleep", "0.5"]);
    await jail.ready;
    let current: ReturnType<Zygotes["take"]> = first;
    for (let takes = 0; current === first; takes += 1) {
      assert.ok(takes < 100_000, "it is never replaced");
      await new Promise(setImmediate);
      current = zygotes.take(plain);
    }
    assert.equal((await running).outcome.success, true);
    await jail.close();
    await zygotes.close();
    assert.equal(first.alive, false);
  });

  it("stops replacing when jails that do not end keep many that were replaced", async () => {
    const zygotes = openZygotes();
    const seen = new Set<Zygote>();
    const jails: Jail[] = [];
    for (let round = 0; round < 50; round += 1) {
      const zygote = await started(zygotes);
      if (seen.has(zygote)) break;
      seen.add(zygote);
      const jail = fork(zygote);
      jails.push(jail);
      await jail.ready;
      for (let takes = 0; takes < forksMax; takes += 1) zygotes.take(plain);
      for (let turns = 0; turns < 100 && zygotes.take(plain) === zygote; turns += 1) await sleep(5);
    }
    assert.ok(seen.size > 16 && seen.size < 45, `${seen.size} live`);
    await Promise.all(jails.map((jail) => jail.close()));
    await zygotes.close();
  });

  it("says that there is none when one cannot start, and asks again only after a pause", async () => {
    const zygotes = openZygotes();
    const broken: ZygoteSpec = {
      ...plain,
      key: "broken",
      program: { argv: ["/usr/bin/no-such-program"], env: {} },
    };
    for (let round = 0; round < 8; round += 1) await zygotes.settled(broken);
    assert.equal(zygotes.take(broken), "none");
    await zygotes.close();
  });
});

const v2 = readFileSync("/proc/self/mountinfo", "utf8")
  .split("\n")
  .find((line) => line.includes(" - cgroup2 "))
  ?.split(" ")[4];

it("a zygote starts jails inside a v2 group, which it has no other power over", async (context) => {
  if (!isPrivileged()) return context.skip("not root: there are no zygotes");
  if (v2 === undefined) return context.skip("no cgroup v2 controller");
  const parent = mkdtempSync(join(v2, "syla-zygotes-test-"));
  const home = join(parent, "zygotes");
  mkdirSync(home);
  admitUser(parent, UID_BASE);
  const group = openGroupV2(join(parent, "slot-0"), UID_BASE);
  const launchArguments = ["--cgroup-v2", home];
  const zygote = openZygote({ root, spawner, filter, binds: [], launchArguments });
  await zygote.ready;
  const slot = { ...cgroups.acquire({ memoryBytes: 1024 ** 2, pids: 1 }), ...group };
  const jail = openJail({ root, spawner, slot, filter, zygote, diskBytes: 4096, diskInodes: 9 });
  const { stdout } = await runIn(jail, ["/bin/cat", "/proc/self/cgroup"]);
  assert.match(stdout, /^0::\/$/m, "in the root of a namespace of its own");
  assert.equal(group.empty(), false);
  await jail.close();
  while (!group.empty()) await new Promise(setImmediate); // the test's own timeout bounds it
  await zygote.close();
  for (const path of [home, join(parent, "slot-0"), parent]) rmdirSync(path);
});

it("openZygote() is refused a filter that the kernel does not take: its jails are not made", async (context) => {
  if (!isPrivileged()) return context.skip("not root: there are no zygotes");
  const zygote = openZygote({
    root,
    spawner,
    filter: { ...filter, second: new Uint8Array(8) },
    binds: [],
  });
  await zygote.ready;
  const jail = fork(zygote);
  await assert.rejects(jail.ready, /seccomp/);
  await jail.close();
  await zygote.close();
});
