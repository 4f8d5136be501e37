/*
 * serve() and the one program it runs at a time.
 *
 *   idle --EXEC--> running --its end, a limit, or KILL--> ending --pipes at EOF--> idle
 *     '--EXEC, hold--> held --EXEC, release--^
 *
 * `running` waits at once for: frames, the program's two pipes (only while there is room to forward
 * what they give), SIGCHLD and the wall clock. `ending` has killed and reaped everything but PID 1,
 * so nobody writes to the pipes any more and they become empty. Only then EXIT is sent: what a
 * program printed always precedes its end, and nothing of it runs on, whatever it forked.
 *
 * A run with a network has a listener beside its program, and the connections that it takes: keep.c.
 */
#include "channel.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum exit_kind { KIND_EXITED = 0, KIND_SIGNALLED = 1, KIND_NOT_STARTED = 2 };
enum reason { REASON_NONE, REASON_TIMEOUT, REASON_STDOUT, REASON_STDERR, REASON_KILLED };
struct request {
  uint64_t wall_us, stdout_max, stderr_max;
  bool stdin_uploaded, held;
  struct start start;
};

struct stream {
  int fd; /* -1 when at EOF or over its limit */
  uint64_t left;
};

static enum { IDLE, HELD, RUNNING, ENDING } state;
static sigset_t open_mask; /* while it waits; SIGCHLD is blocked otherwise */
static uint16_t process;
static pid_t main_pid;
static struct stream streams[2]; /* stdout, stderr */
static enum reason reason;
static uint64_t started_us, deadline_us;
static struct {
  int status;
  uint64_t wall_us, rss_kib;
} result;
static struct rusage before;
static uint64_t patient_until_us; /* 0: what there is to say is said at once */
static size_t patient_bytes;
static uint64_t held_us; /* CPU time of the main process that is not its program's */
static int stdin_fd = -1;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* stdin is a memory file and no pipe: a program may seek it or never read it, nothing deadlocks. */
void run_stdin(const uint8_t *bytes, size_t length) {
  if (state == HELD) {
    if (!hold_input(bytes, length)) files_note_error(errno, "stdin");
    return;
  }
  if (stdin_fd < 0) stdin_fd = memfd_create("stdin", MFD_CLOEXEC);
  while (length > 0) {
    ssize_t n = stdin_fd < 0 ? -1 : write(stdin_fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      files_note_error(errno, "stdin");
      return;
    }
    bytes += n;
    length -= (size_t)n;
  }
}

/* Each message wakes the host, and a short run has few others. So it is not told at once that a
   program has started, and half a line waits for its rest: print() writes what it is given and the
   end of the line apart. */
enum { STARTED_PATIENCE_US = 5000, LINE_PATIENCE_US = 200, HALF_LINE_MAX = 1024 };

/* With what was just queued, when `before` was all that waited; not when that was said to be in a hurry. */
static void be_patient(uint64_t us, size_t before) {
  bool alone = before == 0 || (patient_until_us != 0 && before == patient_bytes);
  uint64_t until = now_us() + us;
  if (!alone) patient_until_us = 0;
  else if (patient_until_us == 0 || until < patient_until_us) patient_until_us = until;
  patient_bytes = out_pending();
}

/* Not any more once there is something else to be said. */
static bool patient(void) {
  if (state != RUNNING || out_pending() != patient_bytes || now_us() >= patient_until_us)
    patient_until_us = 0;
  return patient_until_us != 0;
}

/* ---- starting ---- */

static bool read_request(struct request *q, struct reader *r) {
  q->wall_us = read_u64(r);
  q->stdout_max = read_u64(r);
  q->stderr_max = read_u64(r);
  q->stdin_uploaded = read_u8(r) != 0;
  return start_read(&q->start, r);
}

static void send_exit(enum exit_kind kind, enum stage stage, int code, const struct rusage *used) {
  struct writer w = {.length = 0};
  write_u8(&w, (uint8_t)kind);
  write_u8(&w, (uint8_t)reason);
  write_u8(&w, (uint8_t)stage);
  write_u8(&w, 0);
  write_u32(&w, (uint32_t)code);
  write_u64(&w, result.wall_us);
  write_u64(&w, (uint64_t)used->ru_utime.tv_sec * 1000000u + (uint64_t)used->ru_utime.tv_usec);
  write_u64(&w, (uint64_t)used->ru_stime.tv_sec * 1000000u + (uint64_t)used->ru_stime.tv_usec);
  write_u64(&w, result.rss_kib * 1024u);
  usage_frame(process);
  out_frame(FRAME_EXIT, process, &w);
}

static void not_started(enum stage stage, int error) {
  struct rusage nothing;
  memset(&nothing, 0, sizeof nothing);
  result.wall_us = result.rss_kib = 0;
  send_exit(KIND_NOT_STARTED, stage, error, &nothing);
}

static int take_stdin(const struct request *q) {
  int fd = stdin_fd;
  stdin_fd = -1;
  if (q->stdin_uploaded && fd >= 0 && lseek(fd, 0, SEEK_SET) == 0) return fd;
  if (fd >= 0) close(fd);
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Our end never waits: the program can open its own pipe for reading and empty it between our poll
   and our read, and then nobody would keep the time. */
static bool make_pipe(int ends[2]) {
  return pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static void started(const struct request *q) {
  deadline_us = q->wall_us == 0 ? 0 : started_us + q->wall_us;
  streams[0].left = q->stdout_max;
  streams[1].left = q->stderr_max;
  state = RUNNING;
  size_t before = out_pending();
  out_frame(FRAME_STARTED, process, NULL);
  be_patient(STARTED_PATIENCE_US, before);
}

static void begin(struct request *q) {
  int out_pipe[2], err_pipe[2], input;
  struct start *s = &q->start;
  if (q->held) hold_make(&s->fds[3], &input);
  else input = take_stdin(q);
  if (input < 0 || !make_pipe(out_pipe) || !make_pipe(err_pipe))
    fail("exec", "cannot make the program's streams");
  s->fds[0] = input;
  s->fds[1] = out_pipe[1];
  s->fds[2] = err_pipe[1];
  s->fd_count = q->held ? 5 : 3;
  getrusage(RUSAGE_CHILDREN, &before);
  started_us = now_us();
  struct start_failure failure;
  main_pid = start_process(s, &failure);
  close(input);
  close(out_pipe[1]);
  close(err_pipe[1]);
  if (q->held) close(s->fds[3]);
  if (main_pid < 0) {
    close(out_pipe[0]);
    close(err_pipe[0]);
    not_started(failure.stage, failure.error);
    return;
  }
  streams[0].fd = out_pipe[0];
  streams[1].fd = err_pipe[0];
  held_us = 0;
  if (q->held) {
    hold_started(main_pid);
    state = HELD;
  } else {
    started(q);
  }
}

static void release(const struct request *q) {
  started_us = now_us();
  held_us = hold_release(&q->start.program);
  started(q);
}

void run_exec(const struct frame *frame) {
  errno = EPROTO;
  bool releases = (frame->flags & FLAG_RELEASE) != 0;
  if (state != (releases ? HELD : IDLE)) fail("exec", "a program is running");
  struct reader r;
  if (!start_collect(frame, &r)) return;
  struct request q;
  memset(&q, 0, sizeof q);
  bool whole = read_request(&q, &r);
  q.held = (frame->flags & FLAG_HOLD) != 0;
  q.start.by_fork = (frame->flags & FLAG_FORK) != 0;
  if (!whole || (q.start.by_fork && interpreter == NULL)) fail("exec", "cannot read the request");
  process = frame->process;
  reason = REASON_NONE;
  result.rss_kib = 0;
  int error = files_take_error();
  if (error != 0 && releases) fail("files", "the program's files are not as asked");
  if (error != 0) not_started(STAGE_FILES, error);
  else if (releases) release(&q);
  else begin(&q);
}

/* ---- ending ---- */

static void reap_one(pid_t pid, int status, const struct rusage *used) {
  uint64_t rss = (uint64_t)used->ru_maxrss;
  if (rss > result.rss_kib) result.rss_kib = rss;
  if (pid != main_pid) return;
  result.status = status;
  result.wall_us = now_us() - started_us;
  main_pid = 0;
}

/* kill(-1) reaches everything in the namespace but us, under the lock that fork takes: nothing can
   slip through by forking. So once is enough; once for each that is reaped would take minutes for
   ten thousand, in which nobody on the host could fork. */
static void end_everything(void) {
  int status;
  struct rusage used;
  kill(-1, SIGKILL);
  for (;;) {
    pid_t pid = wait4(-1, &status, __WALL, &used);
    if (pid > 0) reap_one(pid, status, &used);
    else if (errno == ECHILD) break;
  }
  state = ENDING;
}

static void reap_without_waiting(void) {
  int status;
  struct rusage used;
  pid_t pid;
  while ((pid = wait4(-1, &status, WNOHANG | __WALL, &used)) > 0) reap_one(pid, status, &used);
  if (main_pid == 0 && state == HELD) fail("hold", "the interpreter ended");
  if (main_pid != 0) return;
  /* What the program left would be our child by now, or a child's. A kill(-1) looks at every process of
     the host. */
  if (pid < 0 && errno == ECHILD) state = ENDING;
  else end_everything();
}

static void end_because(enum reason why) {
  if (state != RUNNING) return;
  reason = why;
  end_everything();
}

void run_kill(int signal) {
  if (state != RUNNING) return; /* it has ended on its own in the meantime */
  if (signal == SIGKILL) end_because(REASON_KILLED);
  else kill(main_pid, signal);
}

/* Takes off as much as there is. */
static void take_off(struct timeval *used, uint64_t *us) {
  uint64_t used_us = (uint64_t)used->tv_sec * 1000000u + (uint64_t)used->tv_usec;
  uint64_t less_us = *us < used_us ? *us : used_us;
  *us -= less_us;
  used->tv_sec = (time_t)((used_us - less_us) / 1000000u);
  used->tv_usec = (suseconds_t)((used_us - less_us) % 1000000u);
}

static void report_end(void) {
  struct rusage after;
  getrusage(RUSAGE_CHILDREN, &after);
  timersub(&after.ru_utime, &before.ru_utime, &after.ru_utime);
  timersub(&after.ru_stime, &before.ru_stime, &after.ru_stime);
  take_off(&after.ru_utime, &held_us);
  take_off(&after.ru_stime, &held_us);
  state = IDLE;
  if (WIFSIGNALED(result.status))
    send_exit(KIND_SIGNALLED, STAGE_NONE, WTERMSIG(result.status), &after);
  else
    send_exit(KIND_EXITED, STAGE_NONE, WEXITSTATUS(result.status), &after);
}

/* ---- forwarding and waiting ---- */

static void close_stream(struct stream *s) {
  close(s->fd);
  s->fd = -1;
}

static void forward(int which) {
  struct stream *s = &streams[which];
  size_t room = out_room();
  if (room == 0) return;
  ssize_t n = read(s->fd, out_payload(), room);
  /* When nobody is left to write, an empty pipe is at its end, though a socket that was sent down
     itself may hold the other end until the kernel finds out. */
  if (n < 0 && (errno == EINTR || (errno == EAGAIN && state != ENDING))) return;
  if (n <= 0) {
    close_stream(s);
    return;
  }
  size_t taken = (uint64_t)n < s->left ? (size_t)n : (size_t)s->left;
  size_t before = out_pending();
  bool half = taken > 0 && taken < HALF_LINE_MAX && out_payload()[taken - 1] != '\n';
  if (taken > 0) out_commit(which == 0 ? FRAME_STDOUT : FRAME_STDERR, 0, process, taken);
  if (half) be_patient(LINE_PATIENCE_US, before);
  s->left -= taken;
  if (taken == (size_t)n) return;
  /* The program may have ended on its own with the excess still in the pipe: it is told the same.
     */
  if (state == ENDING && reason == REASON_NONE) reason = which == 0 ? REASON_STDOUT : REASON_STDERR;
  end_because(which == 0 ? REASON_STDOUT : REASON_STDERR);
  close_stream(s); /* not before the end: a write to it then would end the program by SIGPIPE */
}

static void handle_frame(const struct frame *frame) {
  struct reader r = {.at = frame->payload, .left = frame->length};
  switch (frame->type) {
    case FRAME_FILE_BEGIN: file_begin(&r); break;
    case FRAME_FILE_DATA: file_data(frame->payload, frame->length); break;
    case FRAME_FILE_END: file_end(); break;
    case FRAME_STDIN: run_stdin(frame->payload, frame->length); break;
    case FRAME_EXEC: run_exec(frame); break;
    case FRAME_KILL: run_kill((int)read_u32(&r)); break;
    case FRAME_COLLECT:
    case FRAME_COLLECT_TREE:
      errno = EPROTO;
      if (state != IDLE) fail("collect", "a program is running");
      if (frame->type == FRAME_COLLECT) collect(&r);
      else collect_tree(&r);
      break;
    case FRAME_KEEP:
      errno = EPROTO;
      if (state != IDLE) fail("keep", "a program is running");
      keep(&open_mask);
    default:
      errno = EPROTO;
      if (!connections_handle(frame)) fail("frame", "unknown type");
  }
}

/* Answers how many of what is polled are to be looked at. */
static unsigned wait_for_something(const sigset_t *mask) {
  struct pollfd *fds = polls;
  /* What one says that is held, such as a warning at its start, is its program's to have said. */
  bool room = state != IDLE && state != HELD && out_room() > 0;
  fds[3] = (struct pollfd){.fd = state == HELD ? hold_gate() : -1, .events = POLLIN};
  fds[0] = (struct pollfd){.fd = CONTROL_FD, .events = POLLIN};
  if (out_pending() > 0 && !patient()) fds[0].events |= POLLOUT;
  for (int i = 0; i < 2; i++)
    fds[1 + i] = (struct pollfd){.fd = room ? streams[i].fd : -1, .events = POLLIN};
  struct timespec left = {0, 0}, *timeout = NULL;
  uint64_t until_us = state == RUNNING ? deadline_us : 0;
  if (patient_until_us != 0 && (until_us == 0 || patient_until_us < until_us))
    until_us = patient_until_us;
  if (until_us != 0) {
    uint64_t now = now_us();
    uint64_t us = now < until_us ? until_us - now : 0;
    left.tv_sec = (time_t)(us / 1000000u);
    left.tv_nsec = (long)(us % 1000000u) * 1000;
    timeout = &left;
  }
  if (state == ENDING && room) timeout = &left; /* reads what there is, and waits for no more */
  unsigned count = polls_add(POLLS_OWN);
  int n = ppoll(fds, count, timeout, mask);
  for (unsigned i = 0; n < 0 && i < count; i++) fds[i].revents = 0; /* SIGCHLD */
  return count;
}

static void nothing_to_do(int signal) { (void)signal; }

_Noreturn void serve(void) {
  /* SIGCHLD is let in only inside ppoll, so it cannot fall between a check and the wait. */
  struct sigaction child = {.sa_handler = nothing_to_do}, ignore = {.sa_handler = SIG_IGN};
  sigset_t blocked;
  sigemptyset(&open_mask);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_SETMASK, &blocked, NULL);
  sigaction(SIGCHLD, &child, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  streams[0].fd = streams[1].fd = -1;
  out_frame(FRAME_READY, 0, NULL);
  for (;;) {
    struct frame frame;
    const struct pollfd *fds = polls;
    /* Frames may have come in one read with SETUP, hence before the first wait. */
    while (in_next(&frame)) handle_frame(&frame);
    if (state == RUNNING || state == HELD) reap_without_waiting();
    if (state == RUNNING && deadline_us != 0 && now_us() >= deadline_us)
      end_because(REASON_TIMEOUT);
    if (state == ENDING && streams[0].fd < 0 && streams[1].fd < 0) report_end();
    channels_settle();
    if (!patient()) out_flush();
    unsigned count = wait_for_something(&open_mask);
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) in_fill();
    for (int i = 0; i < 2; i++)
      if (fds[1 + i].revents != 0 || (state == ENDING && fds[1 + i].fd >= 0)) forward(i);
    if (fds[3].revents != 0) hold_hear();
    polls_serve(POLLS_OWN, count);
  }
}
