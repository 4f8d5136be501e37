/* What spawn asks of a zygote on its socket, one packet each, and what it is told there. */
#ifndef SYLA_ZYGOTE_H
#define SYLA_ZYGOTE_H

#include <stdint.h>

enum { ZYGOTE_FORK = 0, ZYGOTE_KILL = 1, ZYGOTE_FDS_MAX = 16 };

/* With FORK come descriptors: the jail's connection, then the `tasks` files of its v1 cgroups, then
   the directory of its v2 cgroup if it has one. */
struct zygote_request {
  uint32_t id, what, v1_groups, v2_groups;
  uint64_t uid, disk_bytes, disk_inodes;
};

/* A jail is reaped, and nothing of it is left. */
struct zygote_end {
  uint32_t id;
  int32_t status;
};

#endif
