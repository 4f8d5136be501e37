/*
 * shed settle FOLDER | remove FOLDER NAME...
 *
 * Looks after trees in the data folder that jails begin with (layers.c). Their names are a tenant's, and so is how deep
 * they go: nothing here makes a path out of them, or follows a link. Nobody else writes there when this is called.
 *
 *   settle   waits until all of a tree is on the disk, and tells how many bytes it takes; fails where there is
 *            anything in it but files, folders and links of the owner of its folders
 *   remove   takes away a tree with all that is in it
 */
#include "agent.h"
#include "layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What unpacks one goes no deeper than 256. */
enum { DEEPEST = 300, BLOCK_BYTES = 4096 };

static _Noreturn void refuse(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_folder(int at, const char *name) {
  return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* ---- settle ---- */

static uint64_t bytes;
static struct stat top;

static void look_at(const struct stat *s) {
  errno = EPERM;
  if (!S_ISREG(s->st_mode) && !S_ISDIR(s->st_mode) && !S_ISLNK(s->st_mode)) refuse("kind");
  if (s->st_uid != top.st_uid || s->st_gid != top.st_gid || s->st_dev != top.st_dev) refuse("owner");
  if (!S_ISLNK(s->st_mode) && (s->st_mode & (S_ISUID | S_ISGID)) != 0) refuse("mode");
  /* What has no bytes counts as a block all the same: the disk has not more inodes than it likes either. */
  uint64_t taken = s->st_blocks == 0 ? BLOCK_BYTES : (uint64_t)s->st_blocks * 512;
  bytes += S_ISDIR(s->st_mode) ? taken : taken / s->st_nlink;
}

static void look_below(int fd, int depth) {
  DIR *folder = fd < 0 || depth > DEEPEST ? NULL : fdopendir(fd);
  if (folder == NULL) refuse("folder");
  for (struct dirent *d; (d = readdir(folder)) != NULL;) {
    struct stat s;
    if (is_dots(d->d_name)) continue;
    if (fstatat(fd, d->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) refuse("entry");
    look_at(&s);
    if (S_ISDIR(s.st_mode)) look_below(open_folder(fd, d->d_name), depth + 1);
  }
  closedir(folder);
}

static int settle(const char *path) {
  static const char *const roots[] = {"work", "tmp"};
  int fd = open_folder(AT_FDCWD, path);
  if (fd < 0 || fstatat(fd, roots[0], &top, AT_SYMLINK_NOFOLLOW) != 0) refuse("tree");
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
    struct stat s;
    int root = open_folder(fd, roots[i]);
    if (root < 0 || fstat(root, &s) != 0) refuse("root");
    look_at(&s);
    look_below(root, 1);
  }
  if (syncfs(fd) != 0) refuse("sync");
  printf("%llu\n", (unsigned long long)bytes);
  return 0;
}

/* ---- remove ---- */

static unsigned long moved;

/* What is in a folder goes, and folders in it to the top, under numbers: so however deep it was, two are open. */
static void empty_out(int at, int fd) {
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (folder == NULL) refuse("folder");
  for (struct dirent *d; (d = readdir(folder)) != NULL;) {
    char number[32];
    if (is_dots(d->d_name) || unlinkat(fd, d->d_name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) refuse("file");
    if (unlinkat(fd, d->d_name, AT_REMOVEDIR) == 0) continue;
    int failed;
    do {
      snprintf(number, sizeof number, ".%lu", moved++);
      failed = renameat(fd, d->d_name, at, number);
    } while (failed != 0 && (errno == ENOTEMPTY || errno == EEXIST)); /* left by one that was ended */
    if (failed != 0) refuse("move");
  }
  closedir(folder);
}

/* The folders at the top of a tree, which become more while it is emptied; false when there was none. */
static bool remove_top(int at) {
  bool found = false;
  DIR *folder = fdopendir(dup(at));
  if (folder == NULL) refuse("tree");
  rewinddir(folder);
  for (struct dirent *d; (d = readdir(folder)) != NULL;) {
    if (is_dots(d->d_name)) continue;
    found = true;
    int fd = open_folder(at, d->d_name);
    if (fd >= 0) empty_out(at, fd);
    if (unlinkat(at, d->d_name, fd >= 0 ? AT_REMOVEDIR : 0) != 0) refuse("top");
  }
  closedir(folder);
  return found;
}

static void remove_tree(int folder, const char *name) {
  int at = open_folder(folder, name);
  if (at < 0 && (errno == ENOTDIR || errno == ELOOP) && unlinkat(folder, name, 0) == 0) return;
  if (at < 0 && errno == ENOENT) return;
  if (at < 0) refuse("tree");
  moved = 0;
  while (remove_top(at)) continue;
  close(at);
  if (unlinkat(folder, name, AT_REMOVEDIR) != 0) refuse("tree");
}

int shed_main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[0], "settle") == 0) return settle(argv[1]);
  if (argc < 3 || strcmp(argv[0], "remove") != 0) return 64;
  int folder = open_folder(AT_FDCWD, argv[1]);
  if (folder < 0) refuse("folder");
  for (int i = 2; i < argc; i++) remove_tree(folder, argv[i]);
  return 0;
}
