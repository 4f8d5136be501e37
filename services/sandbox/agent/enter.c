/*
 * init --uid N --disk-bytes N --disk-inodes N --system-mounts 0|1
 *
 * PID 1 of a jail that bubblewrap opens. It has made the namespaces and the read-only root and then
 * become this program, which still holds the powers of the one who started it, for what bubblewrap
 * cannot do (walls.c); then it gives up every power for good and serves the host (run.c).
 *
 * --system-mounts says whether /proc and /dev are ours to make. Only with real root: in a user
 * namespace the kernel lets only bubblewrap, which still sees the host's /proc, mount another, and
 * nobody make a device.
 */
#include "agent.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
  unsigned long long uid, disk_bytes, disk_inodes, system_mounts;
};

/*
 * Where bubblewrap made a user namespace around ours, /proc/1 of an undumpable process belongs to
 * the uid that is 0 in the namespace it was executed in: the platform's own, which is the program's
 * too. Executed again, that is ours, which has no 0.
 */
static _Noreturn void execute_again(void) {
  fcntl(CONTROL_FD, F_SETFD, 0);
  char *const arguments[] = {"/init", "serve", NULL}, *const environment[] = {NULL};
  execve(arguments[0], arguments, environment);
  fail("identity", "execute again");
}

/* The second half of `init`, after execute_again(). */
int serve_main(void) {
  errno = EPERM;
  if (getpid() != 1) fail("arguments", "serve must be PID 1 of a jail");
  umask(0);
  serve_filtered();
}

int enter_main(int argc, char **argv) {
  struct options o = {.uid = 0, .disk_bytes = 0, .disk_inodes = 0, .system_mounts = 0};
  for (int i = 0; i + 1 < argc; i += 2) {
    unsigned long long value = number_of(argv[i + 1]);
    if (strcmp(argv[i], "--uid") == 0) o.uid = value;
    else if (strcmp(argv[i], "--disk-bytes") == 0) o.disk_bytes = value;
    else if (strcmp(argv[i], "--disk-inodes") == 0) o.disk_inodes = value;
    else if (strcmp(argv[i], "--system-mounts") == 0) o.system_mounts = value;
    else fail("arguments", argv[i]);
  }
  errno = EPERM;
  if (getpid() != 1) fail("arguments", "init must be PID 1 of a jail");
  isolate_process(CONTROL_FD);
  forbid_core_dumps();
  if (o.system_mounts) {
    make_proc();
    make_devices();
    make_terminals();
  }
  make_disk((uid_t)o.uid, o.disk_bytes, o.disk_inodes);
  cover_proc();
  make_read_only("/dev", MS_NOSUID | MS_NOEXEC);
  enter_user_namespace((uid_t)o.uid);
  drop_powers();
  if (!o.system_mounts) execute_again();
  serve_filtered();
}
