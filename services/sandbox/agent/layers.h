/* layers.c and shed.c, as spawn.c, zygotes.c and main.c use them. */
#ifndef SYLA_LAYERS_H
#define SYLA_LAYERS_H

#include "zygote.h"

#include <stdbool.h>
#include <sys/types.h>

/* A jail whose disk begins with a tree: the zygote's socket is the first descriptor that comes with it, then come those
   of the request. */
struct layers_request {
  struct zygote_request request;
  uint64_t host_uid, tree_uid; /* the jail's, and that of the tree's files on the disk */
  uint64_t writes;             /* the tree is made: what the jail writes is written into it */
  char tree[1024];
};

/* What the helper tells by a zygote_end: the request has gone on to the zygote. Anything else is the jail's end. */
enum { LAYERS_MADE = -1 };

/* Answers the socket to the helper, which is started if there is none; -1 without, with errno. */
int layers_socket(bool start);
bool layers_is(pid_t pid);
/* Whether a process that has ended was the helper, which is started again when it is needed. */
bool layers_ended(pid_t pid);

/* layers.c */
int layers_probe_main(int argc, char **argv);

/* shed.c */
int shed_main(int argc, char **argv);

#endif
