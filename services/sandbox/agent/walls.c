/*
 * The walls of a jail, each a function, in the order in which they are put up: a jail that bubblewrap
 * opens (enter.c) and one that a zygote forks (zygote.c) get the same ones.
 *
 *   1. /proc and /dev, where the one who makes them may. With real root: bubblewrap does it as well,
 *      but takes 0.9 ms more, as it parses mountinfo and remounts for each of a dozen mounts.
 *   2. One disk for all writable places: a single tmpfs whose directories are bound on /work, /tmp
 *      and /dev/shm, so that one size and one inode quota cover them together.
 *   3. Covers the files of /proc that tell about the host; makes /proc/sys and /dev read-only.
 *   4. Becomes a uid that nobody else has, then makes a user namespace in which that uid is
 *      1000. Not bubblewrap's --unshare-user: with it, bind sources below a 0700 home directory
 *      could not be reached, and the program would be host uid 0 whenever the platform is root,
 *      which /proc/sys takes for the owner.
 *   5. Gives up every power, and completes the seccomp filter last of all. `bwrap --seccomp` would
 *      come before 1 to 4, so the filter would have to allow mount and unshare to everybody.
 */
#include "agent.h"
#include "mounts.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Of the root, and read-only: the cover for directories that are to look empty. */
#define EMPTY_DIRECTORY "/run"
#define NULL_DEVICE "/dev/null"

/* The kernel has 4096 pseudo terminals for the whole host, and counts them nowhere else. */
#define TERMINALS_MAX "64"

static const char *const COVERED_FOLDERS[] = {
    "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/pressure", "/proc/driver", "/proc/firmware",
    "/proc/irq", "/proc/scsi", "/proc/sysvipc",
};

static const char *const COVERED_FILES[] = {
    "/proc/cmdline", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/zoneinfo",
    "/proc/sys/kernel/random/boot_id", "/proc/config.gz", "/proc/interrupts", "/proc/iomem",
    "/proc/ioports", "/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/kmsg",
    "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
    "/proc/diskstats", "/proc/modules", "/proc/partitions", "/proc/sched_debug", "/proc/slabinfo",
    "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo",
};

static void bind_over(const char *from, const char *to) {
  if (mount(from, to, NULL, MS_BIND, NULL) != 0) fail("mount", to);
}

void make_read_only(const char *path, unsigned long flags) {
  if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) != 0)
    fail("read-only", path);
}

static void make_device(const char *path, unsigned int major, unsigned int minor) {
  if (mknod(path, S_IFCHR | 0666, makedev(major, minor)) != 0 || chmod(path, 0666) != 0)
    fail("dev", path);
}

static void make_link(const char *target, const char *path) {
  if (symlink(target, path) != 0) fail("dev", path);
}

void make_proc(void) {
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
    fail("mount", "/proc");
}

void make_devices(void) {
  if (mount("dev", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64,mode=0755") != 0)
    fail("mount", "/dev");
  make_device("/dev/null", 1, 3);
  make_device("/dev/zero", 1, 5);
  make_device("/dev/full", 1, 7);
  make_device("/dev/random", 1, 8);
  make_device("/dev/urandom", 1, 9);
  make_device("/dev/tty", 5, 0);
  make_link("/proc/self/fd", "/dev/fd");
  make_link("/proc/self/fd/0", "/dev/stdin");
  make_link("/proc/self/fd/1", "/dev/stdout");
  make_link("/proc/self/fd/2", "/dev/stderr");
  make_link("pts/ptmx", "/dev/ptmx");
  if (mkdir("/dev/shm", 0755) != 0 || mkdir("/dev/pts", 0755) != 0) fail("dev", "mkdir");
}

void make_terminals(void) {
  if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
            "newinstance,ptmxmode=0666,mode=620,max=" TERMINALS_MAX) != 0)
    fail("mount", "/dev/pts");
}

/* The owner is set by chown and not by a mount option because the mode of each differs. */
static void stage_directory(const char *from, const char *to, mode_t mode, uid_t owner) {
  if (mkdir(from, mode) != 0 || chmod(from, mode) != 0) fail("disk", from);
  if (owner != geteuid() && chown(from, owner, owner) != 0) fail("disk", from);
  bind_over(from, to);
}

void make_disk(uid_t owner, uint64_t bytes, uint64_t inodes) {
  char data[128];
  errno = EINVAL;
  if (bytes == 0 || inodes == 0) fail("disk", "a size of 0 means no limit");
  /* Four inodes are the root of the tmpfs and the three directories, not the program's. */
  snprintf(data, sizeof data, "size=%llu,nr_inodes=%llu,mode=0755", (unsigned long long)bytes,
           (unsigned long long)inodes + 4);
  /* Where the last of its directories hides it. Not to be unmounted: that waits for every processor of the host to
     have been elsewhere (an RCU grace period), 5 ms and more where jails come and go, and nobody inside could. */
  if (mount("disk", "/work", "tmpfs", MS_NOSUID | MS_NODEV, data) != 0) fail("disk", "mount tmpfs");
  stage_directory("/work/tmp", "/tmp", 01777, owner);
  stage_directory("/work/shm", "/dev/shm", 01777, owner);
  stage_directory("/work/work", "/work", 0755, owner);
}

void take_disk(const int mounts[3]) {
  static const char *const places[] = {"/work", "/tmp", "/dev/shm"};
  for (int i = 0; i < 3; i++)
    if (syscall(CALL_MOVE_MOUNT, mounts[i], "", AT_FDCWD, places[i], MOVE_EMPTY_PATH) != 0)
      fail("disk", places[i]);
}

/* What is not there needs none. That is not asked before: it would be to look each of them up twice. What was taken for
   the other kind is seen by the refusal, which takes the kernel as long as ten binds. */
static void cover(const char *path, const char *with, const char *or_with) {
  if (mount(with, path, NULL, MS_BIND, NULL) == 0 || errno == ENOENT) return;
  if (errno != ENOTDIR) fail("mount", path);
  bind_over(or_with, path);
}

/* Of /proc/sys/user, as it is below its cover: what it shows is the reader's own user namespace. */
static int settings = -1;

void cover_proc(void) {
  settings = open("/proc/sys/user", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (settings < 0) fail("counters", "/proc/sys/user");
  /* First, for these would hide what is covered below them. */
  bind_over("/proc/sys", "/proc/sys");
  make_read_only("/proc/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  bind_over("/proc/fs", "/proc/fs");
  make_read_only("/proc/fs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  if (access(NULL_DEVICE, F_OK) != 0 || access(EMPTY_DIRECTORY, F_OK) != 0) fail("mount", "no cover");
  for (size_t i = 0; i < sizeof COVERED_FOLDERS / sizeof *COVERED_FOLDERS; i++)
    cover(COVERED_FOLDERS[i], EMPTY_DIRECTORY, NULL_DEVICE);
  for (size_t i = 0; i < sizeof COVERED_FILES / sizeof *COVERED_FILES; i++)
    cover(COVERED_FILES[i], NULL_DEVICE, EMPTY_DIRECTORY);
}

void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) fail("identity", path);
  close(fd);
}

static void set_capabilities(uint32_t low, uint32_t high) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low},
                                           {.effective = high, .permitted = high}};
  if (syscall(SYS_capset, &header, data) != 0) fail("capabilities", "capset");
}

/* A user of the namespace we have just made and have all powers in. */
void become_uid(uid_t uid) {
  if (setgroups(0, NULL) != 0) fail("identity", "setgroups");
  if (setresgid(uid, uid, uid) != 0) fail("identity", "setresgid");
  if (setresuid(uid, uid, uid) != 0) fail("identity", "setresuid");
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* for /proc/self to be ours */
}

/* For a zygote: what the walls take to be put up, in its own user namespace, and not more. */
void limit_powers(void) {
  const uint32_t kept = 1u << CAP_SYS_ADMIN | 1u << CAP_NET_ADMIN | 1u << CAP_SETUID |
                        1u << CAP_SETGID | 1u << CAP_SETPCAP | 1u << CAP_CHOWN | 1u << CAP_KILL;
  for (unsigned capability = 0; capability < 64; capability++) {
    if (capability < 32 && (kept & 1u << capability)) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL)
      fail("capabilities", "bounding set");
  }
  set_capabilities(kept, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("capabilities", "no_new_privs");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("identity", "pdeathsig");
}

void keep_only_sys_admin(uid_t uid) {
  if (setgroups(0, NULL) != 0) fail("identity", "setgroups");
  /* Kept over setresuid so that the unshare below is a privileged one: several distributions refuse
     user namespaces to unprivileged processes, or strip them by AppArmor. */
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) fail("identity", "keepcaps");
  if (setresgid(uid, uid, uid) != 0) fail("identity", "setresgid");
  if (setresuid(uid, uid, uid) != 0) fail("identity", "setresuid");
  set_capabilities(1u << CAP_SYS_ADMIN, 0);
}

/*
 * What the kernel counts for each user namespace it charges to the one around it as well, so that all
 * jails of a zygote share what that one's maker may have: 128 inotify instances on many a host. Here,
 * where we have all powers for a moment, the jail's own namespace is held to a part of it; and to no
 * namespace inside, without which no other can be made either. `must` is false where the host may
 * have kept even these powers from us, and the counters are those of the platform's own user.
 */
static void bound_namespace(bool must) {
  static const struct {
    const char *name, *value;
  } bounds[] = {{"max_inotify_instances", "8"},
                {"max_inotify_watches", "4096"},
                {"max_user_namespaces", "0"}};
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    int fd = openat(settings, bounds[i].name, O_WRONLY | O_CLOEXEC);
    ssize_t length = (ssize_t)strlen(bounds[i].value);
    if (fd < 0 && errno == ENOENT) continue; /* the kernel has no such thing to count */
    bool written = fd >= 0 && write(fd, bounds[i].value, (size_t)length) == length;
    if (!written && must) fail("counters", bounds[i].name);
    if (fd >= 0) close(fd);
  }
  close(settings);
}

/*
 * A process may map its own effective uid into the user namespace it has just made, without
 * anyone's help and without a capability outside; so no helper process has to stay behind to write
 * the maps.
 */
void enter_user_namespace(uid_t host_uid) {
  bool privileged = host_uid != geteuid();
  bound_counters();
  if (privileged) keep_only_sys_admin(host_uid);
  /* setresuid made us undumpable, and /proc/self of an undumpable process belongs to root. Nothing
     untrusted exists in the jail yet. */
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (unshare(CLONE_NEWUSER) != 0) fail("identity", "make a user namespace");
  char map[64];
  snprintf(map, sizeof map, "%d %u 1", PROGRAM_UID, host_uid);
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/gid_map", map);
  write_file("/proc/self/uid_map", map);
  bound_namespace(privileged);
  if (getuid() != PROGRAM_UID || getegid() != PROGRAM_UID) fail("identity", "uid is not as mapped");
}

void drop_powers(void) {
  for (int capability = 0; capability < 64; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL && capability > CAP_SYS_ADMIN) break; /* past the kernel's last */
      fail("capabilities", "bounding set");
    }
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    fail("capabilities", "ambient set");
  set_capabilities(0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("capabilities", "no_new_privs");
  /* Changing uid cleared what bubblewrap's --die-with-parent had set. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("identity", "pdeathsig");
}

/* Alone in its session, with no descriptor above `last_fd`. */
void isolate_process(int last_fd) {
  setsid(); /* fails when we lead a session already, which is the aim */
  syscall(SYS_close_range, (unsigned)last_fd + 1u, ~0u, 0u);
  fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
  int flags = fcntl(CONTROL_FD, F_GETFL);
  if (flags < 0 || fcntl(CONTROL_FD, F_SETFL, flags | O_NONBLOCK) != 0)
    fail("control", "fd 3 is not open");
  umask(0);
  if (chdir("/") != 0) fail("control", "chdir");
}

/* 1 and not 0: where the host pipes cores to a handler, which runs as its root, the kernel asks no
   limit but takes 1 for "never". The filter keeps programs from changing it. Without root it cannot
   be raised from 0. */
void forbid_core_dumps(void) {
  const struct rlimit never = {.rlim_cur = 1, .rlim_max = 1}, none = {.rlim_cur = 0, .rlim_max = 0};
  if (setrlimit(RLIMIT_CORE, &never) != 0 && setrlimit(RLIMIT_CORE, &none) != 0)
    fail("limits", "core dumps");
}

/* The filter's two layers, one after the other; the second is kept for all jails that a zygote forks. */
static uint8_t filter[PAYLOAD_BYTES_MAX];
static size_t first_length, filter_length;

static void filter_install(size_t from, size_t to) {
  struct sock_fprog program = {
      .len = (unsigned short)((to - from) / sizeof(struct sock_filter)),
      .filter = (struct sock_filter *)(void *)(filter + from),
  };
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    fail("seccomp", "the kernel refused the filter");
}

/* Puts on the first layer. Fail closed: the first frame is a filter, or there is no jail. */
void filter_wait(void) {
  struct frame frame;
  in_wait_frame(&frame);
  errno = EPROTO;
  struct reader r = {.at = frame.payload, .left = frame.length};
  size_t first = frame.type == FRAME_SETUP ? read_u32(&r) : 0;
  if (first == 0 || first >= r.left || first % sizeof(struct sock_filter) != 0 ||
      r.left % sizeof(struct sock_filter) != 0)
    fail("seccomp", "the first frame is not a filter");
  memcpy(filter, r.at, r.left);
  first_length = first;
  filter_length = r.left;
  filter_install(0, first_length);
}

/* From PR_SET_DUMPABLE on, /proc/1 belongs to nobody inside, and no one of our uid can trace us. */
_Noreturn void serve_filtered(void) {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail("identity", "dumpable");
  fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
  files_open();
  if (filter_length == 0) filter_wait();
  filter_install(first_length, filter_length);
  serve();
}

unsigned long long number_of(const char *text) {
  char *end = NULL;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != 0) {
    errno = EINVAL;
    fail("arguments", text);
  }
  return value;
}
