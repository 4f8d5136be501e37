/*
 * box watch: tells changes below a folder, as inotify has them.
 *
 *   CHANGE  'c' created, 'w' written, 'a' attributes, 'r' removed, 'm' moved, '!' some were lost;
 *           u8 whether a folder, str path, str the new path where it was moved
 *
 * What inotify leaves to do: each folder has a watch of its own, new ones get theirs, with what is
 * in them by then told as created; the two halves of a move come as one; and the paths of what is
 * below a folder that was moved change with it. Writes that follow one another are told once.
 */
#include "agent.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

static const uint32_t WATCHED = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE |
                                IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW |
                                IN_EXCL_UNLINK;
/* How long the second half of a move may come after the first. */
enum { MOVE_WAIT_MS = 20 };

static int notify;
static bool recursive;
static char **paths; /* of the folder of each watch, by its number; NULL where there is none */
static int paths_length;
static char last_written[PATH_MAX];

/* The first half of a move, until the second has come or does not. */
static struct {
  bool there, folder;
  uint32_t cookie;
  char path[PATH_MAX];
} leaving;

static void tell(char kind, bool folder, const char *path, const char *to) {
  putchar(kind);
  putchar(folder ? 1 : 0);
  put_string(path);
  put_string(to);
}

static void remember(int number, const char *path) {
  if (number >= paths_length) {
    int length = number * 2 + 16;
    char **more = realloc(paths, (size_t)length * sizeof *more);
    if (more == NULL) exit(1);
    memset(more + paths_length, 0, (size_t)(length - paths_length) * sizeof *more);
    paths = more;
    paths_length = length;
  }
  free(paths[number]);
  paths[number] = strdup(path);
}

/* Of a folder that was made or moved in, what was in it before its watch was there is told too. */
static bool add(const char *path, bool is_new) {
  int number = inotify_add_watch(notify, path, WATCHED);
  if (number < 0) return false;
  remember(number, path);
  if (!recursive) return true;
  DIR *directory = opendir(path);
  if (directory == NULL) return true;
  for (struct dirent *d; (d = readdir(directory)) != NULL;) {
    char below[PATH_MAX];
    struct stat s;
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    if ((size_t)snprintf(below, sizeof below, "%s/%s", path, d->d_name) >= sizeof below) continue;
    if (lstat(below, &s) != 0) continue;
    if (is_new) tell('c', S_ISDIR(s.st_mode), below, "");
    if (S_ISDIR(s.st_mode)) add(below, is_new);
  }
  closedir(directory);
  return true;
}

static bool is_below(const char *path, const char *folder) {
  size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void forget_below(const char *folder) {
  for (int i = 0; i < paths_length; i++)
    if (paths[i] != NULL && is_below(paths[i], folder)) inotify_rm_watch(notify, i);
}

static void move_below(const char *from, const char *to) {
  for (int i = 0; i < paths_length; i++) {
    char moved[PATH_MAX];
    if (paths[i] == NULL || !is_below(paths[i], from)) continue;
    if ((size_t)snprintf(moved, sizeof moved, "%s%s", to, paths[i] + strlen(from)) < sizeof moved)
      remember(i, moved);
  }
}

/* It went where nobody watches. */
static void settle_leaving(void) {
  if (!leaving.there) return;
  leaving.there = false;
  tell('r', leaving.folder, leaving.path, "");
  if (leaving.folder) forget_below(leaving.path);
}

static void arrived(const struct inotify_event *event, bool folder, const char *path) {
  if (leaving.there && leaving.cookie == event->cookie) {
    leaving.there = false;
    tell('m', folder, leaving.path, path);
    if (folder) move_below(leaving.path, path);
    return;
  }
  tell('c', folder, path, "");
  if (folder && recursive) add(path, true);
}

static void one(const struct inotify_event *event) {
  if (event->mask & IN_Q_OVERFLOW) return tell('!', false, "", "");
  const char *at = event->wd >= 0 && event->wd < paths_length ? paths[event->wd] : NULL;
  if (at == NULL) return;
  if (event->mask & IN_IGNORED) {
    free(paths[event->wd]);
    paths[event->wd] = NULL;
    return;
  }
  if (event->len == 0) return; /* of the folder itself: told by the one above */
  char path[PATH_MAX];
  bool folder = (event->mask & IN_ISDIR) != 0;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", at, event->name) >= sizeof path) return;
  bool written = (event->mask & (IN_MODIFY | IN_CLOSE_WRITE)) != 0;
  if (!written || strcmp(last_written, path) != 0) last_written[0] = 0;
  if (!(event->mask & IN_MOVED_TO)) settle_leaving();
  if (written) {
    if (last_written[0] == 0) tell('w', folder, path, "");
    /* When it is closed the next write is another. */
    snprintf(last_written, sizeof last_written, "%s", event->mask & IN_MODIFY ? path : "");
  } else if (event->mask & IN_CREATE) {
    tell('c', folder, path, "");
    if (folder && recursive) add(path, true);
  } else if (event->mask & IN_ATTRIB) {
    tell('a', folder, path, "");
  } else if (event->mask & IN_DELETE) {
    tell('r', folder, path, "");
  } else if (event->mask & IN_MOVED_TO) {
    arrived(event, folder, path);
    settle_leaving();
  } else if (event->mask & IN_MOVED_FROM) {
    leaving.there = true;
    leaving.folder = folder;
    leaving.cookie = event->cookie;
    snprintf(leaving.path, sizeof leaving.path, "%s", path);
  }
}

/* Whether there is one to read: at once when none is leaving, else after a moment for its other half. */
static bool more_comes(void) {
  struct pollfd p = {.fd = notify, .events = POLLIN};
  if (poll(&p, 1, leaving.there ? MOVE_WAIT_MS : 0) > 0) return true;
  settle_leaving();
  last_written[0] = 0;
  fflush(stdout);
  p.revents = 0;
  return poll(&p, 1, -1) > 0;
}

void watch(const char *path, bool all_below) {
  static char events[65536] __attribute__((aligned(8)));
  char at[PATH_MAX];
  recursive = all_below;
  notify = inotify_init1(IN_CLOEXEC);
  if (realpath(path, at) == NULL || notify < 0 || !add(at, false)) {
    put_error(errno, path);
    return;
  }
  putchar('s'); /* from here on nothing is missed */
  while (more_comes()) {
    ssize_t length = read(notify, events, sizeof events);
    if (length <= 0) return;
    for (char *next = events; next < events + length;) {
      const struct inotify_event *event = (const struct inotify_event *)(const void *)next;
      one(event);
      next += sizeof *event + event->len;
    }
    if (paths[1] == NULL) return; /* the folder itself is gone; its number is the first */
  }
}
