/* What the kernel holds each process of a program to, beside what its control group holds all of them to. */
#include "agent.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Never above what the host itself is held to: without powers that cannot be raised. */
static bool limit(__rlimit_resource_t resource, uint64_t value) {
  struct rlimit both;
  if (getrlimit(resource, &both) != 0) return false;
  if (both.rlim_max == RLIM_INFINITY || value < both.rlim_max) both.rlim_max = value;
  both.rlim_cur = both.rlim_max;
  return setrlimit(resource, &both) == 0;
}

/* 0 leaves a limit as it is. The soft CPU limit gives SIGXCPU, which says why; the hard one a
   second later ends a program that ignores it. */
bool set_limits(const struct limits *q) {
  struct rlimit cpu = {.rlim_cur = q->cpu_seconds, .rlim_max = (rlim_t)q->cpu_seconds + 1};
  return (q->cpu_seconds == 0 || setrlimit(RLIMIT_CPU, &cpu) == 0) &&
         (q->file_bytes == 0 || limit(RLIMIT_FSIZE, q->file_bytes)) &&
         (q->open_files == 0 || limit(RLIMIT_NOFILE, q->open_files)) &&
         (q->address_bytes == 0 || limit(RLIMIT_AS, q->address_bytes)) &&
         (q->processes == 0 || limit(RLIMIT_NPROC, q->processes));
}

/* What the kernel counts over all processes of a user, and of the users of the user namespaces around. */
static const __rlimit_resource_t counted[] = {RLIMIT_NPROC, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE,
                                              RLIMIT_MEMLOCK};
enum { COUNTED = sizeof counted / sizeof *counted };
static struct rlimit before[COUNTED];

/* The limits of who makes a user namespace bound all that is counted in it. */
void lift_counted(void) {
  for (int i = 0; i < COUNTED; i++) {
    if (getrlimit(counted[i], &before[i]) != 0) fail("limits", "read");
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY},
                        most = {.rlim_cur = before[i].rlim_max, .rlim_max = before[i].rlim_max};
    if (setrlimit(counted[i], &none) != 0 && setrlimit(counted[i], &most) != 0)
      fail("limits", "lift");
  }
}

void lower_counted(void) {
  for (int i = 0; i < COUNTED; i++)
    if (setrlimit(counted[i], &before[i]) != 0) fail("limits", "lower");
}

/* A jail's part of these: signals and POSIX timers that wait, and bytes of message queues, of which
   one that is made without a size takes 82,000. No priority above the ordinary, whatever the host's
   own processes may have. */
void bound_counters(void) {
  if (!limit(RLIMIT_SIGPENDING, 1024) || !limit(RLIMIT_MSGQUEUE, 128 * 1024) ||
      !limit(RLIMIT_NICE, 0) || !limit(RLIMIT_RTPRIO, 0))
    fail("limits", "counters");
}

/* When memory runs out the program is to go and not PID 1. Not in the child before it executes: it
   shares our undumpable memory, so /proc would not let it write. */
void prefer_as_victim(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "1000", 4) != 4) errno = 0;
  close(fd);
}
