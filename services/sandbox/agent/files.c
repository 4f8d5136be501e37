/*
 * Files into and out of /work, from inside the jail and with the program's own rights: the host
 * never touches by path what the program could have touched. Every component is opened by
 * descriptor and without following links, so a name means what it says or is refused.
 */
#include "agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096 };
/* Of a tree: a path has to fit into a frame's writer, and every level has a buffer of its own. */
enum { TREE_PATH_BYTES_MAX = 960, TREE_DEPTH_MAX = 32, TREE_ENTRIES_BYTES = 2048 };

static int work_fd = -1;
static int file_fd = -1;
static int first_error;

void files_open(void) {
  work_fd = open("/work", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (work_fd < 0) fail("disk", "/work");
}

/* Told to the host at once; the next EXEC then does not start, as its files are not as asked. */
void files_note_error(int error, const char *what) {
  if (first_error == 0) first_error = error;
  struct writer w = {.length = 0};
  write_u32(&w, (uint32_t)error);
  write_string(&w, "file");
  write_string(&w, what);
  out_frame(FRAME_ERROR, 0, &w);
}

int files_take_error(void) {
  int error = first_error;
  first_error = 0;
  return error;
}

static bool component_is_plain(const char *name) {
  return *name != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strlen(name) <= 255;
}

/* The directory that holds the last component of `path`, which it cuts out; -1 with errno. */
static int open_parent(char *path, bool create, char **last) {
  if (strlen(path) >= PATH_BYTES_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  int directory = dup(work_fd);
  for (;;) {
    char *slash = strchr(path, '/');
    if (slash != NULL) *slash = 0;
    if (!component_is_plain(path)) {
      close(directory);
      errno = EINVAL;
      return -1;
    }
    if (slash == NULL) break;
    if (create && mkdirat(directory, path, 0755) != 0 && errno != EEXIST) {
      int error = errno;
      close(directory);
      errno = error;
      return -1;
    }
    int next = openat(directory, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    close(directory);
    errno = error;
    if (next < 0) return -1;
    directory = next;
    path = slash + 1;
  }
  *last = path;
  return directory;
}

void file_begin(struct reader *r) {
  file_end();
  uint32_t mode = read_u32(r);
  char *path = read_string(r), *last = NULL;
  char name[256];
  strncpy(name, path, sizeof name - 1);
  name[sizeof name - 1] = 0;
  int parent = r->bad ? -1 : open_parent(path, true, &last);
  if (r->bad) errno = EPROTO;
  if (parent < 0) {
    files_note_error(errno, name);
    return;
  }
  file_fd = openat(parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   (mode_t)(mode & 0777));
  if (file_fd < 0) files_note_error(errno, name);
  close(parent);
}

/* Data of a file that could not be made is dropped: the error was told already. */
void file_data(const uint8_t *bytes, size_t length) {
  while (length > 0 && file_fd >= 0) {
    ssize_t n = write(file_fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      files_note_error(n < 0 ? errno : ENOSPC, "write");
      file_end();
      return;
    }
    bytes += n;
    length -= (size_t)n;
  }
}

void file_end(void) {
  if (file_fd >= 0) close(file_fd);
  file_fd = -1;
}

static const char *reason_of(int error) {
  switch (error) {
    case ENOENT: return "not found";
    case ELOOP: return "symbolic link";
    case ENOTDIR: return "not below a directory";
    case EACCES: return "not readable";
    case EINVAL: return "not a path below the working directory";
    case EMEDIUMTYPE: return "not a regular file";
    default: return strerror(error);
  }
}

static void artifact_error(uint16_t index, int error) {
  struct writer w = {.length = 0};
  write_u32(&w, (uint32_t)error);
  write_string(&w, reason_of(error));
  out_frame(FRAME_ARTIFACT_ERROR, index, &w);
}

/* O_NONBLOCK: opening a FIFO must not wait for a writer that never comes. */
static int open_artifact(char *path, struct stat *about) {
  char *last = NULL;
  int parent = open_parent(path, false, &last);
  if (parent < 0) return -1;
  int fd = openat(parent, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  int error = errno;
  close(parent);
  errno = error == ENXIO ? EMEDIUMTYPE : error; /* a socket or a dead device cannot be opened */
  if (fd < 0) return -1;
  if (fstat(fd, about) == 0 && S_ISREG(about->st_mode)) return fd;
  close(fd);
  errno = EMEDIUMTYPE;
  return -1;
}

/* At most `max` bytes, whatever fstat said: the file may be sparse, or grow while it is read. */
static void send_artifact(uint16_t index, char *path, uint64_t max) {
  struct stat about;
  int fd = open_artifact(path, &about);
  if (fd < 0) {
    artifact_error(index, errno);
    return;
  }
  struct writer begin = {.length = 0};
  write_u64(&begin, (uint64_t)about.st_size);
  write_u32(&begin, about.st_mode & 0777);
  out_frame(FRAME_ARTIFACT_BEGIN, index, &begin);
  uint64_t sent = 0;
  bool more = true;
  while (sent < max && more) {
    out_flush_all();
    uint64_t left = max - sent;
    ssize_t n = read(fd, out_payload(), left < PAYLOAD_BYTES_MAX ? left : PAYLOAD_BYTES_MAX);
    if (n > 0) out_commit(FRAME_ARTIFACT_DATA, 0, index, (size_t)n);
    if (n > 0) sent += (uint64_t)n;
    more = n > 0;
  }
  uint8_t probe;
  bool truncated = more && read(fd, &probe, 1) == 1;
  close(fd);
  struct writer end = {.length = 0};
  write_u64(&end, sent);
  write_u8(&end, truncated);
  out_frame(FRAME_ARTIFACT_END, index, &end);
}

void collect(struct reader *r) {
  uint32_t count = read_u32(r);
  for (uint32_t i = 0; i < count && i <= UINT16_MAX; i++) {
    uint64_t max = read_u64(r);
    char *path = read_string(r);
    errno = EPROTO;
    if (r->bad) fail("frame", "COLLECT");
    send_artifact((uint16_t)i, path, max);
  }
  out_flush_all();
}

/* ---- a file, or a folder with all that is in it: the whole of it or an error ---- */

struct tree {
  uint64_t bytes_left;
  uint32_t entries_left;
  size_t length;
  char path[TREE_PATH_BYTES_MAX + 1];
};

static int send_tree_file(struct tree *t, int fd, const struct stat *about) {
  if ((uint64_t)about->st_size > t->bytes_left) return EFBIG;
  struct writer w = {.length = 0};
  write_u64(&w, (uint64_t)about->st_size);
  write_u32(&w, about->st_mode & 0777);
  write_string(&w, t->path);
  out_frame(FRAME_TREE_FILE, 0, &w);
  for (;;) {
    out_flush_all();
    ssize_t n = read(fd, out_payload(), PAYLOAD_BYTES_MAX);
    if (n <= 0) return n < 0 ? errno : 0;
    if ((uint64_t)n > t->bytes_left) return EFBIG;
    t->bytes_left -= (uint64_t)n;
    out_commit(FRAME_TREE_DATA, 0, 0, (size_t)n);
  }
}

static int send_tree(struct tree *t, int parent, const char *name, int depth);

static int send_tree_folder(struct tree *t, int fd, int depth) {
  static char entries[TREE_DEPTH_MAX][TREE_ENTRIES_BYTES] __attribute__((aligned(8)));
  if (depth >= TREE_DEPTH_MAX) return ENAMETOOLONG;
  for (;;) {
    long length = syscall(SYS_getdents64, fd, entries[depth], TREE_ENTRIES_BYTES);
    if (length <= 0) return length < 0 ? errno : 0;
    for (long at = 0; at < length;) {
      const struct dirent64 *entry = (const struct dirent64 *)(entries[depth] + at);
      at += entry->d_reclen;
      if (!component_is_plain(entry->d_name)) continue; /* itself and its parent */
      int error = send_tree(t, fd, entry->d_name, depth + 1);
      if (error != 0) return error;
    }
  }
}

static int send_tree(struct tree *t, int parent, const char *name, int depth) {
  size_t before = t->length, slash = before > 0, own = strlen(name);
  if (before + slash + own > TREE_PATH_BYTES_MAX) return ENAMETOOLONG;
  if (t->entries_left == 0) return EFBIG;
  t->entries_left--;
  int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno;
  if (slash) t->path[before] = '/';
  memcpy(t->path + before + slash, name, own + 1);
  t->length = before + slash + own;
  struct stat about;
  int error = fstat(fd, &about) != 0 ? errno : EMEDIUMTYPE;
  if (error == EMEDIUMTYPE && S_ISREG(about.st_mode)) error = send_tree_file(t, fd, &about);
  else if (error == EMEDIUMTYPE && S_ISDIR(about.st_mode)) error = send_tree_folder(t, fd, depth);
  close(fd);
  t->length = before;
  t->path[before] = 0;
  return error;
}

void collect_tree(struct reader *r) {
  static struct tree tree;
  memset(&tree, 0, sizeof tree);
  tree.bytes_left = read_u64(r);
  tree.entries_left = read_u32(r);
  const char *name = read_string(r);
  errno = EPROTO;
  if (r->bad) fail("frame", "COLLECT_TREE");
  int error = component_is_plain(name) && strchr(name, '/') == NULL ? 0 : EINVAL;
  if (error == 0) error = send_tree(&tree, work_fd, name, 0);
  struct writer w = {.length = 0};
  write_u32(&w, (uint32_t)error);
  out_frame(FRAME_TREE_END, 0, &w);
  out_flush_all();
}

/* Sum of the received and sent bytes of every interface, from /proc/net/dev. */
static uint64_t network_bytes(void) {
  char text[4096];
  int fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  uint64_t total = 0;
  for (char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon, ':')) {
    char *at = colon + 1;
    for (int field = 1; field <= 9; field++) {
      uint64_t value = strtoull(at, &at, 10);
      if (field == 1 || field == 9) total += value;
    }
    colon = at;
  }
  return total;
}

void usage_frame(uint16_t process) {
  struct statfs disk;
  if (statfs("/work", &disk) != 0) memset(&disk, 0, sizeof disk);
  uint64_t block = (uint64_t)disk.f_bsize;
  struct writer w = {.length = 0};
  write_u64(&w, (disk.f_blocks - disk.f_bfree) * block);
  write_u64(&w, disk.f_blocks * block);
  write_u64(&w, disk.f_files - disk.f_ffree);
  write_u64(&w, disk.f_files);
  write_u8(&w, disk.f_blocks > 0 && disk.f_bfree == 0);
  write_u8(&w, disk.f_files > 0 && disk.f_ffree == 0);
  write_u64(&w, network_bytes());
  out_frame(FRAME_USAGE, process, &w);
}
