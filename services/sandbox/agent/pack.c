/*
 * A folder as a row of entries, and back: what archives are made of, which the host reads and writes
 * as bytes. Both work from within the folder, by names below it.
 *
 * pack tells an ENTRY for each thing, parents first, and after that of a file what is in it: as many
 * bytes as the ENTRY says, or the rest cannot be had. The first thing that cannot be read is an
 * ERROR and the last that is told: an archive from which something is missing is none.
 *
 * unpack takes, until a 0:
 *   'f' u32 mode, i64 mtime s, str path; and PIECES
 *   'd' the same without: a folder, with those above it
 *   'l', 'h' and str target: a symbolic and a hard link
 *   'm' mode and time of a folder that is there, for when all is in it
 * What has a name already is replaced, but no folder is. It answers the first ERROR, and ends with it.
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

enum { DEPTH_MAX = 128 };

static uint64_t left; /* entries that may still be told */

static bool refuse(int error, const char *path) {
  put_error(error, path);
  return false;
}

static bool pack_file(const char *path) {
  struct stat s;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return errno == ENOENT ? true : refuse(errno, path);
  if (fstat(fd, &s) != 0) return refuse(errno, path);
  if (S_ISREG(s.st_mode)) { /* its size is that of what is read, whoever else has the name by now */
    put_entry(path, path, &s);
    put_content(fd, (uint64_t)s.st_size);
  }
  close(fd);
  return true;
}

static bool pack_below(char *path, int depth);

static bool pack_one(char *path, int depth) {
  struct stat s;
  if (lstat(path, &s) != 0) return true; /* gone in the meantime */
  if (!S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode) && !S_ISLNK(s.st_mode)) return true;
  if (left-- == 0) return refuse(E2BIG, path);
  if (S_ISREG(s.st_mode)) return pack_file(path);
  put_entry(path, path, &s);
  if (S_ISLNK(s.st_mode)) return true;
  return depth == 0 ? refuse(ENAMETOOLONG, path) : pack_below(path, depth - 1);
}

static bool pack_below(char *path, int depth) {
  DIR *directory = opendir(path[0] == 0 ? "." : path);
  if (directory == NULL) return errno == ENOENT ? true : refuse(errno, path);
  size_t length = strlen(path);
  bool goes_on = true;
  for (struct dirent *d; goes_on && (d = readdir(directory)) != NULL;) {
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    if (length + 1 + strlen(d->d_name) >= PATH_MAX) {
      goes_on = refuse(ENAMETOOLONG, path);
      break;
    }
    snprintf(path + length, PATH_MAX - length, "%s%s", length == 0 ? "" : "/", d->d_name);
    goes_on = pack_one(path, depth);
    path[length] = 0;
  }
  closedir(directory);
  return goes_on;
}

void pack(const char *path, const char *most) {
  char at[PATH_MAX] = "";
  left = number_of(most);
  if (chdir(path) != 0) put_error(errno, path);
  else pack_below(at, DEPTH_MAX);
}

/* ---- and back ---- */

/* A name that is free, in the same folder: the longest name that there can be has no room for more. */
static void name_beside(const char *path, char beside[PATH_MAX + 16]) {
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash + 1 - path);
  memcpy(beside, path, length);
  strcpy(beside + length, ".part.XXXXXX");
}

static int give_times(const char *path, int64_t mtime) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime}};
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static int unpack_file(const char *path, mode_t mode, int64_t mtime) {
  char beside[PATH_MAX + 16];
  int error = make_parents(path) == 0 ? 0 : errno;
  name_beside(path, beside);
  int fd = error == 0 ? mkostemp(beside, O_CLOEXEC) : -1;
  if (error == 0 && fd < 0) error = errno;
  if (error == 0) error = take_content(fd, true);
  if (error == 0 && fchmod(fd, mode) != 0) error = errno;
  if (error == 0 && give_times(beside, mtime) != 0) error = errno;
  if (error == 0 && rename(beside, path) != 0) error = errno;
  if (error != 0 && fd >= 0) unlink(beside);
  if (fd >= 0) close(fd);
  return error;
}

static int unpack_link(char type, const char *path, const char *target, int64_t mtime) {
  char beside[PATH_MAX + 16];
  struct stat s;
  if (make_parents(path) != 0) return errno;
  if (lstat(path, &s) == 0 && S_ISDIR(s.st_mode)) return EEXIST;
  name_beside(path, beside);
  int fd = mkostemp(beside, O_CLOEXEC); /* a name that nobody has */
  if (fd < 0) return errno;
  close(fd);
  unlink(beside);
  if ((type == 'l' ? symlink(target, beside) : link(target, beside)) != 0) return errno;
  if (type == 'l') give_times(beside, mtime);
  int error = rename(beside, path) == 0 ? 0 : errno;
  unlink(beside); /* two names of one file are not renamed */
  return error;
}

static int unpack_folder(const char *path) {
  return make_folders(path, 0755) == 0 ? 0 : errno;
}

static int finish_folder(const char *path, mode_t mode, int64_t mtime) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime}};
  int error = futimens(fd, times) == 0 && fchmod(fd, mode) == 0 ? 0 : errno;
  close(fd);
  return error;
}

void unpack(const char *into) {
  if (make_folders(into, 0755) != 0 || chdir(into) != 0) return put_error(errno, into);
  for (int type; (type = getchar()) != 0;) {
    char path[PATH_MAX], target[PATH_MAX];
    int64_t mtime;
    if (type == EOF) exit(1);
    mode_t mode = take_u32() & 0777;
    take_bytes(&mtime, sizeof mtime);
    take_path(path);
    if (type == 'l' || type == 'h') take_path(target);
    int error = EINVAL;
    if (type == 'f') error = unpack_file(path, mode, mtime);
    else if (type == 'd') error = unpack_folder(path);
    else if (type == 'm') error = finish_folder(path, mode, mtime);
    else if (type == 'l' || type == 'h') error = unpack_link((char)type, path, target, mtime);
    else exit(2);
    if (error != 0) return put_error(error, path);
  }
}
