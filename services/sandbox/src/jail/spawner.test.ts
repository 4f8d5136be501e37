import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildAgent } from "./agent-build.ts";
import { type Spawner, openSpawner } from "./spawner.ts";

const agent = await buildAgent({
  directory: join(tmpdir(), `syla-agent-test-${process.getuid?.()}`),
});

/** Our group in the v2 tree, if there is one where we may make groups. */
function cgroup2Directory(): string | undefined {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const point = mounts.find((line) => line.includes(" - cgroup2 "))?.split(" ")[4];
  const own = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"));
  if (point === undefined || own?.[1] === undefined) return undefined;
  const directory = join(point, own[1]);
  try {
    accessSync(directory, constants.W_OK);
    return directory;
  } catch {
    return undefined;
  }
}

/** A zombie does not run; who has to reap it here is not our business. */
const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** Runs a shell with its fd 3 as the socket, and answers what came over it. */
const shell = async (spawner: Spawner, script: string) => {
  const { socket, exited } = spawner.spawn(["--", "/bin/sh", "-c", script]);
  let heard = "";
  socket.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  const ended = new Promise((resolve) => socket.once("close", resolve));
  const said = await exited;
  await ended; // its last bytes may come after the news of its end
  return { heard, said };
};

it("openSpawner() starts programs on the socket, with an empty environment and three streams", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { heard, said } = await shell(
    spawner,
    "ls /proc/self/fd | xargs >&3; env >&3; echo no >&2",
  );
  assert.match(heard, /^0 1 2 3 \d\n/);
  assert.doesNotMatch(heard, /HOME|NODE/);
  assert.equal(said, "no");
  await spawner.close();
});

it("openSpawner() hands on what follows the request, and kills by request", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { socket, exited, kill } = spawner.spawn([
    "--",
    "/bin/sh",
    "-c",
    "read x <&3; echo $x >&3; exec sleep 60",
  ]);
  socket.write("first bytes\n");
  const heard = await new Promise<string>((resolve) =>
    socket.once("data", (data) => resolve(String(data))),
  );
  assert.equal(heard, "first bytes\n");
  kill();
  assert.equal(await exited, "");
  socket.destroy();
  await spawner.close();
});

it("openSpawner() tells what cannot be started", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { exited, socket } = spawner.spawn(["--", "/no/such/program"]);
  assert.match(await exited, /cannot execute \/no\/such\/program: No such file/);
  socket.destroy();
  const v2 = spawner.spawn(["--cgroup-v2", "/no/such/group", "--", "/bin/true"]);
  assert.match(await v2.exited, /cannot start a jail/);
  v2.socket.destroy();
  await spawner.close();
});

const v2 = cgroup2Directory();
it("openSpawner() starts a program inside a v2 cgroup", { skip: v2 === undefined }, async () => {
  const group = join(v2 ?? "", `syla-test-${process.pid}`);
  mkdirSync(group);
  const spawner = await openSpawner({ agentPath: agent.path });
  const request = ["--cgroup-v2", group, "--", "/bin/sh", "-c", "grep ^0:: /proc/self/cgroup >&3"];
  const { socket, exited } = spawner.spawn(request);
  let heard = "";
  socket.on("data", (data: Buffer) => (heard += data.toString()));
  await new Promise((resolve) => socket.once("close", resolve));
  await exited;
  await spawner.close();
  rmdirSync(group);
  assert.match(heard, new RegExp(`/syla-test-${process.pid}\n$`));
});

it("openSpawner() starts a hundred at once", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const all = Array.from({ length: 100 }, (_, i) => shell(spawner, `echo ${i} >&3`));
  const heard = (await Promise.all(all)).map((one) => one.heard.trim());
  assert.deepEqual(
    heard,
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  await spawner.close();
});

it("openSpawner() starts again when the spawner is killed, and its programs end with it", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { socket, exited } = spawner.spawn([
    "--",
    "/bin/sh",
    "-c",
    "echo $$ $PPID >&3; exec sleep 60",
  ]);
  const heard = await new Promise<string>((resolve) =>
    socket.once("data", (data) => resolve(String(data))),
  );
  const [program, parent] = heard.trim().split(" ").map(Number);
  assert.ok(program && parent);
  process.kill(parent, "SIGKILL");
  assert.equal(await exited, "the spawner ended");
  socket.destroy();
  await sleep(300);
  assert.equal(isRunning(program), false);
  assert.equal((await shell(spawner, "echo again >&3")).heard, "again\n");
  await spawner.close();
});

it("openSpawner() ends and reaps what a killed program leaves, whoever is the host's PID 1", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { heard } = await shell(spawner, "sleep 60 3>&- & echo $! >&3; kill -9 $$");
  const gone = async (): Promise<boolean> => {
    for (let waitedMs = 0; waitedMs < 500; waitedMs += 20) {
      if (!existsSync(`/proc/${heard.trim()}`)) return true;
      await sleep(20);
    }
    return false;
  };
  assert.ok(Number(heard) > 1 && (await gone()), `process ${heard} is there, if only as a zombie`);
  await spawner.close();
});

it("openSpawner() ends a zygote that has closed its socket, and does not wait for what it is in", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const script = "exec 4>&-; exec sleep 60";
  const { socket, exited } = spawner.spawn(["--as", "zygote", "--", "/bin/sh", "-c", script]);
  assert.equal(await Promise.race([exited, sleep(5000, "it lives")]), "");
  socket.destroy();
  await spawner.close();
});

it("openSpawner() tries again for as long as the spawner cannot be started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "spawner-test-"));
  const agentPath = join(folder, "agent");
  copyFileSync(agent.path, agentPath);
  const spawner = await openSpawner({ agentPath });
  renameSync(agentPath, `${agentPath}.away`);
  const { heard } = await shell(spawner, "echo $PPID >&3");
  process.kill(Number(heard), "SIGKILL");
  await sleep(400);
  const { exited, socket } = spawner.spawn(["--", "/bin/true"]);
  assert.match(await exited, /ENOENT|ECONN|ended/);
  socket.destroy();
  renameSync(`${agentPath}.away`, agentPath);
  await sleep(300);
  await spawner.listening;
  assert.equal((await shell(spawner, "echo again >&3")).heard, "again\n");
  await spawner.close();
  rmSync(folder, { recursive: true });
});

it("openSpawner() leaves no process and no file", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  await spawner.close();
  const children = execFileSync("ps", ["--ppid", String(process.pid), "-o", "comm="], {
    encoding: "utf8",
  });
  assert.doesNotMatch(children, /syla-agent/);
});

it("a process whose socket is closed before its request left has ended", async () => {
  const spawner = await openSpawner({ agentPath: agent.path });
  const { socket, exited } = spawner.spawn(["/bin/true"]);
  socket.destroy();
  assert.match(await exited, /destroyed|closed|ended/i);
  await spawner.close();
});
