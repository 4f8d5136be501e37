/*
 * How a program comes to run: what the host says of it is read, and a child made that becomes it, by
 * executing it or as a fork of the interpreter that this jail is a fork of.
 */
#include "agent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 1024 * 1024, STRINGS_MAX = 65536 };

const struct interpreter *interpreter;

static uint8_t request[REQUEST_BYTES_MAX];
static size_t request_length;
static char *strings[STRINGS_MAX];

/* ---- reading ---- */

bool start_collect(const struct frame *frame, struct reader *r) {
  errno = EPROTO;
  if (frame->length > REQUEST_BYTES_MAX - request_length)
    fail("start", "arguments are too long");
  memcpy(request + request_length, frame->payload, frame->length);
  request_length += frame->length;
  if (frame->flags & FLAG_MORE) return false;
  *r = (struct reader){.at = request, .left = request_length};
  request_length = 0;
  return true;
}

static char **read_strings(struct reader *r, size_t *used) {
  uint32_t count = read_u32(r);
  char **list = strings + *used;
  if (count >= STRINGS_MAX - *used) r->bad = true;
  for (uint32_t i = 0; i < count && !r->bad; i++) list[i] = read_string(r);
  if (r->bad) return NULL;
  list[count] = NULL;
  *used += (size_t)count + 1;
  return list;
}

bool start_read(struct start *s, struct reader *r) {
  size_t used = 0;
  s->limits.file_bytes = read_u64(r);
  s->limits.address_bytes = read_u64(r);
  s->limits.cpu_seconds = read_u32(r);
  s->limits.open_files = read_u32(r);
  s->limits.processes = read_u32(r);
  s->directory = read_string(r);
  s->program.argv = read_strings(r, &used);
  s->program.env = read_strings(r, &used);
  return !r->bad && s->program.argv[0] != NULL;
}

/* ---- starting ---- */

/* What the new process tells its parent, whose memory it shares until it executes. */
static volatile struct start_failure failure;

static _Noreturn void child_fail(enum stage stage) {
  failure.stage = stage;
  failure.error = errno;
  _exit(127);
}

/* Both kinds of child: alone in a session, with their own streams and nothing of ours. */
static enum stage settle_in(const struct start *s) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  for (int i = 0; i < s->fd_count; i++)
    if (dup2(s->fds[i], i) != i) return STAGE_STREAMS;
  syscall(SYS_close_range, (unsigned)s->fd_count, ~0u, 0u);
  if (s->terminal && ioctl(0, TIOCSCTTY, 0) != 0) return STAGE_STREAMS;
  umask(022);
  if (chdir(s->directory) != 0) return STAGE_DIRECTORY;
  return set_limits(&s->limits) ? STAGE_NONE : STAGE_LIMITS;
}

static const char *path_of(char **env) {
  for (; *env != NULL; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "";
}

/* As execvpe(), whose PATH would be ours: the first that can be executed, else what was wrong with the last that is
   there. */
static void execute(char **argv, char **env) {
  char file[4096];
  if (strchr(argv[0], '/') != NULL) {
    execve(argv[0], argv, env);
    return;
  }
  int error = ENOENT;
  for (const char *at = path_of(env); *at != 0;) {
    size_t length = strcspn(at, ":");
    int written = snprintf(file, sizeof file, "%.*s/%s", (int)length, at, argv[0]);
    at += length + (at[length] == ':' ? 1 : 0);
    if (length == 0 || written < 0 || (size_t)written >= sizeof file) continue;
    execve(file, argv, env);
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  errno = error;
}

/* The child between vfork and execve: only system calls, and no global changed but the failure. */
static _Noreturn void become_program(const struct start *s) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal <= 64; signal++) sigaction(signal, &normal, NULL);
  enum stage stage = settle_in(s);
  if (stage != STAGE_NONE) child_fail(stage);
  execute(s->program.argv, s->program.env);
  child_fail(STAGE_EXECUTE);
}

/* The same in a fork of the interpreter. It keeps the handlers of signals that the interpreter set
   when it started. */
static _Noreturn void become_interpreter(const struct start *s) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  sigaction(SIGCHLD, &normal, NULL);
  if (settle_in(s) != STAGE_NONE) {
    dprintf(2, "cannot start the program: %s\n", strerror(errno));
    _exit(127);
  }
  /* Ours was not; an executed program is, and its own /proc entries are to be its own. */
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  prefer_as_victim("/proc/self/oom_score_adj");
  interpreter->enter(&s->program);
  _exit(127);
}

/* vfork, since copying even this small address space costs more than everything else here. */
static __attribute__((noinline)) pid_t make_child(const struct start *s) {
  pid_t pid = vfork();
  if (pid == 0) become_program(s);
  return pid;
}

pid_t start_process(const struct start *s, struct start_failure *why) {
  failure.stage = STAGE_NONE;
  pid_t pid = s->by_fork ? interpreter->fork() : make_child(s);
  if (pid == 0) become_interpreter(s);
  why->stage = pid < 0 ? STAGE_EXECUTE : failure.stage;
  why->error = pid < 0 ? errno : failure.error;
  if (pid > 0 && why->stage != STAGE_NONE) waitpid(pid, NULL, 0);
  if (why->stage != STAGE_NONE) return -1;
  if (s->by_fork) return pid; /* it does so itself */
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
  prefer_as_victim(path);
  return pid;
}
