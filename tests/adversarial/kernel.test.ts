// Programs that reach for the kernel, for PID 1 of their jail, and for the host behind it.
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { execute, python } from "../api.ts";
import {
  assertFailed,
  assertRefused,
  assertSucceeded,
  probe,
  unharmedPlatform,
} from "./unharmed.ts";

const platform = unharmedPlatform();

test("namespaces of any kind cannot be made, entered or nested", async () => {
  const outcomes = await probe(
    platform(),
    `
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("pid", 0x20000000), ("net", 0x40000000),
                   ("ipc", 0x8000000), ("uts", 0x4000000), ("cgroup", 0x2000000), ("time", 0x80)):
  attempt(f"unshare {name}", lambda: call(libc.unshare, flag))
  attempt(f"clone {name}", lambda: syscall(56, flag | 17, 0, 0, 0, 0) or os._exit(0))
attempt("clone3", lambda: syscall(435, ctypes.create_string_buffer(88), 88))
attempt("setns", lambda: call(libc.setns, os.open("/proc/self/ns/net", os.O_RDONLY), 0))
attempt("fork", lambda: os.waitpid(os.fork() or os._exit(0), 0)[1])`,
  );
  const { fork, ...namespaces } = outcomes;
  assertRefused(namespaces, Object.keys(namespaces));
  assert.equal(fork, 0);
});

test("mounts by the old calls and by the new, chroot and pivot_root are refused", async () => {
  const outcomes = await probe(
    platform(),
    `
os.mkdir("/tmp/m")
attempt("mount", lambda: call(libc.mount, b"none", b"/tmp/m", b"tmpfs", 0, None))
attempt("bind", lambda: call(libc.mount, b"/", b"/tmp/m", None, 4096, None))
attempt("remount", lambda: call(libc.mount, None, b"/", None, 32 | 4096, None))
attempt("umount", lambda: call(libc.umount2, b"/proc", 2))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("pivot_root", lambda: syscall(155, b"/tmp", b"/tmp/m"))
for name, number in (("open_tree", 428), ("move_mount", 429), ("fsopen", 430), ("fsconfig", 431),
                     ("fsmount", 432), ("fspick", 433), ("mount_setattr", 442)):
  attempt(name, lambda: syscall(number, 0, 0, 0, 0, 0))
attempt("statfs", lambda: os.statvfs("/tmp") and "done")`,
  );
  const { statfs, ...mounts } = outcomes;
  assertRefused(mounts, Object.keys(mounts));
  assert.equal(statfs, "done");
});

test("PID 1 cannot be traced, read, written, robbed of descriptors, or signalled; a child can", async () => {
  const outcomes = await probe(
    platform(),
    `
import signal, time
buffer = ctypes.create_string_buffer(16)
class vector(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
local = vector(ctypes.addressof(buffer), 16)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
attempt("attach", lambda: call(libc.ptrace, 16, 1, None, None))
attempt("seize", lambda: call(libc.ptrace, 0x4206, 1, None, None))
attempt("vm read", lambda: syscall(310, 1, ctypes.byref(local), 1, ctypes.byref(local), 1, 0))
attempt("vm write", lambda: syscall(311, 1, ctypes.byref(local), 1, ctypes.byref(local), 1, 0))
attempt("pidfd", lambda: syscall(438, syscall(434, 1, 0), 3, 0))
attempt("kcmp", lambda: syscall(312, 1, os.getpid(), 0, 0, 0))
attempt("prlimit", lambda: syscall(302, 1, 7, ctypes.create_string_buffer(16), None))
for name in ("mem", "environ", "maps", "auxv", "syscall", "stack", "io"):
  attempt("read " + name, lambda: read("/proc/1/" + name))
for name in ("root", "cwd", "exe"): attempt(name, lambda: os.readlink("/proc/1/" + name))
for name in ("fd", "fdinfo", "map_files", "root/"): attempt(name, lambda: os.listdir("/proc/1/" + name))
attempt("write mem", lambda: write("/proc/1/mem", "x"))
attempt("write oom", lambda: write("/proc/1/oom_score_adj", "1000"))
def child():
  pid = os.fork()
  if pid == 0: time.sleep(60)
  os.kill(pid, signal.SIGTERM); return os.waitpid(pid, 0)[1]
attempt("kill 1", lambda: os.kill(1, 9))
attempt("child", child)`,
  );
  const { child, "kill 1": kill, ...others } = outcomes;
  assertRefused(others, Object.keys(others), ["EPERM", "EACCES", "ENOSYS", "ENOENT", "ESRCH"]);
  assert.equal(child, 15);
  assert.ok(kill === "done" || kill === "EPERM", "a signal to PID 1 is refused or without effect");
});

test("settings of the kernel cannot be written, nor its triggers pulled", async () => {
  const outcomes = await probe(
    platform(),
    `
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
             "/proc/sys/vm/drop_caches", "/proc/sys/kernel/randomize_va_space", "/proc/sysrq-trigger",
             "/proc/sys/net/ipv4/ip_forward", "/proc/irq/default_smp_affinity",
             "/proc/self/oom_score_adj", "/proc/self/uid_map",
             "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent"):
  attempt(path, lambda: os.write(os.open(path, os.O_WRONLY), b"-1"))
attempt("own name", lambda: write("/proc/self/comm", "renamed"))`,
  );
  const { "own name": own, "/proc/sysrq-trigger": trigger, ...settings } = outcomes;
  // The null device covers it, which takes what is written and does nothing.
  if (trigger !== 2) assertRefused({ trigger }, ["trigger"]);
  assertRefused(settings, Object.keys(settings));
  assert.equal(own, "done");
});

test("what /proc and /sys say of the host is not there, or says nothing", async () => {
  const outcomes = await probe(
    platform(),
    `
for name in ("kcore", "kallsyms", "timer_list", "keys", "kmsg", "modules", "iomem", "slabinfo", "cmdline",
             "partitions", "diskstats", "sched_debug", "vmallocinfo", "kpagecount", "config.gz"):
  attempt(name, lambda: read("/proc/" + name))
attempt("sys", lambda: os.listdir("/sys"))
attempt("devices", lambda: sorted(os.listdir("/dev")))
attempt("control", lambda: read("/proc/self/stat") != "")`,
  );
  const { sys, devices, control, ...covered } = outcomes;
  for (const [name, said] of Object.entries(covered)) {
    assert.ok(
      said === "" || said === "ENOENT" || said === "EACCES" || said === "EPERM",
      `${name}: ${JSON.stringify(said)}`,
    );
  }
  assert.equal(control, true);
  assert.ok(sys === "ENOENT" || (Array.isArray(sys) && sys.length === 0), "there is no /sys");
  const known =
    "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero console core".split(" ");
  assert.ok(Array.isArray(devices));
  assert.deepEqual(
    devices.filter((name) => !known.includes(String(name))),
    [],
  );
});

test("calls that only an operator of the host needs are refused", async () => {
  const outcomes = await probe(
    platform(),
    `
for name, number in (("io_uring_setup", 425), ("io_uring_enter", 426), ("bpf", 321), ("perf_event_open", 298),
    ("userfaultfd", 323), ("keyctl", 250), ("add_key", 248), ("request_key", 249), ("init_module", 175),
    ("finit_module", 313), ("kexec_load", 246), ("kexec_file_load", 320), ("reboot", 169), ("quotactl", 179),
    ("open_by_handle_at", 304), ("swapon", 167), ("acct", 163), ("syslog", 103), ("settimeofday", 164),
    ("clock_settime", 227), ("sethostname", 170), ("iopl", 172), ("ioperm", 173), ("fanotify_init", 300),
    ("seccomp notify", 317), ("memfd_secret", 447), ("mbind", 237), ("move_pages", 279), ("ptrace", 101)):
  attempt(name, lambda: syscall(number, 1, 8, ctypes.create_string_buffer(256), 0, 0))
attempt("getpid", lambda: syscall(39) == os.getpid())`,
  );
  const { getpid, ...calls } = outcomes;
  assertRefused(calls, Object.keys(calls));
  assert.equal(getpid, true);
});

test("the agent's own file, the interpreter and the root cannot be written over", async () => {
  const outcomes = await probe(
    platform(),
    `
import sys
for path in ("/init", "/proc/self/exe", sys.executable, "/etc/passwd", "/usr/bin/env", "/etc/ld.so.cache"):
  attempt(path, lambda: os.open(path, os.O_WRONLY))
  attempt("remove " + path, lambda: os.unlink(path))
attempt("new", lambda: write("/new", "x"))
attempt("own", lambda: write("/work/own", "x"))`,
  );
  const { own, ...written } = outcomes;
  assertRefused(written, Object.keys(written), [
    "EACCES",
    "EROFS",
    "EPERM",
    "ETXTBSY",
    "ENOENT",
    "EBUSY",
  ]);
  assert.equal(own, "done");
});

test("no descriptor but the three standard ones is inherited, and they lead to nothing but pipes", async () => {
  const code = `
import os
for name in sorted(os.listdir("/proc/self/fd"), key=int)[:-1]:
  print(name, os.readlink("/proc/self/fd/" + name).split(":")[0])`;
  const quiet = assertSucceeded(await python(platform(), code));
  assert.equal(quiet, "0 /dev/null\n1 pipe\n2 pipe\n");
  const fed = assertSucceeded(await python(platform(), code, { stdin: "fed" }));
  assert.match(fed, /^0 (\/memfd|pipe|\/work).*\n1 pipe\n2 pipe\n$/);
});

test("nothing of the host's environment, names, ids or paths leaks", async () => {
  const code =
    "env; hostname; id; cat /proc/self/status /proc/self/cgroup /proc/self/mountinfo /etc/passwd; uname -n";
  const { stdout } = await execute(platform(), { language: "bash", code });
  const own = [
    hostname(),
    process.cwd(),
    platform().data,
    process.env["SYLA_TEST_RUN"] ?? "no such mark",
  ];
  const secrets = own.filter((text) => text.length > 3);
  for (const secret of secrets) assert.ok(!stdout.includes(secret), `${secret} is told`);
  assert.match(stdout, /uid=1000\(user\) gid=1000\(user\)/);
  assert.match(stdout, /^sandbox$/m);
  assert.match(stdout, /^NoNewPrivs:\t1$/m);
  assert.match(stdout, /^Seccomp:\t2$/m);
  for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
    assert.match(stdout, new RegExp(`^Cap${set}:\t0+$`, "m"));
  }
});

test(
  "the 32-bit entry ends a program that takes it",
  { skip: process.arch !== "x64" && "not x64: another architecture" },
  async () => {
    const source = (enter: string) => `
#include <stdio.h>
int main(void) {
  long answer = -1; puts("before"); fflush(stdout);
  ${enter}
  printf("after %d\\n", answer > 0); return 0;
}`;
    const int80 = 'asm volatile("int $0x80" : "=a"(answer) : "a"(20L) : "memory");';
    const x32 =
      'asm volatile("syscall" : "=a"(answer) : "a"(39L | 0x40000000L) : "rcx", "r11", "memory");';
    const native = 'asm volatile("syscall" : "=a"(answer) : "a"(39L) : "rcx", "r11", "memory");';
    for (const entry of [int80, x32]) {
      const execution = await execute(platform(), { language: "c", code: source(entry) });
      assertFailed(execution, "signal");
      assert.match(execution.signal ?? "", /^SIG(SYS|SEGV)$/);
      assert.equal(execution.stdout, "before\n");
    }
    const control = await execute(platform(), { language: "c", code: source(native) });
    assert.equal(assertSucceeded(control), "before\nafter 1\n");
  },
);

test("characters cannot be put into a terminal, the host's or one of its own", async () => {
  const outcomes = await probe(
    platform(),
    `
import fcntl, pty, termios
attempt("tty", lambda: os.open("/dev/tty", os.O_RDWR))
main, side = pty.openpty()
attempt("TIOCSTI", lambda: fcntl.ioctl(side, termios.TIOCSTI, b"x"))
attempt("TIOCLINUX", lambda: fcntl.ioctl(side, 0x541C, b"\\x02"))
attempt("TIOCSTI high bits", lambda: syscall(16, side, termios.TIOCSTI | 1 << 32, b"x"))
attempt("size", lambda: len(fcntl.ioctl(side, termios.TIOCGWINSZ, bytes(8))))`,
  );
  assertRefused(outcomes, ["TIOCSTI", "TIOCLINUX", "TIOCSTI high bits"]);
  assertRefused(outcomes, ["tty"], ["ENXIO", "EACCES", "ENOENT"]);
  assert.equal(outcomes["size"], 8);
});
