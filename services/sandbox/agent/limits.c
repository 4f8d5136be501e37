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

/* When memory runs out the program is to go and not PID 1. Not in the child before it executes: it
   shares our undumpable memory, so /proc would not let it write. */
void prefer_as_victim(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "1000", 4) != 4) errno = 0;
  close(fd);
}
