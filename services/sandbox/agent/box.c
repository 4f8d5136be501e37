/*
 * box OPERATION ARGUMENTS...
 *
 * What the host asks of the files in a jail that stays: a program like the tenant's own, started as
 * they are and with no more rights, whose streams carry records. So the host never follows a path
 * that the tenant could have bent, and a large or slow transfer waits like any program's output.
 * What it says is the tenant's word: it is about the tenant's own files, and the host bounds it.
 *
 *   stat PATH...             an ENTRY for each, of a link itself
 *   list PATH DEPTH MAX      an ENTRY for each below it, parents first
 *   read PATH MAX START      an ENTRY and what is in it, from a place on; a negative one is from the end
 *   write 0|1                takes ENTRIES and what is in them, answers an ENTRY for each; 1 stops at the first fault
 *   mkdir PATH               with its parents
 *   move FROM TO
 *   remove PATH              with all below it
 *   pack PATH MAX            what is below a folder (pack.c)
 *   unpack PATH              the same back
 *   watch PATH 0|1           CHANGES in it, or in all below it, until it is ended (watch.c)
 *   pack-tree ROOT...        all that is below them, while nothing else runs (tree.c, hush.c)
 *   unpack-tree MAX ROOT...  the same again, into roots that are empty
 *
 * All little-endian; `str` is u32 length and bytes.
 *   ENTRY   'f' file, 'd' folder, 'l' link, 'o' other; u32 mode, u64 size, i64 mtime ns, str path, str target
 *   ERROR   'e', u32 errno, str path
 *   PIECE   u32 length, bytes; a length of 0 ends a file, one of ~0 says that the rest cannot be had
 *   END     0
 */
#include "agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "tree.h"

enum { PIECE_BYTES = 65536, DEPTH_MAX = 128 };
static const uint32_t PIECE_BROKEN = UINT32_MAX;

static uint8_t piece[PIECE_BYTES];

/* ---- records ---- */

void put(const void *bytes, size_t length) {
  if (fwrite(bytes, 1, length, stdout) != length) exit(1); /* nobody listens */
}

void put_u32(uint32_t value) { put(&value, sizeof value); }
static void put_u64(uint64_t value) { put(&value, sizeof value); }

void put_string(const char *text) {
  put_u32((uint32_t)strlen(text));
  put(text, strlen(text));
}

void put_error(int error, const char *path) {
  putchar('e');
  put_u32((uint32_t)error);
  put_string(path);
}

void put_entry(const char *shown, const char *path, const struct stat *s) {
  char target[PATH_MAX];
  ssize_t length = S_ISLNK(s->st_mode) ? readlink(path, target, sizeof target - 1) : 0;
  target[length > 0 ? length : 0] = 0;
  putchar(S_ISREG(s->st_mode)   ? 'f'
          : S_ISDIR(s->st_mode) ? 'd'
          : S_ISLNK(s->st_mode) ? 'l'
                                : 'o');
  put_u32(s->st_mode & 07777);
  put_u64((uint64_t)s->st_size);
  put_u64((uint64_t)s->st_mtim.tv_sec * 1000000000u + (uint64_t)s->st_mtim.tv_nsec);
  put_string(shown);
  put_string(target);
}

static bool put_stat(const char *path) {
  struct stat s;
  if (lstat(path, &s) != 0) {
    put_error(errno, path);
    return false;
  }
  put_entry(path, path, &s);
  return true;
}

/* ---- looking ---- */

/* What is done with each thing below a folder; answers whether to go on. */
typedef bool (*visit)(const char *path, const struct stat *s);

static uint64_t left; /* entries that may still be told */

/* By name and not by descriptor: a tenant that bends the path meanwhile is shown its own files. */
static bool walk(char *path, int depth, visit visits) {
  DIR *directory = opendir(path);
  if (directory == NULL) {
    put_error(errno, path);
    return true;
  }
  size_t length = strlen(path);
  bool goes_on = true;
  for (struct dirent *d; goes_on && (d = readdir(directory)) != NULL;) {
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    if (length + 1 + strlen(d->d_name) >= PATH_MAX) continue;
    snprintf(path + length, PATH_MAX - length, "%s%s", path[length - 1] == '/' ? "" : "/",
             d->d_name);
    struct stat s;
    if (lstat(path, &s) != 0) continue; /* gone in the meantime */
    goes_on = visits(path, &s);
    if (goes_on && S_ISDIR(s.st_mode) && depth > 1) goes_on = walk(path, depth - 1, visits);
    path[length] = 0;
  }
  closedir(directory);
  return goes_on;
}

static bool tell_entry(const char *path, const struct stat *s) {
  if (left-- == 0) {
    put_error(E2BIG, path);
    return false;
  }
  put_entry(path, path, s);
  return true;
}

void put_content(int fd, uint64_t most) {
  for (;;) {
    ssize_t n = most == 0 ? 0 : read(fd, piece, most < PIECE_BYTES ? (size_t)most : PIECE_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return put_u32(n < 0 ? PIECE_BROKEN : 0);
    put_u32((uint32_t)n);
    put(piece, (size_t)n);
    most -= (uint64_t)n;
  }
}

static void list(const char *path, const char *depth, const char *most) {
  char at[PATH_MAX];
  left = number_of(most);
  unsigned long long levels = number_of(depth);
  snprintf(at, sizeof at, "%s", path);
  walk(at, levels < DEPTH_MAX ? (int)levels : DEPTH_MAX, tell_entry);
}

/* The file that a link leads to, as who opens it gets it. */
static void read_all(const char *path, const char *most, const char *from) {
  char at[PATH_MAX];
  struct stat s;
  if (realpath(path, at) == NULL || lstat(at, &s) != 0) return put_error(errno, path);
  if (!S_ISREG(s.st_mode)) return put_error(S_ISDIR(s.st_mode) ? EISDIR : EINVAL, path);
  int fd = open(at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return put_error(errno, path);
  if (fstat(fd, &s) != 0) return put_error(errno, path);
  long long start = strtoll(from, NULL, 10);
  if (start < 0) start = start + s.st_size < 0 ? 0 : start + s.st_size;
  if (start > 0) lseek(fd, start, SEEK_SET);
  put_entry(at, at, &s);
  put_content(fd, number_of(most));
  close(fd);
}

/* ---- changing ---- */

int make_folders(const char *path, mode_t mode) {
  char at[PATH_MAX];
  struct stat s;
  snprintf(at, sizeof at, "%s", path);
  for (char *slash = at + 1; *slash != 0; slash++) {
    if (*slash != '/') continue;
    *slash = 0;
    if (mkdir(at, 0755) != 0 && errno != EEXIST) return -1;
    *slash = '/';
  }
  if (mkdir(at, mode) == 0) return 0;
  if (errno == EEXIST && stat(at, &s) == 0 && S_ISDIR(s.st_mode)) return 0;
  return -1;
}

int make_parents(const char *path) {
  char at[PATH_MAX];
  snprintf(at, sizeof at, "%s", path);
  char *slash = strrchr(at, '/');
  if (slash == NULL || slash == at) return 0;
  *slash = 0;
  return make_folders(at, 0755);
}

static bool remove_one(const char *path, const struct stat *s);

static int remove_all(const char *path) {
  struct stat s;
  if (lstat(path, &s) != 0) return -1;
  char at[PATH_MAX];
  snprintf(at, sizeof at, "%s", path);
  if (S_ISDIR(s.st_mode)) walk(at, 1, remove_one);
  return S_ISDIR(s.st_mode) ? rmdir(path) : unlink(path);
}

static bool remove_one(const char *path, const struct stat *s) {
  (void)s;
  if (remove_all(path) != 0) put_error(errno, path);
  return true;
}

void take_bytes(void *bytes, size_t length) {
  if (length > 0 && fread(bytes, 1, length, stdin) != length) exit(1); /* the host has left */
}

uint32_t take_u32(void) {
  uint32_t value;
  take_bytes(&value, sizeof value);
  return value;
}

void take_path(char path[PATH_MAX]) {
  uint32_t length = take_u32();
  if (length == 0 || length >= PATH_MAX) exit(2);
  take_bytes(path, length);
  path[length] = 0;
}

int take_content(int fd, bool stops) {
  int error = fd < 0 ? EBADF : 0;
  for (;;) {
    if (stops && error != 0) return error;
    uint32_t length = take_u32();
    if (length == 0) return error;
    if (length == PIECE_BROKEN) return ECANCELED;
    if (length > PIECE_BYTES) exit(2);
    take_bytes(piece, length);
    for (size_t from = 0; from < length && error == 0;) {
      ssize_t n = write(fd, piece + from, length - from);
      if (n < 0 && errno != EINTR) error = errno;
      if (n > 0) from += (size_t)n;
    }
  }
}

/* Whole or not at all: what has the name already is replaced when the last byte is there. */
static int write_file_at(const char *path, mode_t mode, bool stops) {
  char target[PATH_MAX], beside[PATH_MAX + 16];
  struct stat s;
  bool is_there = realpath(path, target) != NULL;
  if (!is_there) snprintf(target, sizeof target, "%s", path);
  int error = !is_there && make_parents(path) != 0 ? errno : 0;
  if (is_there && stat(target, &s) == 0) {
    if (S_ISDIR(s.st_mode)) error = EISDIR;
    if (mode == 0) mode = s.st_mode & 07777;
  }
  snprintf(beside, sizeof beside, "%s.XXXXXX", target);
  int fd = error == 0 ? mkostemp(beside, O_CLOEXEC) : -1;
  if (error == 0 && fd < 0) error = errno;
  int failed = take_content(fd, stops);
  if (error == 0) error = failed;
  if (error == 0 && fchmod(fd, mode == 0 ? 0644 : mode) != 0) error = errno;
  if (error == 0 && rename(beside, target) != 0) error = errno;
  if (error != 0 && fd >= 0) unlink(beside);
  if (fd >= 0) close(fd);
  return error;
}

static int write_link_at(const char *path) {
  char target[PATH_MAX];
  take_path(target);
  if (make_parents(path) != 0) return errno;
  return symlink(target, path) == 0 ? 0 : errno;
}

static void write_all(bool stops) {
  for (int type; (type = getchar()) != 0;) {
    char path[PATH_MAX];
    if (type == EOF) exit(1);
    mode_t mode = take_u32() & 0777;
    take_path(path);
    int error = EINVAL;
    if (type == 'f') error = write_file_at(path, mode, stops);
    else if (type == 'd') error = make_folders(path, mode == 0 ? 0755 : mode) == 0 ? 0 : errno;
    else if (type == 'l') error = write_link_at(path);
    else exit(2);
    if (error != 0) put_error(error, path);
    else put_stat(path);
    if (error != 0 && stops) return;
  }
}

static void move_to(const char *from, const char *to) {
  if (make_parents(to) != 0 || rename(from, to) != 0) put_error(errno, from);
  else put_stat(to);
}

int box_main(int argc, char **argv) {
  const char *operation = argc > 0 ? argv[0] : "";
  static char buffer[PIECE_BYTES];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  umask(022);
  if (strcmp(operation, "pack-tree") == 0) return tree_pack(argc - 1, argv + 1);
  if (strcmp(operation, "unpack-tree") == 0 && argc > 1)
    return tree_unpack(argc - 2, argv + 2, argv[1]);
  if (strcmp(operation, "stat") == 0) {
    for (int i = 1; i < argc; i++) put_stat(argv[i]);
  } else if (strcmp(operation, "list") == 0 && argc == 4) {
    list(argv[1], argv[2], argv[3]);
  } else if (strcmp(operation, "read") == 0 && argc == 4) {
    read_all(argv[1], argv[2], argv[3]);
  } else if (strcmp(operation, "write") == 0 && argc == 2) {
    write_all(strcmp(argv[1], "1") == 0);
  } else if (strcmp(operation, "pack") == 0 && argc == 3) {
    pack(argv[1], argv[2]);
  } else if (strcmp(operation, "unpack") == 0 && argc == 2) {
    unpack(argv[1]);
  } else if (strcmp(operation, "mkdir") == 0 && argc == 2) {
    if (make_folders(argv[1], 0755) != 0) put_error(errno, argv[1]);
    else put_stat(argv[1]);
  } else if (strcmp(operation, "move") == 0 && argc == 3) {
    move_to(argv[1], argv[2]);
  } else if (strcmp(operation, "remove") == 0 && argc == 2) {
    if (remove_all(argv[1]) != 0) put_error(errno, argv[1]);
  } else if (strcmp(operation, "watch") == 0 && argc == 3) {
    watch(argv[1], strcmp(argv[2], "1") == 0);
  } else {
    fprintf(stderr, "box: unknown operation\n");
    return 2;
  }
  putchar(0);
  return fflush(stdout) == 0 ? 0 : 1;
}
