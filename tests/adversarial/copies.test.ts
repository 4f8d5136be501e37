// A tenant works against the copies of its files: while one is made, and with what it put into it. Whatever comes out
// goes to its own sandboxes, and is bounded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { post } from "../api.ts";
import { getOk, killSandbox, makeSandbox, parseSandbox, pathOf, shell } from "../sandbox-api.ts";
import {
  begin,
  parseSnapshot,
  remove,
  type Snapshot,
  snapshotsPath,
  takeSnapshot,
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
