/* The zygotes that spawn has started: a socket to each, for jails to be forked and killed (zygote.h). */
#include "agent.h"
#include "layers.h"
#include "zygote.h"
#include "zygotes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct zygote {
  uint32_t id;
  int socket;
} zygotes[ZYGOTES_MAX];
static int zygote_count;

static struct zygote *find(uint32_t id) {
  for (int i = 0; i < zygote_count; i++)
    if (zygotes[i].id == id) return &zygotes[i];
  return NULL;
}

int zygotes_add(uint32_t id) {
  int ends[2];
  if (zygote_count == ZYGOTES_MAX) errno = EAGAIN;
  if (zygote_count == ZYGOTES_MAX ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return -1;
  zygotes[zygote_count++] = (struct zygote){.id = id, .socket = ends[0]};
  return ends[1];
}

void zygotes_remove(uint32_t id) {
  struct zygote *one = find(id);
  if (one == NULL) return;
  if (one->socket >= 0) close(one->socket);
  *one = zygotes[--zygote_count];
}

static bool send_request(uint32_t zygote, const struct zygote_request *q, const int *fds,
                         size_t fd_count) {
  struct zygote *to = find(zygote);
  errno = ESRCH;
  return to != NULL && send_fds(to->socket, q, sizeof *q, fds, fd_count);
}

/* The helper passes it on, with the disk (layers.c). */
static bool send_to_helper(uint32_t zygote, struct layers_request *q, const int *fds, size_t fd_count) {
  struct zygote *to = find(zygote);
  int helper = to == NULL ? -1 : layers_socket(true), passed[ZYGOTE_FDS_MAX + 1];
  if (to == NULL) errno = ESRCH;
  if (helper < 0) return false;
  passed[0] = to->socket;
  memcpy(passed + 1, fds, fd_count * sizeof *fds);
  return send_fds(helper, q, sizeof *q, passed, fd_count + 1);
}

static int open_group(const char *kind, const char *directory) {
  if (strcmp(kind, "--cgroup-v2") == 0) return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char path[4096];
  snprintf(path, sizeof path, "%s/tasks", directory);
  return open(path, O_WRONLY | O_CLOEXEC);
}

/* What one of the arguments says; false when it is the name of a group. */
static bool read_argument(struct layers_request *q, const char *name, const char *text) {
  unsigned long long value = strtoull(text, NULL, 10);
  if (strcmp(name, "--uid") == 0) q->request.uid = value;
  else if (strcmp(name, "--disk-bytes") == 0) q->request.disk_bytes = value;
  else if (strcmp(name, "--disk-inodes") == 0) q->request.disk_inodes = value;
  else if (strcmp(name, "--host-uid") == 0) q->host_uid = value;
  else if (strcmp(name, "--tree-uid") == 0) q->tree_uid = value;
  else if (strcmp(name, "--tree-writes") == 0) q->writes = value;
  else if (strcmp(name, "--tree") == 0) snprintf(q->tree, sizeof q->tree, "%s", text);
  else return false;
  return true;
}

/* The arguments are pairs: see spawn.c. The v1 groups precede the v2 one. */
bool zygotes_fork(uint32_t jail, int connection, char **arguments, uint32_t *zygote, bool *helped) {
  struct layers_request q = {.request = {.id = jail, .what = ZYGOTE_FORK}};
  int fds[ZYGOTE_FDS_MAX] = {connection};
  size_t fd_count = 1;
  bool opened = true;
  *zygote = 0;
  for (char **at = arguments; opened && at[0] != NULL && at[1] != NULL; at += 2) {
    if (strcmp(at[0], "--zygote") == 0) *zygote = (uint32_t)strtoul(at[1], NULL, 10);
    else if (!read_argument(&q, at[0], at[1]) && fd_count < ZYGOTE_FDS_MAX) {
      int fd = open_group(at[0], at[1]);
      opened = fd >= 0;
      if (opened) fds[fd_count++] = fd;
      if (strcmp(at[0], "--cgroup-v2") == 0) q.request.v2_groups++;
      else q.request.v1_groups++;
    }
  }
  *helped = q.tree[0] != 0;
  bool sent = opened && (*helped ? send_to_helper(*zygote, &q, fds, fd_count)
                                 : send_request(*zygote, &q.request, fds, fd_count));
  int error = errno;
  for (size_t i = 1; i < fd_count; i++) close(fds[i]);
  errno = error;
  return sent;
}

void zygotes_kill(uint32_t zygote, uint32_t jail) {
  const struct zygote_request q = {.id = jail, .what = ZYGOTE_KILL};
  send_request(zygote, &q, NULL, 0);
}

int zygotes_poll(struct pollfd *fds) {
  for (int i = 0; i < zygote_count; i++)
    fds[i] = (struct pollfd){.fd = zygotes[i].socket, .events = POLLIN};
  return zygote_count;
}

bool zygotes_hear(int socket, struct zygote_end *end, uint32_t *gone) {
  ssize_t n = recv(socket, end, sizeof *end, MSG_DONTWAIT);
  *gone = 0;
  for (int i = 0; i < zygote_count && n == 0; i++) {
    if (zygotes[i].socket != socket) continue;
    *gone = zygotes[i].id;
    zygotes[i].socket = -1;
    close(socket);
  }
  return n == (ssize_t)sizeof *end;
}
