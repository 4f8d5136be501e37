/** Cgroups on this host for real, and layouts it does not have on a directory of plain files. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { detectCgroups } from "./detect.ts";
import { openCgroups } from "./cgroup.ts";

const LIMITS = { memoryBytes: 64 * 1024 * 1024, pids: 16, cpus: 0.5 };

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "cgroup-test-"));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** A host told by its two files. */
const host = (name: string, mounts: string[], membership: string[]) => {
  const paths = { mountinfo: join(directory, name), membership: join(directory, `${name}.own`) };
  writeFileSync(paths.mountinfo, `${mounts.join("\n")}\n`);
  writeFileSync(paths.membership, `${membership.join("\n")}\n`);
  return paths;
};

const V2_MOUNT = (point: string, root = "/"): string =>
  `31 23 0:28 ${root} ${point} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate`;
const V1_MOUNT = (point: string, controllers: string): string =>
  `35 31 0:31 / ${point} rw,relatime - cgroup cgroup rw,${controllers}`;

/** A v2 tree as far as plain files can play one: controllers must be there beforehand. */
const v2Tree = (name: string, controllers: string): string => {
  const home = join(directory, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "cgroup.controllers"), controllers);
  writeFileSync(join(home, "cgroup.subtree_control"), controllers);
  return home;
};

describe("detectCgroups()", () => {
  it("knows v2, also where the mount's root is a container's group", () => {
    const plain = host("v2", [V2_MOUNT("/cg")], ["0::/user.slice/a"]);
    assert.deepEqual(detectCgroups(plain), { kind: "v2", directory: "/cg/user.slice/a" });
    const inside = host("v2c", [V2_MOUNT("/cg", "/docker/x")], ["0::/docker/x/y"]);
    assert.deepEqual(detectCgroups(inside), { kind: "v2", directory: "/cg/y" });
  });

  it("knows v1 with joined controllers, and hybrid by its v2 tree without any", () => {
    const mounts = [V1_MOUNT("/cg/memory", "memory"), V1_MOUNT("/cg/pids", "pids")];
    mounts.push(V1_MOUNT("/cg/cpu,cpuacct", "cpu,cpuacct"));
    const own = ["4:memory:/m", "3:pids:/", "2:cpu,cpuacct:/c"];
    const v1 = detectCgroups(host("v1", mounts, own));
    assert.equal(v1.kind, "v1");
    const directories = v1.kind === "v1" ? Object.fromEntries(v1.directories) : {};
    assert.deepEqual(directories, {
      memory: "/cg/memory/m",
      pids: "/cg/pids",
      cpu: "/cg/cpu,cpuacct/c",
      cpuacct: "/cg/cpu,cpuacct/c",
    });
    const hybrid = host("hybrid", [...mounts, V2_MOUNT("/cg/unified")], [...own, "0::/"]);
    assert.equal(detectCgroups(hybrid).kind, "hybrid");
  });

  it("says none where nothing is mounted", () => {
    assert.equal(detectCgroups(host("none", [], ["0::/"])).kind, "none");
  });
});

describe("openCgroups() on v2", () => {
  it("makes slots with their limits, and counts by the kernel's files", async () => {
    const home = v2Tree("delegated", "cpu io memory pids");
    const paths = host("delegated.m", [V2_MOUNT(home)], ["0::/"]);
    const cgroups = await openCgroups({ paths });
    assert.equal(cgroups.kind, "v2");
    const slot = cgroups.acquire(LIMITS);
    const [option, group = ""] = slot.launchArguments;
    assert.equal(option, "--cgroup-v2");
    const read = (name: string): string => readFileSync(join(group, name), "utf8");
    assert.equal(read("memory.max"), String(LIMITS.memoryBytes));
    assert.equal(read("pids.max"), String(LIMITS.pids));
    assert.equal(read("cpu.max"), "50000 100000");
    assert.equal(read("../cgroup.subtree_control"), "+memory +pids +cpu +io");
    writeFileSync(join(group, "cpu.stat"), "usage_usec 123\nuser_usec 100\n");
    writeFileSync(join(group, "memory.peak"), "4096\n");
    writeFileSync(join(group, "memory.events"), "low 0\noom 2\noom_kill 1\n");
    writeFileSync(join(group, "pids.events"), "max 3\n");
    writeFileSync(join(group, "io.stat"), "8:0 rbytes=10 wbytes=5 rios=1\n8:1 rbytes=1 wbytes=0\n");
    assert.deepEqual(slot.usage(), {
      cpuUs: 123,
      memoryPeakBytes: 4096,
      oomKills: 1,
      pidsMaxHits: 3,
      ioBytes: 16,
    });
    await cgroups.close();
  });

  it("has a slot back also after limits that it could not be given, and after a process that would not go", async () => {
    const home = v2Tree("kept", "cpu io memory pids");
    const cgroups = await openCgroups({ paths: host("kept.m", [V2_MOUNT(home)], ["0::/"]) });
    const slot = cgroups.acquire(LIMITS);
    const group = slot.launchArguments[1] ?? "";
    const process = spawn("/bin/sleep", ["60"]);
    writeFileSync(join(group, "cgroup.procs"), `${process.pid}\n`);
    await assert.rejects(slot.release(), /stays occupied/);
    assert.notEqual(cgroups.acquire(LIMITS).index, slot.index, "it is not another's yet");
    writeFileSync(join(group, "cgroup.procs"), "");
    await sleep(1000);
    rmSync(join(group, "memory.max"));
    mkdirSync(join(group, "memory.max"));
    assert.throws(() => cgroups.acquire(LIMITS), /EISDIR/);
    rmSync(join(group, "memory.max"), { recursive: true });
    assert.equal(cgroups.acquire(LIMITS).index, slot.index);
    await cgroups.close();
  });

  it("starts although a platform that died left a process that the kernel does not let go of", async () => {
    const home = v2Tree("haunted", "cpu io memory pids");
    const dead = join(home, "syla-4194304-1", "slot-0");
    mkdirSync(dead, { recursive: true });
    const process = spawn("/bin/sleep", ["60"]);
    writeFileSync(join(dead, "cgroup.procs"), `${process.pid}\n`);
    const cgroups = await openCgroups({ paths: host("haunted.m", [V2_MOUNT(home)], ["0::/"]) });
    assert.equal(process.signalCode, "SIGKILL");
    assert.ok(existsSync(dead), "it is left to a later start");
    await cgroups.close();
  });

  it("refuses, with what to do, when memory or pids is not handed down", async () => {
    const home = v2Tree("bare", "cpu");
    const paths = host("bare.m", [V2_MOUNT(home)], ["0::/"]);
    await assert.rejects(openCgroups({ paths }), /not given the memory controller.*systemd-run/);
  });

  it("uses the group above when an earlier start moved us into a leaf", async () => {
    const home = v2Tree("moved", "cpu memory pids");
    mkdirSync(join(home, "syla-supervisor"));
    const paths = host("moved.m", [V2_MOUNT(home)], ["0::/syla-supervisor"]);
    const cgroups = await openCgroups({ paths });
    const group = cgroups.acquire(LIMITS).launchArguments[1] ?? "";
    assert.equal(dirname(dirname(group)), home);
    await cgroups.close();
  });
});

describe("openCgroups() on this host", () => {
  it("limits, counts and cleans a slot, and uses it again", async () => {
    const cgroups = await openCgroups();
    const slot = cgroups.acquire(LIMITS);
    assert.deepEqual(slot.launchArguments.length % 2, 0);
    const usage = slot.usage();
    assert.ok(usage.cpuUs >= 0 && usage.oomKills === 0 && usage.pidsMaxHits === 0);
    const groups = slot.launchArguments.filter((one) => one.startsWith("/"));
    const sleeper = spawn("/bin/sleep", ["60"]);
    for (const group of groups) writeFileSync(join(group, "cgroup.procs"), String(sleeper.pid));
    await slot.release(); // kills it
    assert.equal(sleeper.signalCode ?? "SIGKILL", "SIGKILL");
    const again = cgroups.acquire({ ...LIMITS, pids: 17 });
    assert.equal(again.index, slot.index);
    const other = cgroups.acquire(LIMITS);
    assert.notEqual(other.index, again.index);
    await cgroups.close();
    for (const group of groups) assert.equal(existsSync(dirname(group)), false);
  });

  it("removes what a platform that died left behind, with its processes", async () => {
    const cgroups = await openCgroups();
    const slot = cgroups.acquire(LIMITS);
    const group = slot.launchArguments.find((one) => one.startsWith("/")) ?? "";
    const own = dirname(dirname(group));
    await cgroups.close();
    const dead = join(own, "syla-4194304-1", "slot-0"); // one more than the largest pid
    mkdirSync(dead, { recursive: true });
    const sleeper = spawn("/bin/sleep", ["60"]);
    writeFileSync(join(dead, "cgroup.procs"), String(sleeper.pid));
    const ended = new Promise((resolve) => sleeper.once("exit", resolve));
    const next = await openCgroups();
    await ended;
    assert.equal(existsSync(dirname(dead)), false);
    await next.close();
  });

  it("does without cgroups only when told to", async () => {
    const cgroups = await openCgroups({ limits: "rlimit" });
    const slot = cgroups.acquire(LIMITS);
    assert.equal(slot.rlimits, true);
    assert.deepEqual(slot.launchArguments, []);
    await slot.release();
    await cgroups.close();
  });
});
