/*
 * keep(): serves a jail that stays. Many channels at a time, each a process with its streams or a
 * connection to a port of the jail's loopback, over the one socket to the host.
 *
 * The host names channels (below ACCEPTED_FROM; those from there on are connections that a listener
 * of ours took). Every stream has a window each way: the host grants what may be sent of a
 * process's output, and is told what of its input was taken, so that one that nobody reads, or that
 * does not read, holds up itself and no other.
 *
 * A process's EXIT follows all that it had written, since its pipes are read until they are empty
 * first; what its children write later still comes. RELEASED is the last of a channel: when its
 * process is reaped and its streams have ended, or when the host has closed it.
 *
 * What the host says of a channel may be on its way when the channel is released. Of one that it named
 * itself it says nothing more before it has heard of that and names it anew. A connection that we
 * named is closed by the host in any case, as the last it says of it, and its name is not
 * another's before: else what was said of one connection would be done to the next.
 */
#include "channel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum start_flag {
  START_INPUT = 1,
  START_TERMINAL = 2,
  START_WORDS = 4,
  START_FORK = 8,
  START_HUSHES = 16,
};

/* ---- processes ---- */

static bool open_terminal(const struct winsize *size, int *ours, int *theirs) {
  *ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*ours < 0 || grantpt(*ours) != 0 || unlockpt(*ours) != 0) return false;
  const char *name = ptsname(*ours);
  *theirs = name == NULL ? -1 : open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return *theirs >= 0 && ioctl(*ours, TIOCSWINSZ, size) == 0 && never_waits(*ours);
}

/* A pipe of which `ours` never waits; which end that is, `writes` says. */
static bool open_pipe(bool writes, int *ours, int *theirs) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  *ours = ends[writes ? 1 : 0];
  *theirs = ends[writes ? 0 : 1];
  fcntl(*ours, F_SETPIPE_SZ, PIPE_BYTES); /* as it is where the user has too many */
  return never_waits(*ours);
}

static bool open_streams(struct channel *c, uint8_t flags, const struct winsize *size,
                         int theirs[4]) {
  if (flags & START_TERMINAL) {
    if (!open_terminal(size, &c->outputs[0].fd, &theirs[0])) return false;
    theirs[1] = dup(theirs[0]);
    theirs[2] = dup(theirs[0]);
    c->input = dup(c->outputs[0].fd);
    if (theirs[1] < 0 || theirs[2] < 0 || c->input < 0) return false;
  } else {
    if (flags & START_INPUT) {
      if (!open_pipe(true, &c->input, &theirs[0])) return false;
    } else if ((theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) {
      return false;
    }
    for (int i = 0; i < 2; i++)
      if (!open_pipe(false, &c->outputs[i].fd, &theirs[1 + i])) return false;
  }
  return !(flags & START_WORDS) || open_pipe(false, &c->outputs[2].fd, &theirs[3]);
}

static void on_start(const struct frame *frame) {
  struct reader r;
  if (!start_collect(frame, &r)) return;
  struct channel *c = channel_named(frame, true);
  struct start s;
  memset(&s, 0, sizeof s);
  const uint8_t flags = read_u8(&r);
  const uint32_t columns = read_u32(&r), rows = read_u32(&r);
  s.by_fork = (flags & START_FORK) != 0;
  s.terminal = (flags & START_TERMINAL) != 0;
  s.fd_count = flags & START_WORDS ? 4 : 3;
  errno = EPROTO;
  if (!start_read(&s, &r) || (s.by_fork && interpreter == NULL))
    fail("start", "cannot read the request");
  channel_take(c, PROCESS);
  c->hushes = (flags & START_HUSHES) != 0;
  for (int i = 0; i < 4; i++) s.fds[i] = -1;
  struct start_failure failure = {.stage = STAGE_STREAMS, .error = 0};
  const struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  if (!open_streams(c, flags, &size, s.fds)) failure.error = errno;
  else c->pid = start_process(&s, &failure);
  for (int i = 0; i < 4; i++) close_fd(&s.fds[i]);
  if (c->pid <= 0) return channel_refuse(c, failure.stage, failure.error);
  struct writer w = {.length = 0};
  write_u32(&w, (uint32_t)c->pid);
  channel_say(c, FRAME_BEGUN, &w);
}

static uint64_t microseconds(const struct timeval *t) {
  return (uint64_t)t->tv_sec * 1000000u + (uint64_t)t->tv_usec;
}

static void tell_exit(struct channel *c) {
  struct writer w = {.length = 0};
  bool signalled = WIFSIGNALED(c->status);
  write_u8(&w, signalled ? 1 : 0);
  write_u32(&w, (uint32_t)(signalled ? WTERMSIG(c->status) : WEXITSTATUS(c->status)));
  write_u64(&w, microseconds(&c->used.ru_utime));
  write_u64(&w, microseconds(&c->used.ru_stime));
  write_u64(&w, (uint64_t)c->used.ru_maxrss * 1024u);
  channel_say(c, FRAME_EXITED, &w);
  c->told = true;
}

static void reap(void) {
  int status;
  struct rusage used;
  pid_t pid;
  while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0) {
    for (unsigned i = 0; i < channels_end; i++) {
      struct channel *c = &channels[i];
      if (c->kind != PROCESS || c->pid != pid || c->exited) continue;
      c->exited = true;
      c->status = status;
      c->used = used;
      if (c->hushes && WIFSIGNALED(status)) kill(-1, SIGCONT);
      for (int n = 0; n < OUTPUTS; n++) c->outputs[n].empty = false;
    }
  }
}

/* ---- connections ---- */

static struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void connected(struct channel *c) {
  c->kind = CONNECTION;
  channel_say(c, FRAME_BEGUN, NULL);
}

/* 0 when it is connected, EINPROGRESS when that is on its way, else why not. */
static int reach(struct channel *c, const struct sockaddr *address, socklen_t size) {
  close_fd(&c->outputs[0].fd);
  close_fd(&c->input);
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  c->outputs[0].fd = fd;
  int error = connect(fd, address, size) == 0 ? 0 : errno;
  if (error == 0 || error == EINPROGRESS) c->input = dup(fd);
  return error;
}

/* A server that was told "localhost" may listen on either loopback: ::1 is tried where 127.0.0.1 refuses. */
static void connecting(struct channel *c, int error) {
  if (error == ECONNREFUSED && c->port6 != 0) {
    const struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons(c->port6), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    c->port6 = 0;
    error = reach(c, (const struct sockaddr *)&address, sizeof address);
  }
  if (error == EINPROGRESS) return;
  if (error != 0) channel_refuse(c, STAGE_STREAMS, error);
  else connected(c);
}

static void on_connect(const struct frame *frame, struct reader *r) {
  struct channel *c = channel_named(frame, true);
  channel_take(c, CONNECTING);
  c->port6 = (uint16_t)read_u32(r);
  const struct sockaddr_in address = loopback(c->port6);
  connecting(c, reach(c, (const struct sockaddr *)&address, sizeof address));
}

static void finish_connecting(struct channel *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->outputs[0].fd, SOL_SOCKET, SO_ERROR, &error, &size);
  connecting(c, error);
}

static void on_listen(const struct frame *frame, struct reader *r) {
  struct channel *c = channel_named(frame, true);
  channel_take(c, LISTENER);
  const struct sockaddr_in address = loopback((uint16_t)read_u32(r));
  const int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  c->outputs[0].fd = fd;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0)
    return channel_refuse(c, STAGE_STREAMS, errno);
  channel_say(c, FRAME_BEGUN, NULL);
}

static struct channel *free_accepted(void) {
  for (unsigned i = ACCEPTED_FROM; i < CHANNELS; i++)
    if (channels[i].kind == FREE) return &channels[i];
  return NULL;
}

static void accept_one(struct channel *listener) {
  struct channel *c = free_accepted();
  if (c == NULL) return; /* it waits in the backlog */
  int fd = accept4(listener->outputs[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  channel_take(c, CONNECTION);
  c->outputs[0].fd = fd;
  c->input = dup(fd);
  struct writer w = {.length = 0};
  write_u32(&w, channel_id(c));
  channel_say(listener, FRAME_ACCEPTED, &w);
}

/* ---- what else the host asks for ---- */

static void on_signal(const struct frame *frame, struct reader *r) {
  struct channel *c = channel_named(frame, false);
  int signal = (int)read_u32(r);
  bool whole = read_u8(r) != 0;
  /* Reaped, its number may be another's; its group may still be there, and keeps the number. */
  if (c->kind != PROCESS || signal < 1 || signal > 64) return;
  if (whole) kill(-c->pid, signal);
  else if (!c->exited) kill(c->pid, signal);
}

static void on_resize(const struct frame *frame, struct reader *r) {
  struct channel *c = channel_named(frame, false);
  const uint32_t columns = read_u32(r), rows = read_u32(r);
  const struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  if (c->kind == PROCESS && c->outputs[0].fd >= 0) ioctl(c->outputs[0].fd, TIOCSWINSZ, &size);
}

/* ---- waiting ---- */

static void settle(struct channel *c) {
  bool ended = true, empty = true;
  for (int i = 0; i < OUTPUTS; i++) {
    ended = ended && c->outputs[i].fd < 0;
    empty = empty && (c->outputs[i].fd < 0 || c->outputs[i].empty) && c->words_length == 0;
  }
  if (c->kind == PROCESS) {
    if (c->exited && !c->told && empty) tell_exit(c);
    if (c->told && ended) channel_release(c);
  } else if (!is_over(c) && ended && (c->input < 0 || c->closed)) {
    channel_release(c);
  }
}

struct pollfd polls[POLLS_OWN + CHANNELS * (OUTPUTS + 1)];
static struct {
  uint16_t channel;
  int8_t which; /* an output, or -1 for the input */
} polled[POLLS_OWN + CHANNELS * (OUTPUTS + 1)];

static unsigned add(unsigned count, const struct channel *c, int which, int fd, short events) {
  polls[count] = (struct pollfd){.fd = fd, .events = events};
  polled[count].channel = channel_id(c);
  polled[count].which = (int8_t)which;
  return count + 1;
}

unsigned polls_add(unsigned count) {
  bool room = out_room() > 0;
  for (unsigned i = 0; i < channels_end; i++) {
    const struct channel *c = &channels[i];
    if (is_over(c)) continue;
    if (c->kind == CONNECTING) {
      count = add(count, c, 0, c->outputs[0].fd, POLLOUT);
      continue;
    }
    for (int n = 0; n < OUTPUTS; n++) {
      const struct output *o = &c->outputs[n];
      if (o->fd < 0 || (c->kind != LISTENER && (!room || may_send(o) == 0))) continue;
      if (n == WORDS && c->words_length > 0) continue; /* they wait for the others */
      if (n < WORDS && c->words_length > 0 && c->words_after[n] == 0) continue; /* it for them */
      if (c->kind == LISTENER && free_accepted() == NULL) continue;
      count = add(count, c, n, o->fd, POLLIN);
    }
    if (c->input >= 0 && c->input_length > 0) count = add(count, c, -1, c->input, POLLOUT);
  }
  return count;
}

static void serve_polled(unsigned index) {
  struct channel *c = &channels[polled[index].channel];
  int which = polled[index].which;
  if (is_over(c)) return;
  if (c->kind == CONNECTING) finish_connecting(c);
  else if (c->kind == LISTENER) accept_one(c);
  else if (which < 0) input_pour(c);
  else output_forward(c, which);
}

void polls_serve(unsigned from, unsigned count) {
  for (unsigned i = from; i < count; i++)
    if (polls[i].revents != 0) serve_polled(i);
}

void channels_settle(void) {
  for (unsigned i = channels_end; i-- > 0;) settle(&channels[i]);
}

bool connections_handle(const struct frame *frame) {
  struct reader r = {.at = frame->payload, .left = frame->length};
  switch (frame->type) {
    case FRAME_LISTEN: on_listen(frame, &r); return true;
    case FRAME_INPUT: on_input(frame); return true;
    case FRAME_INPUT_END: on_input_end(frame); return true;
    case FRAME_GRANT: on_grant(frame, &r); return true;
    case FRAME_CLOSE: on_close(frame); return true;
    default: return false;
  }
}

static void handle(const struct frame *frame) {
  struct reader r = {.at = frame->payload, .left = frame->length};
  if (connections_handle(frame)) return;
  switch (frame->type) {
    case FRAME_START: on_start(frame); break;
    case FRAME_CONNECT: on_connect(frame, &r); break;
    case FRAME_SIGNAL: on_signal(frame, &r); break;
    case FRAME_RESIZE: on_resize(frame, &r); break;
    default: errno = EPROTO; fail("frame", "unknown type");
  }
}

/* What the reaped had printed is in their pipes, and goes before their ends; what words wait for too. */
static void forward_all(void) {
  for (unsigned i = 0; i < channels_end; i++) {
    struct channel *c = &channels[i];
    if (c->kind != PROCESS) continue;
    bool last = c->exited && !c->told;
    for (int n = 0; n < WORDS && last; n++) output_forward(c, n);
    if (last || c->words_length > 0) output_forward(c, WORDS);
  }
}

_Noreturn void keep(const sigset_t *open_mask) {
  for (;;) {
    struct frame frame;
    while (in_next(&frame)) handle(&frame);
    reap();
    forward_all();
    channels_settle();
    out_flush();
    polls[0] = (struct pollfd){.fd = CONTROL_FD, .events = POLLIN};
    if (out_pending() > 0) polls[0].events |= POLLOUT;
    unsigned count = polls_add(1);
    if (ppoll(polls, count, NULL, open_mask) <= 0) continue; /* SIGCHLD */
    if (polls[0].revents & (POLLIN | POLLHUP | POLLERR)) in_fill();
    polls_serve(1, count);
  }
}
