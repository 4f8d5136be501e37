/* The kernel's calls for mounts that are nowhere yet. The headers of a host's C library and kernel have them or not,
   and not always both at a time; their numbers are the same on every architecture. */
#ifndef SYLA_MOUNTS_H
#define SYLA_MOUNTS_H

#include <stdint.h>

enum {
  CALL_OPEN_TREE = 428,
  CALL_MOVE_MOUNT = 429,
  CALL_FSOPEN = 430,
  CALL_FSCONFIG = 431,
  CALL_FSMOUNT = 432,
  CALL_MOUNT_SETATTR = 442,
};

/* Of open_tree, fsopen, fsmount, move_mount, and what fsconfig is to do. */
enum { TREE_CLONE = 1, FS_CLOSE_ON_EXEC = 1, MOVE_EMPTY_PATH = 4, CONFIG_STRING = 1, CONFIG_CREATE = 6 };

/* Of a mount. */
enum { ATTRIBUTE_RDONLY = 1, ATTRIBUTE_NOSUID = 2, ATTRIBUTE_NODEV = 4, ATTRIBUTE_IDMAP = 0x100000 };

struct mount_attributes {
  uint64_t set, clear, propagation, user_namespace;
};

#endif
