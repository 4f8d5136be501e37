/** What one jail's program can take of what all share: little, and nothing that the next one sees. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type JailFixture, MIB, openFixture } from "./fixture.ts";
import { isPrivileged } from "./root.ts";

let jails: JailFixture;
before(async () => {
  jails = await openFixture();
});
after(() => jails.close());

const TERMINALS = `
import os, resource
try:
    while True: os.open('/dev/ptmx', os.O_RDWR)
except OSError: print(len(os.listdir('/dev/pts')) - 1)`;

// Pairs of connections on loopback, each filled as far as it goes.
const SOCKETS = `
import socket, time
server = socket.create_server(('127.0.0.1', 0), backlog=500)
held = []
for _ in range(200):
    one = socket.create_connection(server.getsockname()); other, _ = server.accept()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
    one.setblocking(False)
    held += [one, other]
    try:
        while True: one.send(bytes(1 << 20))
    except BlockingIOError: pass
def pages(): return int(open('/proc/net/sockstat').read().split('TCP:')[1].split('mem ')[1].split()[0])
print(pages() * 4096)`;

// Connections that are closed with bytes unsent, having been told to drop what says that nobody reads them.
const ORPHANS = `
import socket
server = socket.create_server(('127.0.0.1', 0), backlog=100)
md5 = bytes([2, 0, 0, 0, 127, 0, 0, 1]) + bytes(120) + bytes([0, 0, 4, 0, 0, 0, 0, 0]) + b'abcd' + bytes(76)
held, dropping = [], 0
for _ in range(50):
    one = socket.create_connection(server.getsockname()); held.append(server.accept())
    try:
        one.setsockopt(*DROPPING)
        dropping += 1
    except OSError: pass
    one.setblocking(False)
    try:
        while True: one.send(bytes(1 << 16))
    except BlockingIOError: one.close()
print(dropping, int(open('/proc/net/sockstat').read().split('orphan ')[1].split()[0]) >= 50)`;

const GROUP = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
try: s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes([232, 1, 1, 1, 127, 0, 0, 1]))
except OSError as error: print(error.errno)`;

const SHARED_MEMORY = `
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
at = libc.shmat(libc.shmget(0, ctypes.c_size_t(150 << 20), 0o1600), None, 0)
ctypes.memset(ctypes.c_void_p(at), 1, 150 << 20)`;

const CORES = `
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
print(resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
print(resource.getrlimit(resource.RLIMIT_NOFILE))`;

// All there is of what the kernel counts for each user and each user namespace: inotify instances, POSIX timers (and
// so queued signals), POSIX message queues of the usual size.
const COUNTED = `
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
rt = libc if hasattr(libc, 'timer_create') and hasattr(libc, 'mq_open') else ctypes.CDLL('librt.so.1')
def take(one):
    count = 0
    while one(count) >= 0: count += 1
    return count
made = ctypes.c_void_p()
print(take(lambda _: libc.inotify_init()),
    take(lambda _: rt.timer_create(0, None, ctypes.byref(made))),
    take(lambda n: rt.mq_open(b'/%d' % n, os.O_CREAT | os.O_RDWR, 0o600, None)) if 'host' not in sys.argv else '',
    flush=True)
if 'stay' in sys.argv: time.sleep(60)`;

const WATCHES = `
import ctypes, os
libc = ctypes.CDLL(None)
watcher = libc.inotify_init()
for name in range(100): os.mkdir(str(name))
print(sum(libc.inotify_add_watch(watcher, b'%d' % name, 2) >= 0 for name in range(100)))
try: print(open('/proc/sys/user/max_user_namespaces').read().strip(), open('/proc/sys/user/max_user_namespaces', 'w'))
except OSError as error: print(type(error).__name__)`;

describe("what all jails share", () => {
  it("has as many watchers, timers and queues left when a program takes all it can get", async () => {
    const greedy = jails.open();
    const taken = new Promise<string>((resolve) => {
      void greedy.exec({
        argv: ["/usr/bin/python3", "-c", COUNTED, "stay"],
        limits: { wallMs: 60_000, stdoutBytes: MIB, stderrBytes: MIB },
        onOutput: (_, data) => resolve(data.toString()),
      });
    });
    try {
      // A signal of the jail's own may wait at that moment.
      const share = /^8 10[12]\d 1\n$/;
      assert.match(await taken, share);
      assert.match((await jails.python(COUNTED)).stdout, share);
      const host = await promisify(execFile)("/usr/bin/python3", ["-c", COUNTED, "host"]);
      const [instances = 0, timers = 0] = host.stdout.split(" ").map(Number);
      // The rest of the host has some too. Without the bounds there is none.
      assert.ok(instances > 8 && timers > 1024, host.stdout);
    } finally {
      await greedy.close();
    }
  });

  it("lets a program watch a hundred folders, and bounds itself not by the program's word", async () => {
    const { stdout } = await jails.python(WATCHES);
    assert.match(stdout, /^100\n(0 )?(OSError|PermissionError)\n$/);
  });

  it("has terminals left when a program takes all it can get", async (t) => {
    if (!isPrivileged()) return t.skip("without root bubblewrap makes /dev/pts, without a limit");
    const { stdout } = await jails.python(TERMINALS);
    assert.equal(Number(stdout), 64);
  });

  it("has room for others' connections when a program fills all of its own", async (t) => {
    if (jails.cgroups.kind === "rlimit") return t.skip("no cgroups on this host");
    const hostBytes = () =>
      Number(/^TCP:.* mem (\d+)/m.exec(readFileSync("/proc/net/sockstat", "utf8"))?.[1]) * 4096;
    const already = hostBytes();
    const { stdout, stderr } = await jails.python(SOCKETS);
    assert.equal(stderr, "");
    // In v1 an eighth of its memory, and the pages that every socket may have whatever the limit is.
    const bytesMax = jails.cgroups.kind === "v2" ? 256 * MIB : 64 * MIB;
    assert.ok(Number(stdout) - already < bytesMax, `${stdout} bytes, ${already} before`);
  });

  it("is rid of a program's connections when it has ended, whatever it set them to drop", async () => {
    const orphans = () =>
      Number(/^TCP:.* orphan (\d+)/m.exec(readFileSync("/proc/net/sockstat", "utf8"))?.[1]);
    for (const dropping of ["(0, 21, 255)", "(6, 14, md5)", "(1, 25, b'lo')", "(6, 1, 1)"]) {
      const earlier = orphans();
      const { stdout, stderr } = await jails.python(ORPHANS.replace("DROPPING", dropping));
      assert.match(
        stdout,
        dropping === "(6, 1, 1)" ? /^50 True\n$/ : /^0 True\n$/,
        dropping + stderr,
      );
      for (let waited = 0; orphans() >= earlier + 40 && waited < 50; waited += 1) await sleep(20);
      assert.ok(orphans() < earlier + 40, `${orphans()} are left of ${dropping}`);
    }
  });

  it("has no multicast groups, whose lock all jails would wait for", async () => {
    const ENODEV = 19;
    const { stdout, stderr } = await jails.python(GROUP);
    assert.equal(stderr, "");
    assert.equal(Number(stdout), ENODEV);
  });

  it("has a crash handler of the host's that no program can have started", async () => {
    const { stdout, stderr } = await jails.python(CORES);
    assert.equal(stderr, "");
    assert.equal(stdout, "(1, 1)\n(100, 100)\n");
  });
});

describe("the next jail in a slot", () => {
  it("is not told, nor charged for, what the one before used", async (t) => {
    if (jails.cgroups.kind === "rlimit") return t.skip("no cgroups on this host");
    for (let round = 0; round < 5; round += 1) {
      const first = await jails.python(SHARED_MEMORY);
      assert.ok(first.end.cgroup.memoryPeakBytes > 150 * MIB);
      const second = await jails.run(["/bin/true"]);
      assert.ok(second.end.cgroup.memoryPeakBytes < 16 * MIB);
    }
  });
});
