/*
 * zygote --uid-base N --uid-count N --owner N [-- [NAME=VALUE]... PROGRAM ARGS...]
 *
 * Forks jails. bubblewrap takes 3 ms and 2.7 ms of CPU for a root that is the same for every run; a
 * process that is in that root already forks a child into namespaces of its own, which puts up the
 * walls of walls.c and serves the host like any other jail: 1 ms. With PROGRAM, an interpreter, that
 * child is a copy of the interpreter, started and with its modules loaded, and the program is run by
 * a fork of the child (python.c).
 *
 *   spawn -> bubblewrap -> zygote (PID 1) [-> interpreter, which becomes the zygote]
 *                            |- jail's agent (PID 1 of its own namespace) -> the program
 *                            |- ...
 *
 * What is forked from has run nothing of anyone's, and never does: it reads requests of spawn, who
 * believes only the host. It is not root either. It lives in a user namespace whose root is host uid
 * N, over the uids that jails get, with the powers that making namespaces takes and none over
 * the host: packages that the owner wants preloaded run in it.
 *
 * The zygote stays outside the jails' cgroups; a child moves itself into its own before anything
 * else, by descriptors that spawn opened (v1), or is born there (v2).
 */
#include "agent.h"
#include "zygote.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Jails of one zygote at a time: the host's pool has fewer. */
enum { CHILDREN_MAX = 4096 };

static struct child {
  uint32_t id;
  pid_t pid;
} children[CHILDREN_MAX];
static int child_count;
static pid_t zygote_pid;

/* ---- the child: a jail ---- */

static void join_cgroups(const struct zygote_request *q, const int *fds) {
  for (uint32_t i = 0; i < q->v1_groups; i++)
    if (write(fds[1 + i], "0", 1) != 1) fail("cgroup", "join");
  if (unshare(CLONE_NEWCGROUP) != 0) fail("cgroup", "namespace");
}

/* bubblewrap does the same in the jails it opens: servers and their clients talk on 127.0.0.1. */
static void raise_loopback(void) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("network", "loopback");
  close(fd);
}

static void stop_waiting_for_children(void) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  sigaction(SIGCHLD, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_jail(const struct zygote_request *q, const int *fds) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  join_cgroups(q, fds);
  stop_waiting_for_children();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  wire_reset();
  /* Before all descriptors but the connection are closed. */
  if (q->mounts != 0) take_disk(fds + 1 + q->v1_groups + q->v2_groups);
  if (dup2(fds[0], CONTROL_FD) < 0) _exit(121);
  isolate_process(CONTROL_FD);
  raise_loopback();
  make_proc();
  make_terminals();
  if (q->mounts == 0) make_disk((uid_t)q->uid, q->disk_bytes, q->disk_inodes);
  cover_proc();
  enter_user_namespace((uid_t)q->uid);
  drop_powers();
  if (syscall(SYS_getppid) != 0) fail("identity", "not in a process namespace of its own");
  serve_filtered();
}

/* ---- the zygote ---- */

static pid_t fork_jail(const struct zygote_request *q, const int *fds) {
  struct clone_args args = {
      .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
      .exit_signal = SIGCHLD,
  };
  if (q->v2_groups > 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)fds[1 + q->v1_groups];
  }
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) become_jail(q, fds);
  return (pid_t)pid;
}

static void tell_end(uint32_t id, int status) {
  const struct zygote_end end = {.id = id, .status = status};
  /* Waits when spawn does not read; without spawn nobody needs us. */
  if (send(ZYGOTE_FD, &end, sizeof end, MSG_NOSIGNAL) != (ssize_t)sizeof end) _exit(0);
}

static void handle_fork(const struct zygote_request *q, const int *fds, size_t fd_count) {
  size_t due = 1 + q->v1_groups + q->v2_groups + q->mounts;
  if (fd_count != due || (q->mounts != 0 && q->mounts != ZYGOTE_MOUNTS) || child_count == CHILDREN_MAX) {
    tell_end(q->id, 120 << 8);
    return;
  }
  pid_t pid = fork_jail(q, fds);
  if (pid < 0) tell_end(q->id, 120 << 8);
  else children[child_count++] = (struct child){.id = q->id, .pid = pid};
}

static void handle_kill(uint32_t id) {
  for (int i = 0; i < child_count; i++)
    if (children[i].id == id) kill(children[i].pid, SIGKILL);
}

static void receive_request(void) {
  struct zygote_request q;
  int fds[ZYGOTE_FDS_MAX + 1];
  size_t fd_count;
  ssize_t n = receive_fds(ZYGOTE_FD, &q, sizeof q, fds, &fd_count);
  if (n < 0 && errno == EINTR) return;
  if (n <= 0) _exit(0); /* spawn is gone */
  if (n == (ssize_t)sizeof q && q.what == ZYGOTE_FORK) handle_fork(&q, fds, fd_count);
  else if (n == (ssize_t)sizeof q) handle_kill(q.id);
  for (size_t i = 0; i < fd_count; i++) close(fds[i]);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (int i = 0; i < child_count; i++) {
      if (children[i].pid != pid) continue;
      tell_end(children[i].id, status);
      children[i] = children[--child_count];
      break;
    }
  }
}

static void nothing_to_do(int signal) { (void)signal; }

_Noreturn void zygote_serve(void) {
  struct sigaction child = {.sa_handler = nothing_to_do};
  sigset_t open_mask, blocked;
  sigemptyset(&open_mask);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_SETMASK, &blocked, NULL);
  sigaction(SIGCHLD, &child, NULL);
  zygote_pid = getpid();
  /* The interpreter's, which nobody needs any more. Here and not in each jail, for the grace period that it takes. */
  umount2("/tmp", MNT_DETACH);
  filter_wait();
  out_frame(FRAME_READY, 0, NULL);
  out_flush_all();
  for (;;) {
    struct pollfd fds[2] = {{.fd = ZYGOTE_FD, .events = POLLIN}, {.fd = CONTROL_FD, .events = POLLIN}};
    reap();
    if (ppoll(fds, 2, NULL, &open_mask) < 0) continue; /* SIGCHLD */
    if (fds[0].revents != 0) receive_request();
    if (fds[1].revents != 0) _exit(0); /* the host closed it: there is nothing else to hear */
  }
}

/* ---- becoming one ---- */

/* Ranges of uids can be mapped only with power over them, which ends with the unshare; so a child
   that stays outside does it. Who makes the namespace is charged for what all of it uses of what the
   kernel counts, such as inotify instances: a uid that nothing else has, and not the host's root. */
static void map_range(unsigned long long base, unsigned long long count, uid_t owner) {
  int ready[2];
  char go;
  if (pipe2(ready, O_CLOEXEC) != 0) fail("identity", "pipe");
  pid_t self = getpid(), helper = fork();
  if (helper == 0) {
    char path[64], map[64];
    if (read(ready[0], &go, 1) != 1) _exit(1);
    snprintf(map, sizeof map, "0 %llu %llu", base, count);
    snprintf(path, sizeof path, "/proc/%d/uid_map", self);
    write_file(path, map);
    snprintf(path, sizeof path, "/proc/%d/gid_map", self);
    write_file(path, map);
    _exit(0);
  }
  lift_counted();
  keep_only_sys_admin(owner);
  if (helper < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
    fail("identity", "make a user namespace");
  lower_counted();
  int status = 1;
  if (write(ready[1], "", 1) != 1 || waitpid(helper, &status, 0) != helper || status != 0)
    fail("identity", "map uids");
  close(ready[0]);
  close(ready[1]);
  become_uid(0);
}

/* The interpreter's streams are of the kinds that a program's are, for it looks at them as it
   starts. Nobody reads what it says but we, when it did not become a zygote. */
static int give_streams(void) {
  int input = memfd_create("stdin", MFD_CLOEXEC), ends[2];
  if (input < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail("zygote", "streams");
  dup2(input, 0);
  dup2(ends[1], 1);
  dup2(ends[1], 2);
  return ends[0];
}

static _Noreturn void start_interpreter(char **argv) {
  int said = dup(2), heard;
  fcntl(said, F_SETFD, FD_CLOEXEC);
  heard = give_streams();
  pid_t pid = fork();
  if (pid == 0) {
    char **program = argv;
    while (*program != NULL && strchr(*program, '=') != NULL) program++;
    if (*program == NULL) fail("arguments", "no program");
    static char *environment[64];
    int count = (int)(program - argv) < 63 ? (int)(program - argv) : 63;
    memcpy(environment, argv, (size_t)count * sizeof *argv);
    fcntl(CONTROL_FD, F_SETFD, 0);
    fcntl(ZYGOTE_FD, F_SETFD, 0);
    execve(program[0], program, environment);
    fail("zygote", program[0]);
  }
  if (pid < 0) fail("zygote", "fork");
  close(CONTROL_FD);
  close(ZYGOTE_FD);
  /* The interpreter forks and ends, so that what it leaves has one thread and no lock held: that is
     then our child, and the zygote. */
  while (wait(NULL) > 0 || errno == EINTR) continue;
  char text[4096];
  ssize_t n = read(heard, text, sizeof text);
  if (n > 0 && write(said, text, (size_t)n) != n) _exit(122);
  _exit(122);
}

int zygote_main(int argc, char **argv) {
  unsigned long long base = 0, count = 0, owner = 0;
  int i = 0;
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (strcmp(argv[i], "--uid-base") == 0) base = number_of(argv[i + 1]);
    else if (strcmp(argv[i], "--uid-count") == 0) count = number_of(argv[i + 1]);
    else if (strcmp(argv[i], "--owner") == 0) owner = number_of(argv[i + 1]);
    else fail("arguments", argv[i]);
  }
  errno = EPERM;
  if (getpid() != 1 || base == 0 || count == 0 || owner == 0) fail("arguments", "zygote");
  isolate_process(ZYGOTE_FD);
  fcntl(ZYGOTE_FD, F_SETFD, FD_CLOEXEC);
  forbid_core_dumps();
  make_proc();
  make_devices();
  make_read_only("/dev", MS_NOSUID | MS_NOEXEC);
  map_range(base, count, (uid_t)owner);
  limit_powers();
  if (i >= argc) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    zygote_serve();
  }
  if (mount("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16m") != 0)
    fail("mount", "/tmp");
  start_interpreter(argv + i + 1);
}
