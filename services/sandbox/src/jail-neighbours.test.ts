/** What one jail's program can take of what all share: little, and nothing that the next one sees. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { type JailFixture, MIB, openFixture } from "./jail-fixture.ts";
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

describe("what all jails share", () => {
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
