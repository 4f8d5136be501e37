/*
 * Disks that begin with a tree: what a template brings lies below, once for all, and what a sandbox writes lies above
 * it, in a tmpfs of its own that holds it to its quota. An overlay shows both as one.
 *
 *   tree (a folder of the host)  --clone, id-mapped, read-only-->  l --+
 *   tmpfs of this jail: u (what it writes), w (the overlay's own) -> d -+-- overlay -- /work, /tmp
 *                       shm                                         +-- /dev/shm
 *
 * Only the host's root can have all of it: an id-mapped mount of a disk's file system, and an overlay that renames
 * folders and keeps hard links, which it remembers in attributes that no tenant can write (trusted.*). So it is made
 * here, outside, with options that are fixed, and goes as detached mounts with the request for the jail to the
 * zygote's child, which puts them up in place of its own tmpfs (walls.c). The overlay looks below with the powers of
 * who made it; who asks is held to the modes and owners that it shows, where the tree's one owner is the jail's user.
 *
 * A process of its own, forked by spawn at the first such jail, in a mount namespace of its own: what is staged here
 * is nowhere else, and is gone with it, however it ends. Names that are shown by /proc/self/mountinfo in a jail are
 * relative to the staging place, and say nothing.
 *
 * A tree is made the same way: a jail that has the tree itself, id-mapped, as /work and /tmp, and in which nothing runs
 * but `box unpack-tree`. So the host makes no path out of what a tenant named.
 */
#include "agent.h"
#include "layers.h"
#include "mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beside the program's: root, u, w, shm, the overlay's own three folders, its whiteout, and the two folders that are
   copied up at the first write. */
enum { OWN_INODES = 16 };

/* A mount of what is there, nowhere yet. */
static int clone_mount(const char *path) {
  return (int)syscall(CALL_OPEN_TREE, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
}

static int open_fs(const char *name) { return (int)syscall(CALL_FSOPEN, name, FS_CLOSE_ON_EXEC); }

static bool set_option(int fs, const char *key, const char *value) {
  return syscall(CALL_FSCONFIG, fs, CONFIG_STRING, key, value, 0) == 0;
}

/* A mount of what was configured, nowhere yet; -1 with errno. Ends the configuration. */
static int mount_of(int fs) {
  int mounted = -1;
  if (syscall(CALL_FSCONFIG, fs, CONFIG_CREATE, NULL, NULL, 0) == 0)
    mounted = (int)syscall(CALL_FSMOUNT, fs, FS_CLOSE_ON_EXEC, ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV);
  int error = errno;
  close(fs);
  errno = error;
  return mounted;
}

static bool attach(int mounted, const char *path) {
  return syscall(CALL_MOVE_MOUNT, mounted, "", AT_FDCWD, path, MOVE_EMPTY_PATH) == 0;
}

/* ---- what is stacked ---- */

static bool write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return written;
}

/* A user namespace that says which uid becomes which: an id-mapped mount is told so. Needs a process in it to be made,
   and none to stay. */
static int open_mapping(uint64_t from, uint64_t to) {
  char path[64], map[64];
  struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  if (pid < 0) return -1;
  snprintf(map, sizeof map, "%llu %llu 1", (unsigned long long)from, (unsigned long long)to);
  snprintf(path, sizeof path, "/proc/%ld/uid_map", pid);
  bool mapped = write_text(path, map);
  snprintf(path, sizeof path, "/proc/%ld/gid_map", pid);
  mapped = mapped && write_text(path, map);
  snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
  int fd = mapped ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  int error = errno;
  kill((pid_t)pid, SIGKILL);
  waitpid((pid_t)pid, NULL, 0);
  errno = error;
  return fd;
}

/* The tree, or a folder of it, as its files belong to the jail's user. */
static int map_tree(const char *path, const struct layers_request *q) {
  int tree = clone_mount(path), mapping = tree < 0 ? -1 : open_mapping(q->tree_uid, q->host_uid);
  const struct mount_attributes attributes = {
      .set = ATTRIBUTE_IDMAP | ATTRIBUTE_NOSUID | ATTRIBUTE_NODEV | (q->writes ? 0 : ATTRIBUTE_RDONLY),
      .user_namespace = (uint64_t)mapping,
  };
  bool mapped = mapping >= 0 &&
                syscall(CALL_MOUNT_SETATTR, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
  int error = errno;
  if (mapping >= 0) close(mapping);
  if (!mapped && tree >= 0) close(tree);
  errno = error;
  return mapped ? tree : -1;
}

/* Mounts it at d, with a folder for each use. */
static bool make_top(const struct layers_request *q) {
  char size[32], inodes[32];
  const struct zygote_request *r = &q->request;
  snprintf(size, sizeof size, "%llu", (unsigned long long)r->disk_bytes);
  snprintf(inodes, sizeof inodes, "%llu", (unsigned long long)r->disk_inodes + OWN_INODES);
  errno = EINVAL; /* a size of 0 means no limit */
  int fs = r->disk_bytes == 0 || r->disk_inodes == 0 ? -1 : open_fs("tmpfs");
  if (fs < 0) return false;
  if (!set_option(fs, "source", "disk") || !set_option(fs, "size", size) ||
      !set_option(fs, "nr_inodes", inodes) || !set_option(fs, "mode", "0755")) {
    close(fs);
    return false;
  }
  int top = mount_of(fs);
  bool made = top >= 0 && attach(top, "d") && mkdir("d/u", 0755) == 0 && mkdir("d/w", 0700) == 0 &&
              mkdir("d/shm", 0777) == 0 && chmod("d/shm", 01777) == 0 &&
              chown("d/shm", (uid_t)q->host_uid, (gid_t)q->host_uid) == 0;
  int error = errno;
  if (top >= 0) close(top);
  errno = error;
  return made;
}

/* redirect_dir: folders from below can be renamed. index: hard links from below stay one file. xino: all is of one
   device. No metacopy: who changes a file has it, and the tree is not asked for its bytes later. */
static bool make_overlay(void) {
  static const char *const options[][2] = {
      {"source", "disk"},     {"lowerdir", "l"}, {"upperdir", "d/u"}, {"workdir", "d/w"},
      {"redirect_dir", "on"}, {"index", "on"},   {"xino", "auto"},      {"metacopy", "off"},
      {"nfs_export", "off"},
  };
  int fs = open_fs("overlay");
  if (fs < 0) return false;
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    if (set_option(fs, options[i][0], options[i][1])) continue;
    close(fs);
    return false;
  }
  int overlay = mount_of(fs);
  bool made = overlay >= 0 && attach(overlay, "o");
  int error = errno;
  if (overlay >= 0) close(overlay);
  errno = error;
  return made;
}

static bool stack_up(const struct layers_request *q) {
  int below = map_tree(q->tree, q);
  bool made = below >= 0 && attach(below, "l") && make_top(q) && make_overlay();
  int error = errno;
  if (below >= 0) close(below);
  errno = error;
  return made;
}

/* What was staged is left to those who hold it. */
static void unstage(void) {
  int error = errno;
  static const char *const places[] = {"o", "l", "d"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    while (umount2(places[i], MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  errno = error;
}

/* The mounts for /work, /tmp and /dev/shm; false with errno, and then none. */
static bool make_layers(const struct layers_request *q, int mounts[ZYGOTE_MOUNTS]) {
  char work[PATH_MAX + 8], tmp[PATH_MAX + 8];
  for (int i = 0; i < ZYGOTE_MOUNTS; i++) mounts[i] = -1;
  bool made = q->writes ? make_top(q) : stack_up(q);
  if (made && q->writes) {
    snprintf(work, sizeof work, "%s/work", q->tree);
    snprintf(tmp, sizeof tmp, "%s/tmp", q->tree);
    mounts[0] = map_tree(work, q);
    mounts[1] = mounts[0] < 0 ? -1 : map_tree(tmp, q);
  } else if (made) {
    mounts[0] = clone_mount("o/work");
    mounts[1] = mounts[0] < 0 ? -1 : clone_mount("o/tmp");
  }
  if (mounts[1] >= 0) mounts[2] = clone_mount("d/shm");
  unstage();
  if (mounts[2] >= 0) return true;
  int error = errno;
  for (int i = 0; i < ZYGOTE_MOUNTS; i++)
    if (mounts[i] >= 0) close(mounts[i]);
  errno = error;
  return false;
}

/* Nothing that is mounted here is seen elsewhere; what the host mounts is seen here, and what it takes away is not
   held. The working directory becomes the staging place. */
static bool enter_stage(const char *place) {
  return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
         mount("stage", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0700") == 0 &&
         mount(NULL, place, NULL, MS_PRIVATE, NULL) == 0 && chdir(place) == 0 &&
         mkdir("l", 0700) == 0 && mkdir("d", 0700) == 0 && mkdir("o", 0700) == 0;
}

/* ---- the helper ---- */

enum { HELPER_FDS_MAX = ZYGOTE_FDS_MAX + 1 };

static pid_t helper;
static int helper_socket = -1;

static void tell(int socket, uint32_t id, bool made) {
  const struct zygote_end end = {.id = id, .status = made ? LAYERS_MADE : 120 << 8};
  if (send(socket, &end, sizeof end, MSG_NOSIGNAL) != (ssize_t)sizeof end) _exit(0);
}

/* False when there is nobody to hear any more. */
static bool serve_one(int socket) {
  static struct layers_request q;
  int fds[HELPER_FDS_MAX + ZYGOTE_MOUNTS];
  size_t count = 0;
  ssize_t n = receive_fds(socket, &q, sizeof q, fds, &count);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  size_t due = 2 + q.request.v1_groups + q.request.v2_groups;
  q.tree[sizeof q.tree - 1] = 0;
  bool sent = n == (ssize_t)sizeof q && count == due && count + ZYGOTE_MOUNTS - 1 <= ZYGOTE_FDS_MAX &&
              make_layers(&q, fds + count);
  if (sent) {
    count += ZYGOTE_MOUNTS;
    q.request.mounts = ZYGOTE_MOUNTS;
    sent = send_fds(fds[0], &q.request, sizeof q.request, fds + 1, count - 1);
  }
  if (!sent) dprintf(2, "syla-agent: cannot stack a disk: %s\n", strerror(errno));
  if (n == (ssize_t)sizeof q) tell(socket, q.request.id, sent);
  for (size_t i = 0; i < count; i++) close(fds[i]);
  return true;
}

static _Noreturn void help(int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction normal = {.sa_handler = SIG_DFL};
  sigaction(SIGCHLD, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  /* Nothing of spawn's is held here: a socket that is open here, too, would not tell its end. */
  if (dup2(socket, CONTROL_FD) < 0) _exit(121);
  syscall(SYS_close_range, CONTROL_FD + 1u, ~0u, 0u);
  fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
  umask(0);
  /* spawn's working directory is the folder of its socket: its own, and it is always there. */
  char place[PATH_MAX];
  if (getcwd(place, sizeof place) == NULL || !enter_stage(place)) _exit(122);
  while (serve_one(CONTROL_FD)) continue;
  _exit(0);
}

/* A request is some 2 KiB with what the kernel adds: hundreds may wait. */
static void lengthen(int socket) {
  const int bytes = 1 << 20;
  setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

int layers_socket(bool start) {
  int ends[2];
  if (helper > 0 || !start) return helper_socket;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  lengthen(ends[0]);
  helper = fork();
  if (helper == 0) help(ends[1]);
  int error = errno;
  close(ends[1]);
  helper_socket = helper > 0 ? ends[0] : -1;
  if (helper < 0) close(ends[0]);
  errno = error;
  return helper_socket;
}

bool layers_is(pid_t pid) { return helper > 0 && pid == helper; }

bool layers_ended(pid_t pid) {
  if (!layers_is(pid)) return false;
  close(helper_socket);
  helper_socket = -1;
  helper = 0;
  return true;
}

/* ---- whether this host has all of it ---- */

/* As the jail's user does, who comes to it as a jail comes to it: by the mounts. */
static bool try_below(int work) {
  char text[8] = "";
  struct stat s;
  int file = openat(work, "file", O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0 || write(file, "new", 3) != 3) return false;
  int other = openat(work, "other", O_RDONLY | O_CLOEXEC);
  errno = EXDEV; /* a file that came apart from its other name, or a folder that cannot be renamed */
  return other >= 0 && read(other, text, sizeof text) == 6 && memcmp(text, "oldnew", 6) == 0 &&
         fstat(other, &s) == 0 && s.st_nlink == 2 && renameat(work, "folder", work, "renamed") == 0 &&
         unlinkat(work, "renamed/file", 0) == 0 && unlinkat(work, "renamed", AT_REMOVEDIR) == 0;
}

static bool try_making(int work) {
  int folder = mkdirat(work, "folder", 0755) == 0 ? openat(work, "folder", O_RDONLY | O_CLOEXEC) : -1;
  int inside = folder < 0 ? -1 : openat(folder, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  int file = openat(work, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return inside >= 0 && file >= 0 && write(file, "old", 3) == 3 && linkat(work, "file", work, "other", 0) == 0;
}

static bool try_with(const struct layers_request *q) {
  int mounts[ZYGOTE_MOUNTS], status = 0;
  if (!make_layers(q, mounts)) return false;
  pid_t pid = fork();
  if (pid == 0) {
    if (setresgid((gid_t)q->host_uid, (gid_t)q->host_uid, (gid_t)q->host_uid) != 0 ||
        setresuid((uid_t)q->host_uid, (uid_t)q->host_uid, (uid_t)q->host_uid) != 0)
      _exit(errno);
    bool went = q->writes ? try_making(mounts[0]) : try_below(mounts[0]);
    _exit(went ? 0 : errno);
  }
  for (int i = 0; i < ZYGOTE_MOUNTS; i++) close(mounts[i]);
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return false;
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  return status == 0;
}

/* layers-probe FOLDER UID UID: does once, in an empty folder and with uids that nobody has, all that a jail needs. */
int layers_probe_main(int argc, char **argv) {
  static struct layers_request q = {.request = {.disk_bytes = 1 << 20, .disk_inodes = 100}};
  char place[PATH_MAX];
  if (argc != 3) return 64;
  q.tree_uid = number_of(argv[1]);
  q.host_uid = number_of(argv[2]);
  int length = snprintf(q.tree, sizeof q.tree, "%s/tree", argv[0]);
  snprintf(place, sizeof place, "%s/stage", argv[0]);
  umask(0);
  bool made = length > 0 && (size_t)length < sizeof q.tree && mkdir(q.tree, 0755) == 0 && mkdir(place, 0700) == 0 &&
              chdir(q.tree) == 0 && mkdir("work", 0755) == 0 && mkdir("tmp", 0777) == 0 &&
              chown("work", (uid_t)q.tree_uid, (gid_t)q.tree_uid) == 0 && enter_stage(place);
  q.writes = 1;
  made = made && try_with(&q);
  q.writes = 0;
  if (made && try_with(&q)) return 0;
  fprintf(stderr, "%s\n", strerror(errno));
  return 1;
}
