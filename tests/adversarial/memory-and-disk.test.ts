// Programs that take memory by every road that leads to it, and that fill, clutter and booby-trap their disk.
import assert from "node:assert/strict";
import { test } from "node:test";
import { execute, python } from "../api.ts";
import { assertFailed, assertSucceeded, probe, unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();
const mebibyte = 1024 * 1024;
const memory = { memoryBytes: 64 * mebibyte, diskBytes: 256 * mebibyte, wallTime: "30s" };

/** Each takes 256 MiB, which is four times what it may have. */
const memoryBombs: Readonly<Record<string, string>> = {
  "a heap": "held = [bytearray(1 << 20) for _ in range(256)]",
  "a shared anonymous map":
    "import mmap; m = mmap.mmap(-1, 256 << 20); m.write(b'x' * (256 << 20))",
  "a memfd":
    "import os; fd = os.memfd_create('m'); [os.write(fd, b'x' * (1 << 20)) for _ in range(256)]",
  "/dev/shm":
    "f = open('/dev/shm/f', 'wb'); [f.write(b'x' * (1 << 20)) for _ in range(240)]; f.flush()",
  "many processes that have a little each": `
import os, time
for _ in range(16):
  if os.fork() == 0:
    held = b"x" * (16 << 20); time.sleep(20); os._exit(0)
for _ in range(16):
  if os.wait()[1] != 0: os.kill(os.getpid(), 9)`,
  "a map of a file on its disk": `
import mmap, os
fd = os.open("/tmp/f", os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 240 << 20)
m = mmap.mmap(fd, 240 << 20)
for at in range(0, 240 << 20, 4096): m[at] = 1`,
  "sockets that nobody reads": `
import socket
held = []
while True:
  a, b = socket.socketpair(); held.append((a, b)); a.setblocking(False)
  a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
  try:
    while True: a.send(b"x" * 65536)
  except BlockingIOError: pass`,
};

for (const [what, code] of Object.entries(memoryBombs)) {
  test(`memory taken as ${what} counts, and ends the run for memory`, async () => {
    const execution = await python(platform(), code, { limits: memory });
    // A thousand descriptors may run out before the memory that sockets take.
    if (what.startsWith("sockets") && execution.errorType === "exit_code") {
      assert.match(execution.stderr, /Too many open files|No buffer space/);
      return;
    }
    assertFailed(execution, "memory");
  });
}

test("memory within the limit is had, and its peak is told", async () => {
  const code = "held = b'x' * (32 << 20); print(len(held))";
  const execution = await python(platform(), code, { limits: memory });
  assert.equal(assertSucceeded(execution), `${32 * mebibyte}\n`);
  const peak = Number(execution.metrics?.["memoryPeakMb"]);
  assert.ok(peak >= 32 && peak <= 64, `the peak is ${peak} MiB`);
});

test("a program cannot make itself the one that is spared when memory runs out", async () => {
  const code = `
import os
try: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")
except OSError as error: print(error.strerror, flush=True)
held = [bytearray(1 << 20) for _ in range(256)]`;
  const execution = assertFailed(await python(platform(), code, { limits: memory }), "memory");
  assert.match(execution.stdout, /denied|not permitted/);
});

test("a program that dies by a fault of its own dumps no core", async () => {
  const code = `
import ctypes, resource
try: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
except (OSError, ValueError): pass
print("now", flush=True); ctypes.string_at(0)`;
  const execution = assertFailed(await python(platform(), code, { artifacts: ["core"] }), "signal");
  assert.equal(execution.signal, "SIGSEGV");
  assert.equal(execution.artifacts[0]?.error, "not_found");
});

const disk = { diskBytes: 8 * mebibyte, memoryBytes: 256 * mebibyte };

for (const directory of ["/work", "/tmp", "/dev/shm"]) {
  test(`filling ${directory} ends the run for disk`, async () => {
    const fill = (count: number) => `
with open("${directory}/full", "wb") as file:
  for _ in range(${count}): file.write(b"x" * (1 << 20))
print("written")`;
    assertFailed(await python(platform(), fill(64), { limits: disk }), "disk");
    assert.equal(assertSucceeded(await python(platform(), fill(4), { limits: disk })), "written\n");
  });
}

test("/work, /tmp and /dev/shm are one disk: a third in each is full", async () => {
  const code = `
for name in ("/work", "/tmp", "/dev/shm"):
  with open(name + "/part", "wb") as file: file.write(b"x" * (3 << 20))`;
  assertFailed(await python(platform(), code, { limits: disk }), "disk");
});

test("nothing but /work, /tmp and /dev/shm can be written", async () => {
  const code = `
import os
for top, folders, _ in os.walk("/"):
  folders[:] = [f for f in folders if top != "/" or f not in ("proc", "sys")]
  if top.startswith(("/work", "/tmp", "/dev/shm")): continue
  if os.path.ismount(top) or top.count("/") < 3:
    try: open(os.path.join(top, "w"), "w"); print("written in", top)
    except OSError: pass
open("/work/w", "w"); open("/tmp/w", "w"); open("/dev/shm/w", "w")`;
  assert.equal(assertSucceeded(await python(platform(), code)), "");
});

test("a million empty files end the run for disk before they are a million", async () => {
  const code = `
import os
for number in range(1_000_000): os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))`;
  assertFailed(await python(platform(), code, { limits: { wallTime: "30s" } }), "disk");
});

test("a sparse file and fallocate take no more than the disk has", async () => {
  const outcomes = await probe(
    platform(),
    `
fd = os.open("/tmp/sparse", os.O_RDWR | os.O_CREAT)
attempt("truncate", lambda: os.ftruncate(fd, 1 << 40))
attempt("fallocate", lambda: os.posix_fallocate(fd, 0, 1 << 30))
attempt("small", lambda: os.posix_fallocate(os.open("/tmp/s", os.O_RDWR | os.O_CREAT), 0, 4096))`,
    { limits: disk },
  );
  assert.equal(outcomes["fallocate"], "ENOSPC");
  assert.equal(outcomes["small"], "done");
});

test("four thousand directories deep ends well, and an artifact beside them comes back", async () => {
  const code = `
import os
for _ in range(4000):
  os.mkdir("d"); os.chdir("d")
open("/work/beside", "w").write("here")`;
  const execution = await python(platform(), code, { artifacts: ["beside"] });
  assertSucceeded(execution);
  assert.equal(
    Buffer.from(execution.artifacts[0]?.contentBase64 ?? "", "base64").toString(),
    "here",
  );
});

test("names with newlines, dashes, 255 bytes and no UTF-8, and unreadable directories do no harm", async () => {
  const code = `
import os
for name in (b"-rf", b"a\\nb", b"\\xff\\xfe", b"x" * 255, b"$(touch pwned)", b"...", b" "):
  open(b"/work/" + name, "w").close(); os.mkdir(b"/tmp/" + name)
os.mkdir("/work/locked"); open("/work/locked/in", "w").close(); os.chmod("/work/locked", 0)
print(len(os.listdir("/work")))`;
  assert.equal(assertSucceeded(await python(platform(), code)), "9\n");
});

test("bytes of one run are not there for the next, wherever it is put", async () => {
  const leave = `
for name in ("/work/left", "/tmp/left", "/dev/shm/left"): open(name, "w").write("secret" * 1000)`;
  const look = `ls -A /work /tmp /dev/shm`;
  for (let round = 0; round < 4; round += 1) {
    assertSucceeded(await python(platform(), leave));
    const seen = await execute(platform(), { language: "bash", code: look });
    assert.equal(assertSucceeded(seen), "/dev/shm:\n\n/tmp:\n\n/work:\nmain.sh\n");
  }
});

test("descriptors run out inside before they do outside", async () => {
  const code = `
import os
held = []
try:
  while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error: print(error.strerror, len(held) < 10_000)`;
  assert.equal(assertSucceeded(await python(platform(), code)), "Too many open files True\n");
});
