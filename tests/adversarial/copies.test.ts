// A tenant works against the copies of its files: while one is made, and with what it put into it. Whatever comes out
// goes to its own sandboxes, and is bounded.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { post } from "../api.ts";
import { getOk, killSandbox, makeSandbox, parseSandbox, pathOf, shell } from "../sandbox-api.ts";
import {
  begin,
  buildEvents,
  declare,
  parseSnapshot,
  remove,
  type Snapshot,
  snapshotsPath,
  takeSnapshot,
  templatesPath,
} from "../snapshot-api.ts";
import { unharmedPlatform } from "./unharmed.ts";

const platform = unharmedPlatform();

async function inSandbox(work: (id: string) => Promise<void>): Promise<void> {
  const { id } = await makeSandbox(platform());
  try {
    await work(id);
    assert.equal((await shell(platform(), id, "echo well")).stdout, "well\n");
  } finally {
    await killSandbox(platform(), id);
    await forget(id);
  }
}

async function forget(sandbox: string): Promise<void> {
  const filter = encodeURIComponent(`sandbox = "${sandbox}"`);
  const { snapshots } = await getOk<{ snapshots: Snapshot[] }>(
    platform(),
    `${snapshotsPath}?filter=${filter}`,
  );
  for (const { id } of snapshots) await remove(platform(), `${snapshotsPath}/${id}`);
}

// A timer of the kernel's own sends SIGCONT, so that this goes on while all is stopped; then it writes into the copy.
const forger = `
import ctypes, os, signal, sys
class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int),
                ("rest", ctypes.c_char * 48)]
timer, libc = ctypes.c_void_p(), ctypes.CDLL(None)
assert libc.timer_create(1, ctypes.byref(Event(0, signal.SIGCONT, 0)), ctypes.byref(timer)) == 0
libc.timer_settime(timer, 0, (ctypes.c_long * 4)(0, 1000000, 0, 1000000), None)
forged = b"SYLA-FS1r" + bytes(16) + b"f" + bytes(20) + b"\\x09\\0\\0\\0../forged" + bytes(4) + b".\\0"
while True:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"pack" not in open("/proc/" + pid + "/cmdline", "rb").read(): continue
            for fd in (1, 2):
                out = os.open("/proc/" + pid + "/fd/" + str(fd), os.O_WRONLY | os.O_NONBLOCK)
                os.write(out, forged if fd == 1 else b"done 1 1 0 0 1\\n")
                os.close(out)
            if sys.argv[1] == "kill": os.kill(int(pid), 9)
            if sys.argv[1] == "stop": os.kill(int(pid), 19)
        except OSError: pass
`;

for (const how of ["write", "kill"]) {
  test(`who evades the stop and forges the copy (${how}) has forged its own`, () =>
    inSandbox(async (id) => {
      const command = { command: "python3", args: ["-c", forger, how] };
      await shell(platform(), id, "head -c 20000000 /dev/urandom > f");
      await post(platform(), pathOf(id, "/processes"), command);
      await sleep(300);
      const taken = await post(platform(), pathOf(id, "/snapshots"), {});
      const said = await taken.text();
      assert.ok([201, 409].includes(taken.status), said);
      await shell(platform(), id, "pkill python3");
      if (taken.status !== 201) return;
      const { id: snapshot } = parseSnapshot(said);
      const begun = await begin(platform(), { snapshot });
      const answer = await begun.text();
      assert.ok([201, 409].includes(begun.status), answer);
      if (begun.status !== 201) return;
      const { id: other } = parseSandbox(answer);
      assert.doesNotMatch((await shell(platform(), other, "ls / /work")).stdout, /forged/);
      await killSandbox(platform(), other);
    }));
}

// All that an overlay would take for its own, were it a tenant's to make; and ways around it.
const overlayForger = `
import ctypes, errno, os, stat
libc = ctypes.CDLL(None, use_errno=True)
def tell(what, call, *arguments):
    ctypes.set_errno(0)
    print(what, "done" if call(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()])
for place in (b"/work/f", b"/tmp/f", b"/dev/shm/f"):
    tell("mknod", libc.mknod, place, stat.S_IFCHR | 0o600, 0)
tell("whiteout", libc.syscall, 316, -100, b"/work/spare", -100, b"/work/moved", 4)
for name in ("opaque", "redirect", "origin", "whiteout", "metacopy", "nlink", "upper"):
    for space in ("trusted", "user", "system"):
        attribute = f"{space}.overlay.{name}".encode()
        tell("set", libc.lsetxattr, b"/work/folder", attribute, b"/../../etc", 9, 0)
        tell("get", libc.lgetxattr, b"/work/folder", attribute, ctypes.create_string_buffer(100), 100)
handle = ctypes.create_string_buffer(b"\\x80\\0\\0\\0" + bytes(200))
tell("handle", libc.name_to_handle_at, -100, b"/work/brought", handle, ctypes.create_string_buffer(8), 0)
tell("by handle", libc.open_by_handle_at, -100, handle, 0)
for flags in (32 | 4096, 32 | 0, 4096 | 16384):
    tell("mount", libc.mount, b"/work", b"/tmp", None, flags, None)
tell("open_tree", libc.syscall, 428, -100, b"/work", 1)
tell("setattr", libc.syscall, 442, -100, b"/work", 0, bytes(32), 32)
tell("unmount", libc.umount2, b"/work", 2)
opened = os.open("/work/brought", os.O_RDONLY)
tell("flags", libc.ioctl, opened, 0x40086602, ctypes.byref(ctypes.c_long(0x10)))
for up in ("/work/..", "/tmp/..", "/dev/shm/..", "/proc/self/cwd/.."):
    print("up", sorted(set(os.listdir(up)) & {"u", "w", "l", "d", "o", "index"}))
`;

/** Two sandboxes of a template, which are ended whatever comes of it. */
async function inTwo(
  name: string,
  commands: readonly string[],
  work: (one: string, two: string) => Promise<void>,
): Promise<void> {
  await declare(platform(), { name, commands });
  await buildEvents(platform(), name);
  const { id: one } = await makeSandbox(platform(), { template: name });
  const { id: two } = await makeSandbox(platform(), { template: name });
  try {
    await work(one, two);
  } finally {
    for (const id of [one, two]) await killSandbox(platform(), id);
    await remove(platform(), `${templatesPath}/${name}`);
  }
}

const overlaid =
  "mkdir -p folder/deep; echo brought | tee brought > spare; echo x > folder/deep/x; touch .wh.brought .wh..wh..opq";

test("nothing that an overlay keeps for itself can be forged, seen or passed by", () =>
  inTwo("overlaid", [overlaid], async (one, two) => {
    const said = await shell(
      platform(),
      one,
      `python3 -c '${overlayForger}'; ls -A /work /dev/shm`,
    );
    const lines = said.stdout.split("\n");
    // On a disk of its own it makes a device that there is not, and on an overlay nothing.
    const done = lines.filter((line) => line.endsWith(" done") && !/^(handle|whiteout)/.test(line));
    assert.deepEqual(done, [], said.stderr);
    assert.ok(lines.includes("whiteout EINVAL") || lines.includes("whiteout done"));
    assert.equal(lines.filter((line) => line.startsWith("set ")).length, 21, said.stderr);
    assert.equal(lines.filter((line) => line === "up []").length, 4);
    // Names that other kinds of union mounts take for signs are files like any other.
    assert.match(said.stdout, /\.wh\.\.wh\.\.opq\n\.wh\.brought\nbrought\nfolder/);
    const gone = await shell(
      platform(),
      one,
      "rm -rf folder .wh* moved spare; mkdir folder; rm brought; ls -A . folder; cat brought",
    );
    assert.equal(gone.stdout, ".:\nfolder\n\nfolder:\n");
    const other = await shell(platform(), two, "cat brought spare folder/deep/x");
    assert.equal(other.stdout, "brought\nbrought\nx\n");
  }));

test("a template whose build forges what is kept of it has forged its own, and nothing else on the host", async () => {
  for (const how of ["write", "kill"]) {
    const name = `forged-${how}`;
    const files = [{ path: "/tmp/forger.py", content: forger }];
    const commands = [
      `head -c 20000000 /dev/urandom > f; setsid python3 /tmp/forger.py ${how} > /dev/null 2>&1 & sleep 0.3`,
    ];
    await declare(platform(), { name, files, commands });
    await buildEvents(platform(), name);
    const trees = join(platform().data, "trees");
    // Nobody's but the one that trees belong to; nothing but files, folders and links; no powers.
    const strange = execFileSync("find", [
      ...[trees, "-mindepth", "2", "(", "!", "-uid", "1899999999", "-o", "-perm", "/6000", "-o"],
      ...["!", "-type", "f", "!", "-type", "d", "!", "-type", "l", ")"],
    ]);
    assert.equal(strange.toString(), "");
    const begun = await begin(platform(), { template: name });
    const answer = await begun.text();
    assert.ok([201, 409].includes(begun.status), answer);
    if (begun.status === 201) {
      const { id } = parseSandbox(answer);
      assert.doesNotMatch((await shell(platform(), id, "ls / /work")).stdout, /forged/);
      await killSandbox(platform(), id);
    }
    await remove(platform(), `${templatesPath}/${name}`);
  }
});

test("who uses up all that its disk has can do away with it, own files first, and takes from nobody else", () =>
  inTwo("filled", ["mkdir d; for n in $(seq 500); do echo $n > d/$n; done"], async (one, two) => {
    const filled = await shell(
      platform(),
      one,
      `mkdir own; python3 -c '
try:
    for n in range(30000): open("own/%d" % n, "w")
except OSError as error: print(error.errno)'
      cat d/500; ls own | head -600 | sed s,^,own/, | xargs rm; rm -r d own; ls | wc -l`,
    );
    assert.equal(filled.stdout, "28\n500\n0\n", filled.stderr);
    const other = await shell(platform(), two, "echo x >> d/1; cat d/1 d/500; ls d | wc -l");
    assert.equal(other.stdout, "1\nx\n500\n500\n", other.stderr);
  }));

test("as many files as there can be, of as many names, are copied or refused", () =>
  inSandbox(async (id) => {
    const made = await shell(
      platform(),
      id,
      `python3 -c '
import os
try:
    for i in range(30000): open("%06d" % i + "n" * 200, "w") if i % 2 else os.symlink("x" * 4000, "l%d" % i)
except OSError as error: print(error.errno)'; for i in $(seq 50); do ln 000001* h$i 2>/dev/null; done; ls | wc -l`,
    );
    assert.match(made.stdout, /^28\n\d+\n$/);
    const { id: snapshot, entries } = await takeSnapshot(platform(), id);
    assert.ok(entries > 10_000);
    const begun = await begin(platform(), { snapshot });
    const other = parseSandbox(await begun.text());
    assert.equal(begun.status, 201);
    assert.equal(
      (await shell(platform(), other.id, "ls | wc -l")).stdout,
      made.stdout.split("\n").slice(1).join("\n"),
    );
    await killSandbox(platform(), other.id);
  }));

test("links that lead out are copied as links, and hold what they lead to for nobody", () =>
  inSandbox(async (id) => {
    await shell(
      platform(),
      id,
      "ln -s /proc/1/root/etc/shadow shadow; ln -s / root; ln -s ../../../.. up; ln -s /tmp/x chain; ln -s /work/chain /tmp/x",
    );
    const snapshot = await takeSnapshot(platform(), id);
    assert.deepEqual([snapshot.entries, snapshot.sizeBytes < 1000], [5, true]);
    const { id: other } = await makeSandbox(platform(), { snapshot: snapshot.id });
    const said = await shell(platform(), other, "readlink shadow root up chain /tmp/x; cat shadow");
    assert.equal(
      said.stdout,
      "/proc/1/root/etc/shadow\n/\n../../../..\n/tmp/x\n/work/chain\n",
      said.stderr,
    );
    await killSandbox(platform(), other);
  }));
