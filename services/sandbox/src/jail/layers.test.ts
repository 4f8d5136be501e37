/** Jails whose disk begins with a tree: what one changes is its own, and the tree is as it was. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type JailFixture, MIB, openFixture, runIn, type RunOptions } from "./fixture.ts";
import { isPrivileged, TREE_UID } from "./root.ts";

// Elsewhere the files are unpacked, as the tests of copies show.
const skip =
  isPrivileged() && process.env["SYLA_TEST_SLOTS"] !== "fresh"
    ? false
    : "not root: there are no zygotes";
const directory = mkdtempSync(join(tmpdir(), "layers-test-"));
const tree = join(directory, "tree");
let fixture: JailFixture;

before(async () => {
  fixture = await openFixture();
  makeTree();
});
after(async () => {
  await fixture.close();
  rmSync(directory, { recursive: true, force: true });
});

/** As one is made that a template's files are unpacked into. */
function makeTree(): void {
  for (const folder of ["work/folder/deep", "tmp"])
    mkdirSync(join(tree, folder), { recursive: true });
  writeFileSync(join(tree, "work/file"), "original");
  writeFileSync(join(tree, "work/folder/deep/file"), "deep");
  linkSync(join(tree, "work/file"), join(tree, "work/folder/other"));
  symlinkSync("file", join(tree, "work/link"));
  writeFileSync(join(tree, "work/program"), "#!/bin/sh\nid -u\n");
  chmodSync(join(tree, "work/program"), 0o4755); // which no unpacking makes
  writeFileSync(join(tree, "work/large"), Buffer.alloc(8 * MIB, "x"));
  writeFileSync(join(tree, "work/sparse"), "");
  truncateSync(join(tree, "work/sparse"), 8 * MIB);
  writeFileSync(join(tree, "tmp/note"), "note");
  execFileSync("chown", ["-hR", `${TREE_UID}:${TREE_UID}`, join(tree, "work"), join(tree, "tmp")]);
  chmodSync(join(tree, "work/program"), 0o4755);
  chmodSync(join(tree, "tmp"), 0o1777);
}

/** All that is in it, with contents, modes, owners and times. */
function shown(path: string): unknown {
  const about = lstatSync(path, { bigint: true });
  const { mode, uid, gid, nlink, mtimeNs } = about;
  if (about.isDirectory()) {
    const inside = readdirSync(path).map((name) => [name, shown(join(path, name))]);
    return { mode, uid, gid, mtimeNs, inside };
  }
  const content = about.isSymbolicLink() ? readlinkSync(path) : readFileSync(path, "base64");
  return { mode, uid, gid, nlink, mtimeNs, content };
}

async function onTree(code: string, options: RunOptions = {}): Promise<string> {
  const { stdout, stderr } = await fixture.run(["/bin/bash", "-c", code], {
    ...options,
    tree: { path: tree, use: "begin" },
  });
  return stdout + stderr;
}

const changes = `
echo more >> file; cat folder/other
mv folder moved && cat moved/deep/file; echo; rm -r moved/deep; mkdir moved/deep; ls moved/deep
chmod 600 link; truncate -s 1 program; ln -f moved/other link; touch -d @0 .
mv -T . /work/moved/x 2>/dev/null; rm large; mkdir large; echo x > large/x; echo t >> /tmp/note; rm -f /tmp/note
chmod 700 /work /tmp; ls`;

test(
  "what a jail changes of a tree is its own, and those beside and after it see the tree as it was",
  { skip },
  async () => {
    const original = shown(tree);
    const look =
      "cat file folder/other folder/deep/file /tmp/note; stat -c %a /work; stat -c '%a %s' large";
    const seen = "originaloriginaldeepnote755\n644 8388608\n";
    const beside = fixture.open({ tree: { path: tree, use: "begin" } });
    assert.equal((await runIn(beside, ["/bin/bash", "-c", look])).stdout, seen);
    assert.equal(
      await onTree(changes),
      "originalmore\ndeep\nfile\nlarge\nlink\nmoved\nprogram\nsparse\n",
    );
    assert.equal((await runIn(beside, ["/bin/bash", "-c", look])).stdout, seen);
    await beside.close();
    assert.equal(await onTree(look), seen);
    assert.deepEqual(shown(tree), original);
  },
);

test(
  "all of a tree is its user's, from below and once it is changed, and gives no powers",
  { skip },
  async () => {
    const said = await onTree(
      "find /work /tmp ! -uid 1000 -o ! -gid 1000; chmod 755 program; ./program; stat -c '%u %h' file folder/other",
    );
    assert.equal(said, "1000\n1000 2\n1000 2\n");
    const written = await onTree(
      "echo >> file; stat -c '%u %g %h' file folder/other; id -u > new; stat -c %u new",
    );
    assert.equal(written, "1000 1000 2\n1000 1000 2\n1000\n");
    assert.match(
      await onTree("sh -c 'echo x > /proc/self/attr/current' 2>&1; ./program"),
      /1000\n$/,
    );
  },
);

test("nothing in a jail on a tree names a folder of the host", { skip }, async () => {
  const said = await onTree(
    "cat /proc/self/mountinfo /proc/mounts /proc/self/mountstats; (sleep 1 < file & cat /proc/$!/maps; ls -l /proc/$!/fd)",
  );
  assert.match(said, /overlay/);
  assert.doesNotMatch(said, /layers-test|tree|syla-spawn|syla-test/);
  assert.match(said, / \/work \/work rw,nosuid,nodev.*,lowerdir=l,upperdir=d\/u,workdir=d\/w,/);
});

test(
  "a jail on a tree is held to its own bytes and files, and the tree's are not counted",
  { skip },
  async () => {
    const disk = { diskBytes: 4 * MIB, diskInodes: 100 };
    assert.equal(
      await onTree("df --output=size,used -k /work /dev/shm | tail -n +2 | uniq | tr -s ' '", disk),
      " 4096 0\n",
    );
    assert.match(
      await onTree(
        "head -c 3M /dev/zero > /dev/shm/a; head -c 3M /dev/zero > b; stat -c %s b",
        disk,
      ),
      /No space left/,
    );
    assert.match(await onTree("echo >> large", disk), /No space left/);
    assert.equal(await onTree("echo >> sparse; stat -c %s sparse", disk), "8388609\n");
    const files = await onTree(
      "for n in $(seq 200); do : > n$n; done 2>/dev/null; ls | grep -c n",
      disk,
    );
    assert.ok(Number(files) >= 100 && Number(files) <= 120, files);
  },
);

test("what the overlay keeps for itself is out of a program's reach", { skip }, async () => {
  const { stdout } = await fixture.run(
    [
      "/usr/bin/python3",
      "-c",
      `import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(call, *arguments):
    return errno.errorcode[ctypes.get_errno()] if call(*arguments) < 0 else "done"
print(refused(libc.mknod, b"white", 0o20000, 0))
print(refused(libc.syscall, 316, -100, b"file", -100, b"gone", 4)) # RENAME_WHITEOUT
for name in (b"trusted.overlay.opaque", b"user.overlay.opaque", b"trusted.overlay.redirect"):
    print(refused(libc.setxattr, b"folder", name, b"y", 1, 0), refused(libc.getxattr, b"folder", name, None, 0))
print(sorted(os.listdir("/work")), os.listdir("/dev/shm"))
print(refused(libc.umount2, b"/work", 2), refused(libc.mount, b"", b"/work", b"", 32 | 4096, None))`,
    ],
    { tree: { path: tree, use: "begin" } },
  );
  const [mknod, whiteout, ...rest] = stdout.trim().split("\n");
  assert.deepEqual([mknod, whiteout], ["EPERM", "EINVAL"]);
  for (const line of rest.slice(0, 3)) assert.match(line, /^(EPERM|ENOTSUP|EOPNOTSUPP|ENOSYS) /);
  assert.equal(rest[3], "['file', 'folder', 'large', 'link', 'program', 'sparse'] []");
  assert.equal(rest[4], "EPERM EPERM");
});

test(
  "a helper that is killed takes no jail along that has its disk, and the next jail has one",
  { skip },
  async () => {
    const jail = fixture.open({ tree: { path: tree, use: "begin" } });
    await jail.ready;
    const rows = execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" })
      .split("\n")
      .map((line) => line.trim().split(/\s+/));
    const spawners = rows.filter(([, parent, ...words]) => {
      return parent === String(process.pid) && words.includes("spawn");
    });
    const helpers = rows.filter(([, parent, ...words]) => {
      return spawners.some(([pid]) => pid === parent) && words.includes("spawn");
    });
    assert.equal(helpers.length, 1);
    process.kill(Number(helpers[0]?.[0]), "SIGKILL");
    const next = Array.from({ length: 4 }, () => onTree("cat file").catch(() => "lost"));
    assert.equal((await runIn(jail, ["/bin/cat", "file"])).stdout, "original");
    await jail.close();
    await Promise.all(next); // one that was under way may be lost, and is told so
    assert.equal(await onTree("cat file"), "original");
  },
);

test("a tree that is not there is told, and the jail is none", { skip }, async () => {
  const jail = fixture.open({ tree: { path: join(directory, "none"), use: "begin" } });
  await assert.rejects(jail.ready);
  await jail.close();
  const link = join(directory, "link");
  symlinkSync(tree, link);
  const other = join(directory, "other");
  for (const name of ["work", "tmp"]) {
    mkdirSync(join(other, name), { recursive: true });
    chownSync(join(other, name), 4711, 4711);
  }
  // Of an owner that is mapped to nobody: what is there cannot be changed, by the jail's user or for it.
  const { stdout } = await fixture.run(
    ["/bin/sh", "-c", "stat -c %u /work; echo > /work/x || echo no"],
    {
      tree: { path: other, use: "begin" },
    },
  );
  assert.equal(stdout, "65534\nno\n");
});
