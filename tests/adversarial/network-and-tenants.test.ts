// Programs that look for a network, for the host's services, and for one another.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { test, type TestContext } from "node:test";
import { create, get, python } from "../api.ts";
import { readSentEvents } from "../streams.ts";
import { assertRefused, assertSucceeded, probe, unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

/** A listener of the host's, and how many came. */
/** A server of the host's, for the length of a test. */
async function listen(
  context: TestContext,
  where: { port: number; host: string } | { path: string },
) {
  let visitors = 0;
  const server: Server = createServer((socket) => {
    visitors += 1;
    socket.on("error", () => undefined).end("reached\n");
  });
  server.listen(where);
  await once(server, "listening");
  context.after(async () => {
    server.close();
    await once(server, "close");
  });
  return {
    visitors: () => visitors,
    port: () => portOf(server.address()),
  };
}

function portOf(address: AddressInfo | string | null): number {
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}

test("there is no way out: every address in every spelling is without a route", async () => {
  const outcomes = await probe(
    platform(),
    `
import socket
for address in ("1.1.1.1", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.17.0.1", "100.100.100.200",
                "0x01010101", "16843009"):
  attempt(address, lambda: socket.create_connection((address, 80), 2) and "connected")
for address in ("2606:4700:4700::1111", "fd00:ec2::254", "::ffff:1.1.1.1", "fe80::1"):
  attempt(address, lambda: socket.create_connection((address, 80), 2) and "connected")
attempt("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53)))
attempt("broadcast", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("255.255.255.255", 9)))
try: outcomes["name"] = socket.getaddrinfo("example.com", 80) and "resolved"
except socket.gaierror: outcomes["name"] = "ENETUNREACH"`,
  );
  assertRefused(outcomes, Object.keys(outcomes), [
    "ENETUNREACH",
    "EACCES",
    "EADDRNOTAVAIL",
    "EINVAL",
  ]);
});

test("services on the host's loopback are out of reach, and a program's own is there", async (context) => {
  const own = await listen(context, { port: 0, host: "127.0.0.1" });
  const everywhere = await listen(context, { port: 0, host: "0.0.0.0" });
  const outside = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const addresses = [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "::1",
    ...outside.map(({ address }) => address),
  ];
  const gateway = Number(new URL(platform().url).port);
  const outcomes = await probe(
    platform(),
    `
import socket
for address in ${JSON.stringify(addresses)}:
  for port in ${JSON.stringify([own.port(), everywhere.port(), gateway])}:
    attempt(f"{address} {port}", lambda: socket.create_connection((address, port), 2) and "connected")
def loopback():
  server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname())
  server.accept()[0].sendall(b"own"); return client.recv(3).decode()
attempt("own", loopback)`,
  );
  const { own: loopback, ...reached } = outcomes;
  assertRefused(reached, Object.keys(reached), [
    "ECONNREFUSED",
    "ENETUNREACH",
    "EADDRNOTAVAIL",
    "EINVAL",
  ]);
  assert.equal(loopback, "own");
  assert.equal(own.visitors() + everywhere.visitors(), 0);
});

test("abstract and named Unix sockets of the host are out of reach", async (context) => {
  const name = `syla-test-${process.pid}`;
  const abstract = await listen(context, { path: `\0${name}` });
  const named = await listen(context, { path: `/tmp/${name}.sock` });
  const outcomes = await probe(
    platform(),
    `
import socket
def reach(address):
  client = socket.socket(socket.AF_UNIX); client.connect(address); return "connected"
attempt("abstract", lambda: reach("\\0${name}"))
attempt("named", lambda: reach("/tmp/${name}.sock"))
attempt("spawner", lambda: [n for n in os.listdir("/tmp")])
def own():
  server = socket.socket(socket.AF_UNIX); server.bind("\\0${name}"); server.listen(); return reach("\\0${name}")
attempt("own", own)`,
  );
  assertRefused(outcomes, ["abstract", "named"], ["ECONNREFUSED", "ENOENT"]);
  assert.deepEqual(outcomes["spawner"], []);
  assert.equal(outcomes["own"], "connected");
  assert.equal(abstract.visitors() + named.visitors(), 0);
});

test("families of sockets that reach the kernel or the hypervisor are refused", async () => {
  const families = {
    packet: 17,
    netlink: 16,
    vsock: 40,
    alg: 38,
    bluetooth: 31,
    can: 29,
    tipc: 30,
    xdp: 44,
    key: 15,
  };
  const outcomes = await probe(
    platform(),
    `
import socket
for name, family in ${JSON.stringify(Object.entries(families))}:
  for kind in (1, 2, 3, 5): attempt(f"{name} {kind}", lambda: socket.socket(family, kind) and "opened")
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and "opened")
attempt("raw6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) and "opened")
attempt("inet", lambda: socket.socket(socket.AF_INET) and "opened")`,
  );
  const { inet, ...refused } = outcomes;
  const errors = ["EPERM", "EACCES", "EAFNOSUPPORT", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"];
  // Netlink of routes is in a jail's own namespace, and libraries list their interfaces by it.
  const serious = Object.keys(refused).filter((name) => !/^netlink [23]$/.test(name));
  assertRefused(refused, serious, errors);
  assert.equal(inet, "opened");
});

test("two tenants share nothing: abstract names, shared memory, files, processes, keys", async () => {
  const resident = `
import os, socket, time
server = socket.socket(socket.AF_UNIX); server.bind("\\0shared-name"); server.listen()
tcp = socket.create_server(("127.0.0.1", 4321))
open("/dev/shm/shared", "w").write("x"); open("/tmp/shared", "w").write("x")
from multiprocessing import shared_memory
segment = shared_memory.SharedMemory("segment", create=True, size=4096)
print("settled", flush=True)
time.sleep(60)`;
  const { id } = await create(platform(), { language: "python", code: resident });
  const events = await fetch(`${platform().url}/api/v1/executions/${id}/events`);
  for await (const { data } of readSentEvents(events)) if (data.includes("settled")) break;
  const outcomes = await probe(
    platform(),
    `
import socket
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0shared-name"))
attempt("port", lambda: socket.create_connection(("127.0.0.1", 4321), 2) and "connected")
for path in ("/dev/shm/shared", "/tmp/shared", "/dev/shm/segment"): attempt(path, lambda: read(path))
attempt("sysv", lambda: call(libc.shmget, 4711, 0, 0))
attempt("processes", lambda: [int(n) for n in os.listdir("/proc") if n.isdigit()])
attempt("kill", lambda: [os.kill(pid, 9) for pid in range(2, 400) if pid != os.getpid()])`,
  );
  assertRefused(outcomes, ["abstract", "port"], ["ECONNREFUSED"]);
  assertRefused(
    outcomes,
    ["/dev/shm/shared", "/tmp/shared", "/dev/shm/segment", "sysv"],
    ["ENOENT"],
  );
  assertRefused(outcomes, ["kill"], ["ESRCH"]);
  assert.deepEqual(outcomes["processes"], [1, 2]);
  assert.equal((await get(platform(), id)).status, "RUNNING");
  const cancelled = await fetch(`${platform().url}/api/v1/executions/${id}:cancel`, {
    method: "POST",
  });
  assert.equal(cancelled.status, 200);
});

test("tenants run under different users of the host, so nothing they own is another's", async () => {
  const code =
    "print(open('/proc/self/uid_map').read().split()[1], flush=True); import time; time.sleep(0.5)";
  const runs = await Promise.all(Array.from({ length: 4 }, () => python(platform(), code)));
  const users = runs.map((run) => Number(assertSucceeded(run)));
  assert.ok(
    users.every((user) => user !== 0 || process.getuid?.() !== 0),
    users.join(),
  );
  if (process.getuid?.() === 0) assert.equal(new Set(users).size, 4, users.join());
});

test("two runs draw different random numbers, names and hash seeds", async () => {
  const code =
    "import os, random, uuid; print(os.urandom(8).hex(), random.random(), uuid.uuid4(), hash('x'), hash('x' * 9))";
  const draws = await Promise.all(Array.from({ length: 4 }, () => python(platform(), code)));
  const columns = draws.map((run) => assertSucceeded(run).trim().split(" "));
  for (const column of [0, 1, 2, 4]) {
    assert.equal(new Set(columns.map((row) => row[column])).size, 4, `column ${column}`);
  }
});

test("a bomb of one tenant ends no other's run", async () => {
  const bomb = python(platform(), "held = [bytearray(1 << 20) for _ in range(4096)]");
  const forks = python(platform(), "import os\nwhile True: os.fork()", {
    limits: { wallTime: "5s" },
  });
  const honest = Array.from({ length: 4 }, (_, index) =>
    python(platform(), `print(sum(range(1_000_000)) * ${index})`, { limits: { wallTime: "60s" } }),
  );
  for (const run of await Promise.all(honest)) assertSucceeded(run);
  assert.equal((await bomb).errorType, "memory");
  assert.equal((await forks).errorType, "pids");
});
