/** What a program can see and reach from inside, with controls that the probes work. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { type JailFixture, openFixture, runIn } from "./fixture.ts";
import { isPrivileged } from "./root.ts";

let jails: JailFixture;
before(async () => {
  jails = await openFixture();
});
after(() => jails.close());

const shell = async (script: string): Promise<string> => {
  const { stdout, stderr } = await jails.run(["/bin/sh", "-c", script]);
  return stdout + stderr;
};

describe("the program's identity", () => {
  it("is an unprivileged user inside and, on the host, a uid that nobody else has", async () => {
    assert.equal(await shell("id -u; id -g; id -G"), "1000\n1000\n1000\n");
    const jail = jails.open();
    const seconds = `${Math.random()}`.slice(2, 12); // to find it by its command line
    const argv = ["/bin/sleep", `30.${seconds}`];
    const done = runIn(jail, argv, { onStarted: () => found.resolve(hostUidOf(seconds)) });
    const found = Promise.withResolvers<number | undefined>();
    const uid = await found.promise;
    jail.kill("cancelled");
    await done;
    await jail.close();
    if (isPrivileged()) assert.ok(uid && uid >= 1_900_000_000, `${uid}`);
    else assert.equal(uid, process.getuid?.());
  });

  it("has no capability in any set, no_new_privs and a seccomp filter", async () => {
    const status = await shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    const value = (name: string): string | undefined =>
      new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      assert.equal(value(set), "0000000000000000", set);
    }
    assert.equal(value("NoNewPrivs"), "1");
    assert.equal(value("Seccomp"), "2");
  });

  it("shares no namespace with the host", async () => {
    const own = (name: string): string =>
      execFileSync("readlink", [`/proc/self/ns/${name}`], { encoding: "utf8" }).trim();
    for (const name of ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]) {
      const inside = (await shell(`readlink /proc/self/ns/${name}`)).trim();
      assert.match(inside, new RegExp(`^${name}:\\[\\d+\\]$`));
      assert.notEqual(inside, own(name), name);
    }
  });

  it("leads a session without a terminal, and has three descriptors", async () => {
    assert.match(await shell("exec 2>&1; : < /dev/tty"), /No such device/);
    // ls itself has opened the directory.
    assert.equal(await shell("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
  });
});

describe("PID 1", () => {
  it("cannot be read, traced, killed or limited by the program", async () => {
    const jail = jails.open();
    const code = `
import os, resource, signal
def attempt(name, f):
  try: f(); print(name, 'ok')
  except (OSError, PermissionError, ValueError) as e: print(name, 'refused')
attempt('own', lambda: os.listdir('/proc/self/fd'))
for what in ('fd', 'map_files', 'task/1/fd'): attempt(what, lambda: os.listdir('/proc/1/' + what))
for what in ('mem', 'environ', 'maps', 'stack', 'auxv'):
  attempt(what, lambda: open('/proc/1/' + what, 'rb').read(1))
attempt('exe', lambda: os.readlink('/proc/1/exe'))
attempt('prlimit', lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (1, 1)))
for s in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
  os.kill(1, s)
print('end')`;
    const { stdout, outcome } = await runIn(jail, ["/usr/bin/python3", "-c", code]);
    const lines = stdout.trim().split("\n");
    assert.equal(lines[0], "own ok");
    assert.equal(lines.at(-1), "end");
    for (const line of lines.slice(1, -1)) assert.match(line, /refused$/);
    assert.equal(outcome.success, true);
    assert.equal((await runIn(jail, ["/bin/echo", "alive"])).stdout, "alive\n");
    await jail.close();
  });

  it("is out of reach of kill -9 -1, which ends only the program", async () => {
    const { outcome } = await jails.run(["/bin/sh", "-c", "kill -9 -1; exit 5"]);
    assert.ok(!outcome.success && ["signal", "exit_code"].includes(outcome.errorType));
  });
});

describe("the file system", () => {
  it("has nothing of the host but what is listed", async () => {
    const root = (await shell("ls -A /")).trim().split("\n");
    const expected = ["bin", "dev", "etc", "init", "lib", "lib32", "lib64", "libx32", "proc"];
    expected.push("run", "sbin", "tmp", "usr", "work", "hold.cjs", "gate.so", "zygote.py");
    expected.push("zygote.so", "home", "var");
    for (const name of root) assert.ok(expected.includes(name), name);
    assert.ok(root.includes("usr"));
    assert.equal(await shell("ls -A /home; readlink /home/user"), "user\n/work\n");
    assert.equal(
      await shell("ls -A /var /var/cache 2>/dev/null | grep -vE '^(/.*|cache|fontconfig|)$'"),
      "",
    );
    assert.match(await shell("cat /etc/shadow /etc/machine-id"), /No such file.*\n.*No such file/);
    assert.equal(
      await shell("cat /etc/hostname; hostname; env | grep -c SYLA"),
      "sandbox\nsandbox\n0\n",
    );
  });

  it("is writable in /work, /tmp and /dev/shm and nowhere else", async () => {
    const script = `
for d in / /usr /etc /dev /proc /run /work /tmp /dev/shm /dev/pts /var /home /proc/sys /usr/local/bin; do
  touch $d/probe 2>/dev/null && echo $d
done
(echo x > /proc/sys/kernel/hostname) 2>/dev/null && echo sysctl
true`;
    assert.equal(await shell(script), "/work\n/tmp\n/dev/shm\n");
  });

  it("covers what /proc says of the host", async () => {
    const script = `
for f in kallsyms keys key-users cmdline modules interrupts timer_list kcore sysrq-trigger \\
  buddyinfo zoneinfo sys/kernel/random/boot_id; do
  cat /proc/$f 2>/dev/null | head -c 100
done
ls /proc/acpi /proc/irq /proc/bus /proc/driver /proc/scsi 2>/dev/null | grep -v : | grep .
grep -c processor /proc/cpuinfo`;
    const processors = readFileSync("/proc/cpuinfo", "utf8").match(/^processor/gm)?.length;
    assert.equal(await shell(script), `${processors}\n`);
  });

  it("takes no set-user-id and no device", async () => {
    const script = `
for line in $(sed 's/ - .*//; s/ /,/g' /proc/self/mountinfo); do
  case $line in *nosuid*) ;; *) echo $line;; esac
done
mknod /work/null c 1 3 2>/dev/null && echo device
mount -t tmpfs none /tmp 2>/dev/null && echo mounted
unshare -U true 2>/dev/null && echo namespace
true`;
    assert.equal(await shell(script), "");
  });
});

describe("the network", () => {
  it("is a loopback that works, and nothing else", async () => {
    const code = `
import socket
print(open('/proc/net/dev').read().count(':'), open('/proc/net/route').read().count('\\n'))
s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname())
c.send(b'looped'); print(s.accept()[0].recv(9).decode())
try: socket.create_connection(('1.1.1.1', 53), 1)
except OSError as e: print(e.errno)`;
    const { stdout, end } = await jails.python(code);
    assert.equal(stdout, "1 1\nlooped\n101\n");
    assert.ok(end.usage && end.usage.networkBytes > 6);
  });
});

/** The uid of the process whose command line holds this, as the host sees it. */
const hostUidOf = (text: string): number | undefined => {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, "latin1").includes(`30.${text}`)) continue;
      const uid = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1];
      return Number(uid);
    } catch {
      // It ended while we looked.
    }
  }
  return undefined;
};
