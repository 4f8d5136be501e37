/* What spawn asks of a zygote on its socket, one packet each, and what it is told there. */
#ifndef SYLA_ZYGOTE_H
#define SYLA_ZYGOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ZYGOTE_FORK = 0, ZYGOTE_KILL = 1, ZYGOTE_FDS_MAX = 16 };

/* For /work, /tmp and /dev/shm, in this order. */
enum { ZYGOTE_MOUNTS = 3 };

/* With FORK come descriptors: the jail's connection, then the `tasks` files of its v1 cgroups, then
   the directory of its v2 cgroup if it has one, then the mounts of its disk if it is made already (layers.c). */
struct zygote_request {
  uint32_t id, what, v1_groups, v2_groups, mounts;
  uint64_t uid, disk_bytes, disk_inodes;
};

/* A jail is reaped, and nothing of it is left. */
struct zygote_end {
  uint32_t id;
  int32_t status;
};

/* pass.c. One that does not keep up is not waited for: nobody else could be served. */
bool send_fds(int socket, const void *packet, size_t length, const int *fds, size_t count);
/* Answers what recvmsg() does; there is room for ZYGOTE_FDS_MAX + 1 descriptors. */
ssize_t receive_fds(int socket, void *packet, size_t length, int *fds, size_t *count);

#endif
