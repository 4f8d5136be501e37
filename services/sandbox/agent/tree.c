/*
 * Whole trees as one stream, for a copy of a jail's files that is kept, and for another jail that begins with them.
 * Both ends run in a jail with its tenant's rights (box.c), so a stream that a tenant made up makes files in the jail
 * that it is given to, and nowhere else; the host keeps its bytes and looks into none of them.
 *
 * No record has a path that could lead anywhere: a record names one thing in the folder that was entered last.
 * All little-endian; `str` is u32 length and bytes, `mtime` is i64 ns.
 *   "SYLA-FS1"
 *   'r' u32 root, u32 mode, mtime              a root begins, by its place in the arguments: entered
 *   'd' u32 mode, mtime, str name              a folder: entered
 *   '.'                                        left: what was entered last has its mode and time
 *   'f' u32 mode, mtime, u64 size, str name    then extents: u32 length, u64 offset, bytes; a length of 0 ends them
 *   'l' mtime, str name, str target            a symbolic link
 *   'h' str name, str path                     another name of a file that came before, its path below the root
 *   0                                          the end
 * A hole is what no extent covers. Left out are sockets, pipes and devices: they are counted. An owner is not told, as
 * a jail has but one user; set-id bits are not, as it may have none.
 */
#include "agent.h"
#include "box.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536, DEPTH_MAX = 256, BUFFER_BYTES = 256 * 1024, LINKS_MAX = 1 << 20 };
static const char MAGIC[8] = "SYLA-FS1";
static const mode_t MODE_BITS = 01777;

static uint8_t piece[PIECE_BYTES];

/* Told as "error ERRNO NAME" on standard error, which is all that is said there but the line of numbers. */
static _Noreturn void give_up(int error, const char *name) {
  fprintf(stderr, "error %d %.200s\n", error, name);
  exit(3);
}

static int64_t time_of(const struct stat *s) {
  return (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
}

/* ---- out ---- */

static uint64_t entries, bytes, skipped;

/* What has another name too, by its inode, and the first of its names. */
static struct known {
  ino_t inode;
  char *path;
} *known;
static size_t known_count, known_room;

/* Below the root; what is deeper than a path can say is a copy under each of its names. */
static char path[PATH_MAX];
static size_t path_length;

static void put_u64(uint64_t value) { put(&value, sizeof value); }
static void put_mtime(const struct stat *s) { put_u64((uint64_t)time_of(s)); }

/* Answers the length before. */
static size_t path_push(const char *name) {
  size_t before = path_length, length = strlen(name), slash = before > 0 ? 1 : 0;
  if (before + slash + length < sizeof path) {
    if (slash) path[before] = '/';
    memcpy(path + before + slash, name, length + 1);
  }
  path_length = before + slash + length;
  return before;
}

static void path_pop(size_t before) {
  path_length = before;
  if (before < sizeof path) path[before] = 0;
}

static const char *path_known(const struct stat *s, const char *name) {
  for (size_t i = 0; i < known_count; i++)
    if (known[i].inode == s->st_ino) return known[i].path;
  size_t before = path_push(name);
  bool fits = path_length < sizeof path;
  if (known_count == known_room && fits) {
    known_room = known_room == 0 ? 64 : known_room * 2;
    known = realloc(known, known_room * sizeof *known);
    if (known == NULL || known_room > LINKS_MAX) give_up(ENOMEM, name);
  }
  char *copy = fits ? strdup(path) : NULL;
  path_pop(before);
  if (copy != NULL) known[known_count++] = (struct known){.inode = s->st_ino, .path = copy};
  return NULL;
}

static mode_t lacks(const struct stat *s) {
  return (S_ISDIR(s->st_mode) ? 0500 : 0400) & ~s->st_mode;
}

/* One that its owner may not read is made readable for a moment, in which nothing else runs. */
static int open_own(int parent, const char *name, const struct stat *s, int flags) {
  if (lacks(s)) fchmodat(parent, name, (s->st_mode & 07777) | lacks(s), 0);
  return openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags);
}

static void put_extent(int fd, off_t from, off_t end) {
  while (from < end) {
    size_t most = end - from < PIECE_BYTES ? (size_t)(end - from) : PIECE_BYTES;
    ssize_t n = pread(fd, piece, most, from);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up(errno, "read");
    if (n == 0) return; /* shorter by now */
    put_u32((uint32_t)n);
    put_u64((uint64_t)from);
    put(piece, (size_t)n);
    bytes += (uint64_t)n;
    from += n;
  }
}

static void pack_file(int parent, const char *name, const struct stat *seen) {
  struct stat s;
  int fd = open_own(parent, name, seen, 0);
  if (fd < 0 && errno == ENOENT) return;
  if (fd < 0 || fstat(fd, &s) != 0) give_up(errno, name);
  if (!S_ISREG(s.st_mode)) {
    skipped++;
    close(fd);
    return;
  }
  if (lacks(seen)) fchmod(fd, seen->st_mode & 07777);
  putchar('f');
  put_u32(seen->st_mode & MODE_BITS);
  put_mtime(&s);
  put_u64((uint64_t)s.st_size);
  put_string(name);
  for (off_t at = 0; at < s.st_size;) {
    off_t from = lseek(fd, at, SEEK_DATA);
    off_t end = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);
    if (from < 0 || end < 0 || from >= s.st_size) break;
    if (end > s.st_size) end = s.st_size;
    put_extent(fd, from, end);
    at = end;
  }
  put_u32(0);
  entries++;
  close(fd);
}

static void pack_link(int parent, const char *name, const struct stat *s) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
  if (length < 0) return; /* gone */
  target[length] = 0;
  putchar('l');
  put_mtime(s);
  put_string(name);
  put_string(target);
  entries++;
}

static void pack_folder(int fd, int depth);

static void pack_entry(int parent, const char *name, int depth) {
  struct stat s;
  if (fstatat(parent, name, &s, AT_SYMLINK_NOFOLLOW) != 0) return; /* gone */
  if (S_ISLNK(s.st_mode)) return pack_link(parent, name, &s);
  if (S_ISDIR(s.st_mode)) {
    if (depth == DEPTH_MAX) give_up(ELOOP, "too deep");
    int fd = open_own(parent, name, &s, O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) return;
    if (fd < 0) give_up(errno, name);
    putchar('d');
    put_u32(s.st_mode & MODE_BITS);
    put_mtime(&s);
    put_string(name);
    entries++;
    size_t before = path_push(name);
    pack_folder(dup(fd), depth + 1);
    path_pop(before);
    if (lacks(&s)) fchmod(fd, s.st_mode & 07777);
    close(fd);
    return;
  }
  if (!S_ISREG(s.st_mode)) {
    skipped++;
    return;
  }
  const char *first = s.st_nlink > 1 ? path_known(&s, name) : NULL;
  if (first == NULL) return pack_file(parent, name, &s);
  putchar('h');
  put_string(name);
  put_string(first);
  entries++;
}

static void pack_folder(int fd, int depth) {
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) give_up(errno, "folder");
  for (struct dirent *d; (d = readdir(directory)) != NULL;) {
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    pack_entry(dirfd(directory), d->d_name, depth);
  }
  closedir(directory);
  putchar('.');
}

int tree_pack(int root_count, char **roots) {
  bool still = true;
  static char buffer[BUFFER_BYTES];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  int processes = hush(&still);
  put(MAGIC, sizeof MAGIC);
  for (int i = 0; i < root_count; i++) {
    struct stat s;
    int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) != 0) give_up(errno, roots[i]);
    putchar('r');
    put_u32((uint32_t)i);
    put_u32(s.st_mode & MODE_BITS);
    put_mtime(&s);
    known_count = 0; /* the roots are mounts of their own: no name of one leads into another */
    path_pop(0);
    pack_folder(fd, 1);
  }
  putchar(0);
  if (fflush(stdout) != 0) return 1;
  fprintf(stderr, "done %llu %llu %llu %d %d\n", (unsigned long long)entries,
          (unsigned long long)bytes, (unsigned long long)skipped, processes, still ? 1 : 0);
  return 0;
}

/* ---- in ---- */

static uint64_t made, made_max;

/* Where the disk counts no inodes, as that of a tree on the host. */
static void count_one(const char *name) {
  if (made++ == made_max) give_up(ENOSPC, name);
}

static struct entered {
  int fd;
  mode_t mode;
  int64_t mtime;
} stack[DEPTH_MAX + 1];
static int depth;

static void take(void *data, size_t length) {
  if (length > 0 && fread(data, 1, length, stdin) != length) give_up(ENODATA, "the stream ends early");
}

static uint32_t next_u32(void) {
  uint32_t value;
  take(&value, sizeof value);
  return value;
}

static uint64_t next_u64(void) {
  uint64_t value;
  take(&value, sizeof value);
  return value;
}

static char *take_text(char *text, size_t room) {
  uint32_t length = next_u32();
  if (length == 0 || length >= room) give_up(EPROTO, "length");
  take(text, length);
  text[length] = 0;
  if (strlen(text) != length) give_up(EPROTO, "NUL");
  return text;
}

static bool is_name(const char *text) {
  return *text != 0 && strchr(text, '/') == NULL && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static char *take_name(char name[NAME_MAX + 1]) {
  take_text(name, NAME_MAX + 1);
  if (!is_name(name)) give_up(EPROTO, "name");
  return name;
}

static void times_of(int64_t mtime, struct timespec times[2]) {
  int64_t seconds = mtime / 1000000000, nanoseconds = mtime % 1000000000;
  if (nanoseconds < 0) {
    nanoseconds += 1000000000;
    seconds--;
  }
  times[0] = (struct timespec){.tv_nsec = UTIME_NOW};
  times[1] = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
}

/* A time that this file system cannot hold is left as it is. */
static void finish(int fd, mode_t mode, int64_t mtime, const char *name) {
  struct timespec times[2];
  times_of(mtime, times);
  if (fchmod(fd, mode & MODE_BITS) != 0) give_up(errno, name);
  futimens(fd, times);
  close(fd);
}

static int parent(void) {
  if (depth == 0) give_up(EPROTO, "outside a root");
  return stack[depth - 1].fd;
}

static void enter(int fd, mode_t mode, int64_t mtime) {
  if (depth > DEPTH_MAX) give_up(ELOOP, "too deep");
  stack[depth++] = (struct entered){.fd = fd, .mode = mode, .mtime = mtime};
}

static void take_root(int root_count, char **roots) {
  uint32_t root = next_u32();
  mode_t mode = next_u32();
  int64_t mtime = (int64_t)next_u64();
  if (depth != 0 || root >= (uint32_t)root_count) give_up(EPROTO, "root");
  int fd = open(roots[root], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) give_up(errno, roots[root]);
  enter(fd, mode, mtime);
}

static void take_folder(void) {
  char name[NAME_MAX + 1];
  mode_t mode = next_u32();
  int64_t mtime = (int64_t)next_u64();
  take_name(name);
  count_one(name);
  if (mkdirat(parent(), name, 0700) != 0) give_up(errno, name);
  int fd = openat(parent(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) give_up(errno, name);
  enter(fd, mode, mtime);
}

static void leave(void) {
  if (depth == 0) give_up(EPROTO, "left too often");
  depth--;
  finish(stack[depth].fd, stack[depth].mode, stack[depth].mtime, "folder");
}

static void take_extents(int fd, uint64_t size, const char *name) {
  for (;;) {
    uint32_t length = next_u32();
    if (length == 0) return;
    uint64_t offset = next_u64();
    if (length > PIECE_BYTES || offset > size || length > size - offset) give_up(EPROTO, name);
    take(piece, length);
    for (size_t from = 0; from < length;) {
      ssize_t n = pwrite(fd, piece + from, length - from, (off_t)(offset + from));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) give_up(n < 0 ? errno : ENOSPC, name);
      from += (size_t)n;
    }
  }
}

static void take_file(void) {
  char name[NAME_MAX + 1];
  mode_t mode = next_u32();
  int64_t mtime = (int64_t)next_u64();
  uint64_t size = next_u64();
  take_name(name);
  count_one(name);
  int fd = openat(parent(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) give_up(errno, name);
  if (size > INT64_MAX) give_up(EFBIG, name);
  take_extents(fd, size, name);
  if (ftruncate(fd, (off_t)size) != 0) give_up(errno, name);
  finish(fd, mode, mtime, name);
}

static void take_link(void) {
  char name[NAME_MAX + 1], target[PATH_MAX];
  struct timespec times[2];
  times_of((int64_t)next_u64(), times);
  take_name(name);
  take_text(target, sizeof target);
  count_one(name);
  if (symlinkat(target, parent(), name) != 0) give_up(errno, name);
  utimensat(parent(), name, times, AT_SYMLINK_NOFOLLOW);
}

/* By descriptor and without following a link, as the stream may say anything. */
static void take_hard_link(void) {
  char name[NAME_MAX + 1], whole[PATH_MAX];
  take_name(name);
  count_one(name);
  char *rest = take_text(whole, sizeof whole);
  int to = parent(), at = dup(stack[0].fd);
  for (char *slash; at >= 0 && (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
    *slash = 0;
    if (!is_name(rest)) give_up(EPROTO, "path");
    int next = openat(at, rest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) give_up(errno, rest);
    close(at);
    at = next;
  }
  if (!is_name(rest)) give_up(EPROTO, "path");
  if (at < 0 || linkat(at, rest, to, name, 0) != 0) give_up(errno, name);
  close(at);
}

int tree_unpack(int root_count, char **roots, const char *most) {
  static char buffer[BUFFER_BYTES];
  made_max = number_of(most);
  char magic[sizeof MAGIC];
  setvbuf(stdin, buffer, _IOFBF, sizeof buffer);
  take(magic, sizeof magic);
  if (memcmp(magic, MAGIC, sizeof magic) != 0) give_up(EPROTO, "no such stream");
  for (;;) {
    int type = getchar();
    switch (type) {
      case 'r': take_root(root_count, roots); break;
      case 'd': take_folder(); break;
      case '.': leave(); break;
      case 'f': take_file(); break;
      case 'l': take_link(); break;
      case 'h': take_hard_link(); break;
      case 0:
        if (depth != 0) give_up(EPROTO, "the stream ends early");
        return 0;
      default: give_up(type == EOF ? ENODATA : EPROTO, "no such record");
    }
  }
}
