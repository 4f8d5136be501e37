/*
 * spawn DIRECTORY
 *
 * Starts jails for the host. A process of its own because of what a fork costs: the kernel copies
 * the page tables of the one who forks, and a Node process of 90 MB takes 1.7 to 2.2 ms for it,
 * then faults on every page it touches; this one takes 0.1 ms.
 *
 * It listens on DIRECTORY/spawn.sock. One connection is one jail: its first bytes are the request
 *   u32 length, u32 id, then `length` bytes: NUL-terminated [--cgroup-v1 DIR]... [--cgroup-v2 DIR]
 * and then either what to start, as a zygote with a socket to us as fd 4,
 *   [--as zygote] -- PROGRAM ARGS...
 * or the zygote to fork it from, by the id it was started with,
 *   --zygote ID --uid N --disk-bytes N --disk-inodes N
 *     [--host-uid N --tree FOLDER --tree-uid N --tree-writes 0|1]   its disk begins with a tree, or is one (layers.c)
 * and what follows on it is for the jail's agent, whose fd 3 the connection becomes. On fd 3 of its
 * own it tells of ends {u32 id, i32 status, u32 length, text from stderr} and is told {u32 id} to
 * kill. When that closes, the host is gone: it ends, and with it every jail, whose socket the host
 * had.
 *
 * How a jail gets into its cgroups: when somebody else writes its pid to cgroup.procs, the kernel
 * takes cgroup_threadgroup_rwsem for writing, which waits for an RCU grace period: 9 ms measured,
 * for each v1 controller. It skips that lock when a thread moves itself by writing 0 to v1's
 * `tasks`: 20 us. v2 has no such file for whole processes, but can start a child inside a cgroup
 * (Linux 5.7).
 */
#include "agent.h"
#include "layers.h"
#include "zygotes.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  EXIT_LAUNCH_FAILED = 120,
  WAITING_MAX = 64,  /* connections without a request yet: the host keeps a few ready */
  JAILS_MAX = 8192,
  REQUEST_BYTES_MAX = 65536,
  ARGUMENTS_MAX = 1024,
  SAID_BYTES_MAX = 4096,
};

static int waiting[WAITING_MAX];
static int waiting_count;
static struct jail {
  uint32_t id;
  uint32_t zygote; /* whose child it is, by its id; 0: ours */
  pid_t pid;       /* of our own */
  int said;        /* a memory file with what bubblewrap or the agent wrote to stderr */
  bool helped;     /* the helper has it, and not yet the zygote (layers.c) */
} jails[JAILS_MAX];
static int jail_count;
static int null_fd;

/* ---- the child ---- */

/* The value of an argument that precedes the program; NULL without. */
static const char *argument(char **arguments, const char *name) {
  for (char **at = arguments; at[0] != NULL && strcmp(at[0], "--") != 0; at++)
    if (strcmp(at[0], name) == 0) return at[1];
  return NULL;
}

static _Noreturn void launch_failed(const char *what, const char *subject) {
  dprintf(2, "syla-agent: cannot %s %s: %s\n", what, subject, strerror(errno));
  _exit(EXIT_LAUNCH_FAILED);
}

static void join_v1(const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s/tasks", directory);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) launch_failed("join cgroup", directory);
  close(fd);
}

struct launch {
  int control, said, zygote; /* -1: none */
  pid_t parent;
  char **arguments;
};

/* Runs on the parent's memory when it was vforked: nothing here may write to a global. */
static _Noreturn void become_jail(const struct launch *l) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != l->parent) _exit(EXIT_LAUNCH_FAILED);
  dup2(null_fd, 0);
  dup2(null_fd, 1);
  dup2(l->said, 2);
  dup2(l->control, CONTROL_FD); /* everything else of ours is close-on-exec */
  if (l->zygote >= 0) dup2(l->zygote, ZYGOTE_FD);
  struct sigaction normal = {.sa_handler = SIG_DFL};
  sigaction(SIGCHLD, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  char **at = l->arguments;
  for (; at[0] != NULL && at[1] != NULL && strcmp(at[0], "--") != 0; at += 2)
    if (strcmp(at[0], "--cgroup-v1") == 0) join_v1(at[1]);
  errno = EINVAL;
  if (at[0] == NULL || at[1] == NULL) launch_failed("find", "the program");
  char *no_environment[] = {NULL};
  execve(at[1], at + 1, no_environment);
  launch_failed("execute", at[1]);
}

static __attribute__((noinline)) pid_t start_here(const struct launch *l) {
  pid_t pid = vfork();
  if (pid == 0) become_jail(l);
  return pid;
}

static pid_t start_in_v2(const struct launch *l, const char *directory) {
  int cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (cgroup < 0) return -1;
  struct clone_args args = {
      .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) become_jail(l);
  int error = errno;
  close(cgroup);
  errno = error;
  return (pid_t)pid;
}

static pid_t start(const struct launch *l) {
  const char *group = argument(l->arguments, "--cgroup-v2");
  return group == NULL ? start_here(l) : start_in_v2(l, group);
}

/* ---- the host's side ---- */

static bool read_whole(int fd, void *bytes, size_t length) {
  return length == 0 || recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static void tell_end(uint32_t id, int status, const char *said, size_t length) {
  uint8_t record[12 + SAID_BYTES_MAX];
  uint32_t length32 = (uint32_t)length;
  memcpy(record, &id, 4);
  memcpy(record + 4, &status, 4);
  memcpy(record + 8, &length32, 4);
  memcpy(record + 12, said, length);
  size_t from = 0;
  while (from < 12 + length) {
    ssize_t n = write(CONTROL_FD, record + from, 12 + length - from);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return; /* the host is gone, which the main loop notices */
    from += (size_t)n;
  }
}

static void tell_failure(uint32_t id, const char *what) {
  char text[256];
  int n = snprintf(text, sizeof text, "cannot start a jail: %s: %s", what, strerror(errno));
  tell_end(id, EXIT_LAUNCH_FAILED << 8, text, (size_t)n < sizeof text ? (size_t)n : sizeof text);
}

static void fork_jail(uint32_t id, int connection, char **arguments) {
  uint32_t zygote;
  bool helped;
  if (!zygotes_fork(id, connection, arguments, &zygote, &helped)) tell_failure(id, "the zygote");
  else jails[jail_count++] = (struct jail){.id = id, .zygote = zygote, .said = -1, .helped = helped};
}

static void launch_jail(uint32_t id, int connection, char **arguments) {
  bool zygote = argument(arguments, "--as") != NULL;
  struct launch l = {.control = connection, .parent = getpid(), .arguments = arguments};
  l.zygote = zygote ? zygotes_add(id) : -1;
  l.said = memfd_create("stderr", MFD_CLOEXEC);
  pid_t pid = l.said < 0 || (zygote && l.zygote < 0) ? -1 : start(&l);
  if (pid > 0) {
    jails[jail_count++] = (struct jail){.id = id, .pid = pid, .said = l.said};
  } else {
    tell_failure(id, "fork");
    if (l.said >= 0) close(l.said);
    if (zygote) zygotes_remove(id);
  }
  if (l.zygote >= 0) close(l.zygote);
}

/* The request is read to its last byte and not one further: the rest is the agent's. */
static void start_jail(int connection) {
  static char request[REQUEST_BYTES_MAX + 1];
  static char *arguments[ARGUMENTS_MAX + 1];
  uint32_t head[2];
  if (!read_whole(connection, head, sizeof head)) return; /* a spare one that was closed */
  if (head[0] > REQUEST_BYTES_MAX || !read_whole(connection, request, head[0])) {
    errno = E2BIG;
    tell_failure(head[1], "request");
    return;
  }
  request[head[0]] = 0;
  int count = 0;
  for (char *at = request; at < request + head[0] && count < ARGUMENTS_MAX; at += strlen(at) + 1)
    arguments[count++] = at;
  arguments[count] = NULL;
  if (jail_count == JAILS_MAX) {
    errno = EAGAIN;
    tell_failure(head[1], "too many");
  } else if (argument(arguments, "--zygote") != NULL) fork_jail(head[1], connection, arguments);
  else launch_jail(head[1], connection, arguments);
}

/* What a zygote has forked has ended with it. */
static void lose_children(uint32_t zygote) {
  for (int i = jail_count - 1; i >= 0; i--) {
    if (jails[i].zygote != zygote) continue;
    tell_end(jails[i].id, SIGKILL, "its zygote ended", 16);
    jails[i] = jails[--jail_count];
  }
  zygotes_remove(zygote);
}

/* bubblewrap, which has given up its powers, cannot have its child, of another uid, killed when it is
   killed itself. The child is then ours, and no other child is without a place in `jails`. Answers
   one of these, 0 without. */
static pid_t end_orphans(void) {
  static char text[JAILS_MAX * 11];
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  for (ssize_t n; fd >= 0 && (n = read(fd, text + length, sizeof text - 1 - length)) > 0;)
    length += (size_t)n;
  if (fd >= 0) close(fd);
  text[length] = 0;
  char *end = text;
  pid_t orphan = 0;
  for (pid_t pid; (pid = (pid_t)strtol(end, &end, 10)) > 0;) {
    int i = 0;
    while (i < jail_count && jails[i].pid != pid) i++;
    if (i < jail_count || layers_is(pid)) continue;
    kill(pid, SIGKILL);
    orphan = pid;
  }
  return orphan;
}

static void end_of_launched(int i, int status) {
  pid_t left = WIFSIGNALED(status) ? end_orphans() : 0;
  if (left != 0) {
    jails[i].pid = left; /* its end is told when this one is reaped: nothing is left then */
    return;
  }
  char said[SAID_BYTES_MAX];
  ssize_t n = pread(jails[i].said, said, sizeof said, 0);
  close(jails[i].said);
  uint32_t id = jails[i].id;
  jails[i] = jails[--jail_count];
  lose_children(id);
  tell_end(id, status, said, n > 0 ? (size_t)n : 0);
}

static void hear_helper(int socket) {
  struct zygote_end end;
  while (recv(socket, &end, sizeof end, MSG_DONTWAIT) == (ssize_t)sizeof end) {
    int i = 0;
    while (i < jail_count && jails[i].id != end.id) i++;
    if (i == jail_count) continue;
    jails[i].helped = false;
    if (end.status == LAYERS_MADE) continue;
    jails[i] = jails[--jail_count];
    tell_end(end.id, end.status, "its disk could not be made", 26);
  }
}

/* What it had not passed on will not come to be. */
static void lose_helped(void) {
  for (int i = jail_count - 1; i >= 0; i--) {
    if (!jails[i].helped) continue;
    tell_end(jails[i].id, SIGKILL, "the helper ended", 16);
    jails[i] = jails[--jail_count];
  }
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    int i = 0;
    if (layers_ended(pid)) lose_helped();
    while (i < jail_count && jails[i].pid != pid) i++;
    if (i < jail_count) end_of_launched(i, status);
  }
}

/* One that has closed its socket may still be waited for by what it is in, and never end. */
static void hear_zygote(int socket) {
  struct zygote_end end;
  uint32_t gone;
  while (zygotes_hear(socket, &end, &gone)) {
    for (int i = 0; i < jail_count; i++) {
      if (jails[i].id != end.id) continue;
      tell_end(end.id, end.status, "", 0);
      jails[i] = jails[--jail_count];
      break;
    }
  }
  for (int i = 0; i < jail_count && gone != 0; i++)
    if (jails[i].id == gone) kill(jails[i].pid, SIGKILL);
}

/* We are the parent and have not reaped it, so the pid cannot have become another's. */
static bool hear_kill(void) {
  uint32_t id;
  if (!read_whole(CONTROL_FD, &id, sizeof id)) return false;
  for (int i = 0; i < jail_count; i++) {
    if (jails[i].id != id) continue;
    if (jails[i].zygote != 0) zygotes_kill(jails[i].zygote, id);
    else kill(jails[i].pid, SIGKILL);
  }
  return true;
}

static int listen_at(const char *directory) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char name[] = "spawn.sock";
  memcpy(address.sun_path, name, sizeof name);
  umask(077);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (chdir(directory) != 0 || fd < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 512) != 0)
    fail("spawn", directory);
  return fd;
}

static void nothing_to_do(int signal) { (void)signal; }

static _Noreturn void end_with_host(const char *directory) {
  unlink("spawn.sock");
  if (chdir("/") == 0) rmdir(directory);
  _exit(0);
}

/* False when the host is gone. */
static bool wait_and_handle(int listener, const sigset_t *mask) {
  struct pollfd fds[3 + WAITING_MAX + ZYGOTES_MAX];
  fds[0] = (struct pollfd){.fd = CONTROL_FD, .events = POLLIN};
  fds[1] = (struct pollfd){.fd = waiting_count < WAITING_MAX ? listener : -1, .events = POLLIN};
  for (int i = 0; i < waiting_count; i++)
    fds[2 + i] = (struct pollfd){.fd = waiting[i], .events = POLLIN};
  int count = waiting_count, zygotes = zygotes_poll(fds + 2 + count), last = 2 + count + zygotes;
  fds[last] = (struct pollfd){.fd = layers_socket(false), .events = POLLIN};
  if (ppoll(fds, (nfds_t)last + 1, NULL, mask) < 0) return true; /* SIGCHLD */
  if ((fds[last].revents & POLLIN) != 0) hear_helper(fds[last].fd);
  for (int i = 0; i < zygotes; i++)
    if (fds[2 + count + i].revents != 0) hear_zygote(fds[2 + count + i].fd);
  if (fds[0].revents != 0 && !hear_kill()) return false;
  for (int i = count - 1; i >= 0; i--) { /* from the end, as the last takes a removed one's place */
    if (fds[2 + i].revents == 0) continue;
    start_jail(waiting[i]);
    close(waiting[i]);
    waiting[i] = waiting[--waiting_count];
  }
  if (fds[1].revents == 0) return true;
  int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (connection >= 0) waiting[waiting_count++] = connection;
  return true;
}

int spawn_main(int argc, char **argv) {
  struct sigaction child = {.sa_handler = nothing_to_do}, ignore = {.sa_handler = SIG_IGN};
  sigset_t open_mask, blocked;
  sigemptyset(&open_mask);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_SETMASK, &blocked, NULL);
  sigaction(SIGCHLD, &child, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  /* A Ctrl-C on the terminal is the host's to handle: it drains, and its jails are to live on. */
  setsid();
  /* What a killed bubblewrap leaves is ours to reap. The host's PID 1 may be one that reaps late or
     never, as in a container, and until then a dead process holds its control group. */
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) fail("spawn", "subreaper");
  syscall(SYS_close_range, CONTROL_FD + 1u, ~0u, 0u);
  fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
  null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  errno = EINVAL;
  if (argc != 1 || null_fd < 0) fail("spawn", "usage: syla-agent spawn DIRECTORY");
  int listener = listen_at(argv[0]);
  tell_end(0, 0, "", 0); /* listening */
  do reap();
  while (wait_and_handle(listener, &open_mask));
  end_with_host(argv[0]);
}
