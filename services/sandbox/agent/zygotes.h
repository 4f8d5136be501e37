/* zygotes.c, as spawn.c uses it. */
#ifndef SYLA_ZYGOTES_H
#define SYLA_ZYGOTES_H

#include "zygote.h"

#include <poll.h>
#include <stdbool.h>

enum { ZYGOTES_MAX = 256 };

/* Answers the zygote's end of its socket, -1 with errno. */
int zygotes_add(uint32_t id);
void zygotes_remove(uint32_t id);
/* Asks the zygote that the arguments name for a jail; false with errno. Or has the helper do so, once it has made the
   disk. */
bool zygotes_fork(uint32_t jail, int connection, char **arguments, uint32_t *zygote, bool *helped);
void zygotes_kill(uint32_t zygote, uint32_t jail);
/* Fills in a place for each of them, ZYGOTES_MAX at most. */
int zygotes_poll(struct pollfd *fds);
/* Takes one end from such a socket; false when there is none, and then `gone` is the zygote's id if
   nobody holds the other end any more, else 0. */
bool zygotes_hear(int socket, struct zygote_end *end, uint32_t *gone);

#endif
