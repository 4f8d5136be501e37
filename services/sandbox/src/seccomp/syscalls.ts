/**
 * Every system call of Linux on x64 and arm64, what a jailed program gets when it makes it, and
 * why. What is not here does not exist: the filter answers ENOSYS, and a call that a newer kernel
 * adds stays closed until someone decides it in this file.
 *
 * EPERM means "no"; ENOSYS means "not on this kernel", for calls that libraries try first and
 * then do without. Numbers are from the kernel's headers; a test compares them.
 */

import * as conditions from "./conditions.ts";
import { allow, deny, pretend } from "./decision.ts";
import type { Decision, Syscall } from "./decision.ts";

/** Name, number on x64, number on arm64; null where the architecture never had the call. */
type Row = readonly [name: string, x64: number | null, arm64: number | null];

function group(decision: Decision, why: string, rows: readonly Row[]): Syscall[] {
  return rows.map(([name, x64, arm64]) => ({ name, x64, arm64, decision, why }));
}

export const SYSCALLS: readonly Syscall[] = [
  // Bytes through descriptors that the process already holds.
  ...group(allow, "moves bytes through a descriptor already held", [
    ["read", 0, 63],
    ["write", 1, 64],
    ["readv", 19, 65],
    ["writev", 20, 66],
    ["pread64", 17, 67],
    ["pwrite64", 18, 68],
    ["preadv", 295, 69],
    ["pwritev", 296, 70],
    ["preadv2", 327, 286],
    ["pwritev2", 328, 287],
    ["lseek", 8, 62],
    ["sendfile", 40, 71],
    ["copy_file_range", 326, 285],
    ["splice", 275, 76],
    ["tee", 276, 77],
  ]),
  ...group(allow, "closes or copies descriptors of the caller", [
    ["close", 3, 57],
    ["close_range", 436, 436],
    ["dup", 32, 23],
    ["dup2", 33, null],
    ["dup3", 292, 24],
  ]),
  ...group(allow, "pipes within the jail", [
    ["pipe", 22, null],
    ["pipe2", 293, 59],
  ]),
  ...group(allow, "waits on descriptors", [
    ["poll", 7, null],
    ["ppoll", 271, 73],
    ["select", 23, null],
    ["pselect6", 270, 72],
    ["epoll_create", 213, null],
    ["epoll_create1", 291, 20],
    ["epoll_ctl", 233, 21],
    ["epoll_wait", 232, null],
    ["epoll_pwait", 281, 22],
    ["epoll_pwait2", 441, 441],
  ]),
  ...group(allow, "event, timer and signal descriptors, which every event loop uses", [
    ["eventfd", 284, null],
    ["eventfd2", 290, 19],
    ["timerfd_create", 283, 85],
    ["timerfd_settime", 286, 86],
    ["timerfd_gettime", 287, 87],
    ["signalfd", 282, null],
    ["signalfd4", 289, 74],
  ]),
  ...group(
    conditions.fcntl,
    "only answers what it knows; F_NOTIFY would show which shared files other tenants read",
    [["fcntl", 72, 25]],
  ),
  ...group(
    conditions.ioctl,
    "TIOCSTI types into a terminal, TIOCLINUX and TIOCSETD have escaped sandboxes; drivers " +
      "have thousands more",
    [["ioctl", 16, 29]],
  ),
  ...group(
    deny("ENOSYS"),
    "maps pages into a pipe with no copy; bugs here became CVEs and no runtime needs it",
    [["vmsplice", 278, 75]],
  ),
  // Files by name: the mount namespace decides what can be reached.
  ...group(conditions.open, "opens files of the jail; setuid files are never made", [
    ["open", 2, null],
  ]),
  ...group(conditions.openat, "opens files of the jail; setuid files are never made", [
    ["openat", 257, 56],
  ]),
  ...group(conditions.creat, "opens files of the jail; setuid files are never made", [
    ["creat", 85, null],
  ]),
  ...group(
    allow,
    "opens beneath a folder, as the jail's first process does; its mode lies in memory and " +
      "cannot be read here, so what voids a setuid bit is no_new_privs and nosuid",
    [["openat2", 437, 437]],
  ),
  ...group(allow, "reads about files of the jail", [
    ["stat", 4, null],
    ["fstat", 5, 80],
    ["lstat", 6, null],
    ["newfstatat", 262, 79],
    ["statx", 332, 291],
    ["access", 21, null],
    ["faccessat", 269, 48],
    ["faccessat2", 439, 439],
    ["readlink", 89, null],
    ["readlinkat", 267, 78],
    ["getdents", 78, null],
    ["getdents64", 217, 61],
    ["getcwd", 79, 17],
    ["statfs", 137, 43],
    ["fstatfs", 138, 44],
    ["file_getattr", 468, 468],
  ]),
  ...group(allow, "changes names within the jail's own disk", [
    ["rename", 82, null],
    ["renameat", 264, 38],
    ["mkdir", 83, null],
    ["mkdirat", 258, 34],
    ["rmdir", 84, null],
    ["unlink", 87, null],
    ["unlinkat", 263, 35],
    ["link", 86, null],
    ["linkat", 265, 37],
    ["symlink", 88, null],
    ["symlinkat", 266, 36],
    ["chdir", 80, 49],
    ["fchdir", 81, 50],
    ["umask", 95, 166],
  ]),
  ...group(conditions.renameat2, "changes names within the jail's own disk; leaves no device", [
    ["renameat2", 316, 276],
  ]),
  ...group(allow, "changes size or times of the jail's own files, within their quota", [
    ["truncate", 76, 45],
    ["ftruncate", 77, 46],
    ["fallocate", 285, 47],
    ["utime", 132, null],
    ["utimes", 235, null],
    ["futimesat", 261, null],
    ["utimensat", 280, 88],
  ]),
  ...group(
    conditions.chmod,
    "a set-id file is of no use to a program in a jail and of much use to whoever finds it",
    [
      ["chmod", 90, null],
      ["fchmod", 91, 52],
    ],
  ),
  ...group(
    conditions.chmodAt,
    "a set-id file is of no use to a program in a jail and of much use to whoever finds it",
    [
      ["fchmodat", 268, 53],
      ["fchmodat2", 452, 452],
    ],
  ),
  ...group(
    allow,
    "one uid is mapped, so the kernel refuses every change but to oneself; tar and install " +
      "call it",
    [
      ["chown", 92, null],
      ["fchown", 93, 55],
      ["lchown", 94, null],
      ["fchownat", 260, 54],
    ],
  ),
  ...group(conditions.mknod, "devices are never made", [["mknod", 133, null]]),
  ...group(conditions.mknodat, "devices are never made", [["mknodat", 259, 33]]),
  ...group(allow, "reads extended attributes, as ls and cp do", [
    ["getxattr", 191, 8],
    ["lgetxattr", 192, 9],
    ["fgetxattr", 193, 10],
    ["listxattr", 194, 11],
    ["llistxattr", 195, 12],
    ["flistxattr", 196, 13],
    ["getxattrat", 464, 464],
    ["listxattrat", 465, 465],
  ]),
  ...group(
    deny("EOPNOTSUPP"),
    "attributes escape the disk quota; this is the answer of a file system that has none",
    [
      ["setxattr", 188, 5],
      ["lsetxattr", 189, 6],
      ["fsetxattr", 190, 7],
      ["removexattr", 197, 14],
      ["lremovexattr", 198, 15],
      ["fremovexattr", 199, 16],
      ["setxattrat", 463, 463],
      ["removexattrat", 466, 466],
    ],
  ),
  ...group(deny("EPERM"), "flags such as immutable make files that cannot be removed", [
    ["file_setattr", 469, 469],
  ]),
  ...group(allow, "writes the caller's file to its own disk", [
    ["fsync", 74, 82],
    ["fdatasync", 75, 83],
    ["sync_file_range", 277, 84],
    ["msync", 26, 227],
  ]),
  ...group(
    pretend,
    "would flush the whole host's disks; nothing of a jail outlives it, so there is nothing " +
      "to keep",
    [
      ["sync", 162, 81],
      ["syncfs", 306, 267],
    ],
  ),
  ...group(
    conditions.fadvise64,
    "hints for reading; dropping shared pages from the cache would slow other tenants",
    [["fadvise64", 221, 223]],
  ),
  ...group(allow, "hints for reading", [["readahead", 187, 213]]),
  ...group(allow, "locks files; programs rely on it (see the remark on shared files)", [
    ["flock", 73, 32],
  ]),
  ...group(allow, "watches files, as development servers do", [
    ["inotify_init", 253, null],
    ["inotify_init1", 294, 26],
    ["inotify_rm_watch", 255, 28],
  ]),
  ...group(
    conditions.inotifyAddWatch,
    "on shared read-only files these events show what other tenants run",
    [["inotify_add_watch", 254, 27]],
  ),
  ...group(deny("ENOSYS"), "tells how full the page cache is: a side channel", [
    ["cachestat", 451, 451],
  ]),
  ...group(
    deny("EPERM"),
    "handles open files around the mount namespace: the way out of containers in 2014",
    [
      ["name_to_handle_at", 303, 264],
      ["open_by_handle_at", 304, 265],
    ],
  ),
  ...group(deny("EPERM"), "watches and judges other processes' file accesses", [
    ["fanotify_init", 300, 262],
    ["fanotify_mark", 301, 263],
  ]),
  // Memory: bounded by the cgroup.
  ...group(conditions.mmap, "huge pages are not charged to the cgroup's memory", [
    ["mmap", 9, 222],
  ]),
  ...group(allow, "the caller's own address space", [
    ["munmap", 11, 215],
    ["mprotect", 10, 226],
    ["mremap", 25, 216],
    ["brk", 12, 214],
    ["mincore", 27, 232],
    ["mseal", 462, 462],
  ]),
  ...group(
    conditions.madvise,
    "MADV_MERGEABLE shares equal pages between tenants, which can be timed",
    [["madvise", 28, 233]],
  ),
  ...group(allow, "bounded by RLIMIT_MEMLOCK and the cgroup", [
    ["mlock", 149, 228],
    ["mlock2", 325, 284],
    ["munlock", 150, 229],
    ["mlockall", 151, 230],
    ["munlockall", 152, 231],
  ]),
  ...group(allow, "protection keys, which V8 puts on its code", [
    ["pkey_mprotect", 329, 288],
    ["pkey_alloc", 330, 289],
    ["pkey_free", 331, 290],
  ]),
  ...group(allow, "memory for shadow stacks, which glibc may use", [
    ["map_shadow_stack", 453, 453],
  ]),
  ...group(conditions.memfdCreate, "anonymous files, charged to the cgroup; huge pages are not", [
    ["memfd_create", 319, 279],
  ]),
  ...group(
    conditions.shmget,
    "System V shared memory of the jail's own ipc namespace, charged to the cgroup; huge " +
      "pages are not",
    [["shmget", 29, 194]],
  ),
  ...group(allow, "System V shared memory of the jail's own ipc namespace", [
    ["shmat", 30, 196],
    ["shmctl", 31, 195],
    ["shmdt", 67, 197],
  ]),
  ...group(deny("ENOSYS"), "hidden memory that cannot be reclaimed", [["memfd_secret", 447, 447]]),
  ...group(deny("ENOSYS"), "obsolete, emulated by the kernel, and with a history of bugs", [
    ["remap_file_pages", 216, 234],
  ]),
  ...group(allow, "where memory lies; numeric libraries ask", [["get_mempolicy", 239, 236]]),
  ...group(deny("EPERM"), "places memory on nodes, which belongs to the host", [
    ["mbind", 237, 235],
    ["set_mempolicy", 238, 237],
    ["set_mempolicy_home_node", 450, 450],
    ["migrate_pages", 256, 238],
    ["move_pages", 279, 239],
  ]),
  ...group(
    deny("EPERM"),
    "handles another process's page faults in user space: what makes kernel races exploitable",
    [["userfaultfd", 323, 282]],
  ),
  ...group(deny("EPERM"), "works on another process's memory", [
    ["process_madvise", 440, 440],
    ["process_mrelease", 448, 448],
    ["process_vm_readv", 310, 270],
    ["process_vm_writev", 311, 271],
  ]),
  // Processes and threads: bounded by the cgroup's pids.
  ...group(conditions.clone, "namespaces are never made inside; threads and children are", [
    ["clone", 56, 220],
  ]),
  ...group(
    deny("ENOSYS"),
    "its flags lie in memory, where no filter can read them; libc then uses clone",
    [["clone3", 435, 435]],
  ),
  ...group(allow, "starts and replaces programs, under this same filter", [
    ["fork", 57, null],
    ["vfork", 58, null],
    ["execve", 59, 221],
    ["execveat", 322, 281],
  ]),
  ...group(allow, "ends and waits for children", [
    ["exit", 60, 93],
    ["exit_group", 231, 94],
    ["wait4", 61, 260],
    ["waitid", 247, 95],
  ]),
  ...group(allow, "signals reach only the jail's own pid namespace", [
    ["kill", 62, 129],
    ["tkill", 200, 130],
    ["tgkill", 234, 131],
    ["rt_sigqueueinfo", 129, 138],
    ["rt_tgsigqueueinfo", 297, 240],
    ["pidfd_open", 434, 434],
    ["pidfd_send_signal", 424, 424],
  ]),
  ...group(allow, "the caller's own signals", [
    ["rt_sigaction", 13, 134],
    ["rt_sigprocmask", 14, 135],
    ["rt_sigreturn", 15, 139],
    ["rt_sigpending", 127, 136],
    ["rt_sigtimedwait", 128, 137],
    ["rt_sigsuspend", 130, 133],
    ["sigaltstack", 131, 132],
    ["pause", 34, null],
    ["restart_syscall", 219, 128],
  ]),
  ...group(deny("EPERM"), "takes descriptors out of another process", [["pidfd_getfd", 438, 438]]),
  ...group(deny("EPERM"), "reads and steers another process", [["ptrace", 101, 117]]),
  ...group(deny("EPERM"), "compares kernel pointers of processes", [["kcmp", 312, 272]]),
  ...group(allow, "who am I", [
    ["getpid", 39, 172],
    ["getppid", 110, 173],
    ["gettid", 186, 178],
    ["getuid", 102, 174],
    ["geteuid", 107, 175],
    ["getgid", 104, 176],
    ["getegid", 108, 177],
    ["getgroups", 115, 158],
    ["getresuid", 118, 148],
    ["getresgid", 120, 150],
    ["getpgid", 121, 155],
    ["getpgrp", 111, null],
    ["getsid", 124, 156],
    ["uname", 63, 160],
    ["capget", 125, 90],
  ]),
  ...group(allow, "groups and sessions within the jail", [
    ["setpgid", 109, 154],
    ["setsid", 112, 157],
  ]),
  ...group(conditions.setOneId, "only one uid and gid exist in a jail", [
    ["setuid", 105, 146],
    ["setgid", 106, 144],
    ["setfsuid", 122, 151],
    ["setfsgid", 123, 152],
  ]),
  ...group(conditions.setTwoIds, "only one uid and gid exist in a jail", [
    ["setreuid", 113, 145],
    ["setregid", 114, 143],
  ]),
  ...group(conditions.setThreeIds, "only one uid and gid exist in a jail", [
    ["setresuid", 117, 147],
    ["setresgid", 119, 149],
  ]),
  ...group(
    deny("EPERM"),
    "only one uid and gid exist in a jail; there are no capabilities to change",
    [
      ["setgroups", 116, 159],
      ["capset", 126, 91],
    ],
  ),
  ...group(conditions.prctl, "options for the caller itself", [["prctl", 157, 167]]),
  ...group(conditions.archPrctl, "thread-local storage on x64", [["arch_prctl", 158, null]]),
  ...group(conditions.personality, "other personalities weaken address randomisation", [
    ["personality", 135, 92],
  ]),
  ...group(allow, "limits of the caller, which can only fall", [["getrlimit", 97, 163]]),
  ...group(conditions.setrlimit, "limits of the caller, which can only fall", [
    ["setrlimit", 160, 164],
  ]),
  ...group(conditions.prlimit64, "limits of the caller, which can only fall; never another's", [
    ["prlimit64", 302, 261],
  ]),
  ...group(allow, "usage of the caller and its children, and size of the machine", [
    ["getrusage", 98, 165],
    ["times", 100, 153],
    ["sysinfo", 99, 179],
    ["getcpu", 309, 168],
  ]),
  ...group(
    conditions.seccomp,
    "a program under a filter may ask what filters can do; a program of its own for the " +
      "kernel's compiler is surface (JIT spraying) that no runtime needs",
    [["seccomp", 317, 277]],
  ),
  ...group(allow, "a sandbox within the sandbox: only tightens", [
    ["landlock_create_ruleset", 444, 444],
    ["landlock_add_rule", 445, 445],
    ["landlock_restrict_self", 446, 446],
  ]),
  // Threads waiting for each other.
  ...group(allow, "locks between threads", [
    ["futex", 202, 98],
    ["futex_wait", 455, 455],
    ["futex_wake", 454, 454],
    ["futex_waitv", 449, 449],
    ["futex_requeue", 456, 456],
    ["set_robust_list", 273, 99],
    ["get_robust_list", 274, 100],
    ["set_tid_address", 218, 96],
    ["membarrier", 324, 283],
    ["rseq", 334, 293],
  ]),
  ...group(deny("ENOSYS"), "part of time-slice extension, which nobody has asked for here", [
    ["rseq_slice_yield", 471, 471],
  ]),
  // Time and scheduling.
  ...group(allow, "reads clocks and sleeps", [
    ["nanosleep", 35, 101],
    ["clock_nanosleep", 230, 115],
    ["clock_gettime", 228, 113],
    ["clock_getres", 229, 114],
    ["gettimeofday", 96, 169],
    ["time", 201, null],
  ]),
  ...group(allow, "timers of the caller", [
    ["alarm", 37, null],
    ["getitimer", 36, 102],
    ["setitimer", 38, 103],
    ["timer_create", 222, 107],
    ["timer_settime", 223, 110],
    ["timer_gettime", 224, 108],
    ["timer_getoverrun", 225, 109],
    ["timer_delete", 226, 111],
  ]),
  ...group(deny("EPERM"), "the clock is the host's", [
    ["settimeofday", 164, 170],
    ["clock_settime", 227, 112],
    ["adjtimex", 159, 171],
    ["clock_adjtime", 305, 266],
  ]),
  ...group(allow, "asks about scheduling, yields", [
    ["sched_yield", 24, 124],
    ["sched_getparam", 143, 121],
    ["sched_setparam", 142, 118],
    ["sched_getscheduler", 145, 120],
    ["sched_get_priority_max", 146, 125],
    ["sched_get_priority_min", 147, 126],
    ["sched_rr_get_interval", 148, 127],
    ["sched_getaffinity", 204, 123],
    ["sched_getattr", 315, 275],
    ["getpriority", 140, 141],
    ["ioprio_get", 252, 31],
  ]),
  ...group(allow, "within the cgroup's CPUs and share; thread pools pin their threads", [
    ["sched_setaffinity", 203, 122],
  ]),
  ...group(allow, "lowers priority; raising it needs a capability", [["setpriority", 141, 140]]),
  ...group(conditions.schedSetscheduler, "realtime would starve other tenants", [
    ["sched_setscheduler", 144, 119],
  ]),
  ...group(deny("EPERM"), "its policy lies in memory and could be realtime or deadline", [
    ["sched_setattr", 314, 274],
  ]),
  ...group(deny("EPERM"), "disk priority belongs to the host", [["ioprio_set", 251, 30]]),
  // Sockets: the network namespace decides what can be reached.
  ...group(conditions.socket, "other families are the kernel's least tested code", [
    ["socket", 41, 198],
  ]),
  ...group(conditions.socketpair, "other families are the kernel's least tested code", [
    ["socketpair", 53, 199],
  ]),
  ...group(allow, "connects, listens and reads within the jail's own network namespace", [
    ["connect", 42, 203],
    ["accept", 43, 202],
    ["accept4", 288, 242],
    ["bind", 49, 200],
    ["listen", 50, 201],
    ["shutdown", 48, 210],
    ["getsockname", 51, 204],
    ["getpeername", 52, 205],
    ["getsockopt", 55, 209],
    ["recvfrom", 45, 207],
    ["recvmsg", 47, 212],
    ["recvmmsg", 299, 243],
  ]),
  ...group(
    conditions.sendto,
    "urgent bytes on Unix sockets gave a sandboxed program the kernel in 2025 (CVE-2025-38236)",
    [["sendto", 44, 206]],
  ),
  ...group(
    conditions.sendmsg,
    "urgent bytes on Unix sockets gave a sandboxed program the kernel in 2025 (CVE-2025-38236)",
    [["sendmsg", 46, 211]],
  ),
  ...group(
    conditions.sendmmsg,
    "urgent bytes on Unix sockets gave a sandboxed program the kernel in 2025 (CVE-2025-38236)",
    [["sendmmsg", 307, 269]],
  ),
  ...group(
    conditions.setsockopt,
    "some options hand the kernel programs or tables, or take a lock of the whole host for long",
    [["setsockopt", 54, 208]],
  ),
  // Messages and semaphores of the jail's own ipc namespace.
  ...group(
    allow,
    "System V and POSIX queues of the jail's own ipc namespace, charged to the cgroup",
    [
      ["semget", 64, 190],
      ["semop", 65, 193],
      ["semtimedop", 220, 192],
      ["semctl", 66, 191],
      ["msgget", 68, 186],
      ["msgsnd", 69, 189],
      ["msgrcv", 70, 188],
      ["msgctl", 71, 187],
      ["mq_open", 240, 180],
      ["mq_unlink", 241, 181],
      ["mq_timedsend", 242, 182],
      ["mq_timedreceive", 243, 183],
      ["mq_notify", 244, 184],
      ["mq_getsetattr", 245, 185],
    ],
  ),
  // Randomness.
  ...group(allow, "the kernel's random numbers", [["getrandom", 318, 278]]),
  // Mounts and namespaces: made before the program starts, never after.
  ...group(deny("EPERM"), "the jail's view of files is fixed", [
    ["mount", 165, 40],
    ["umount2", 166, 39],
    ["pivot_root", 155, 41],
    ["chroot", 161, 51],
    ["open_tree", 428, 428],
    ["open_tree_attr", 467, 467],
    ["move_mount", 429, 429],
    ["fsopen", 430, 430],
    ["fsconfig", 431, 431],
    ["fsmount", 432, 432],
    ["fspick", 433, 433],
    ["mount_setattr", 442, 442],
  ]),
  ...group(deny("EPERM"), "tells about mounts and namespaces, also of others", [
    ["statmount", 457, 457],
    ["listmount", 458, 458],
    ["listns", 470, 470],
  ]),
  ...group(deny("EPERM"), "namespaces are never made or entered inside", [
    ["unshare", 272, 97],
    ["setns", 308, 268],
  ]),
  // Large kernel subsystems that no program of a tenant needs.
  ...group(deny("ENOSYS"), "a second way to do most calls, past this filter; runtimes fall back", [
    ["io_uring_setup", 425, 425],
    ["io_uring_enter", 426, 426],
    ["io_uring_register", 427, 427],
  ]),
  ...group(
    deny("ENOSYS"),
    "its contexts count against one limit for the whole host; libraries fall back to threads",
    [
      ["io_setup", 206, 0],
      ["io_destroy", 207, 1],
      ["io_submit", 209, 2],
      ["io_cancel", 210, 3],
      ["io_getevents", 208, 4],
      ["io_pgetevents", 333, 292],
    ],
  ),
  ...group(deny("EPERM"), "programs for the kernel", [["bpf", 321, 280]]),
  ...group(deny("EPERM"), "watches the kernel and other processes", [
    ["perf_event_open", 298, 241],
  ]),
  ...group(deny("EPERM"), "keyrings are shared by all processes of a uid on the host", [
    ["add_key", 248, 217],
    ["request_key", 249, 218],
    ["keyctl", 250, 219],
  ]),
  ...group(
    allow,
    "the kernel enters here when the host traces a program with uprobes; a program that " +
      "calls it is killed by the kernel",
    [
      ["uretprobe", 335, null],
      ["uprobe", 336, null],
    ],
  ),
  ...group(deny("ENOSYS"), "security modules' attributes", [
    ["lsm_get_self_attr", 459, 459],
    ["lsm_set_self_attr", 460, 460],
    ["lsm_list_modules", 461, 461],
  ]),
  // The machine itself.
  ...group(deny("EPERM"), "changes or replaces the kernel", [
    ["init_module", 175, 105],
    ["finit_module", 313, 273],
    ["delete_module", 176, 106],
    ["kexec_load", 246, 104],
    ["kexec_file_load", 320, 294],
    ["reboot", 169, 142],
  ]),
  ...group(deny("EPERM"), "changes the host", [
    ["swapon", 167, 224],
    ["swapoff", 168, 225],
    ["acct", 163, 89],
    ["quotactl", 179, 60],
    ["quotactl_fd", 443, 443],
    ["sethostname", 170, 161],
    ["setdomainname", 171, 162],
    ["vhangup", 153, 58],
    ["syslog", 103, 116],
  ]),
  ...group(deny("EPERM"), "touches hardware ports", [
    ["iopl", 172, null],
    ["ioperm", 173, null],
  ]),
  ...group(deny("ENOSYS"), "segments for 16-bit code, with a history of bugs", [
    ["modify_ldt", 154, null],
  ]),
  // Calls that Linux removed or never had on 64 bits.
  ...group(deny("ENOSYS"), "removed or never there: the kernel's own answer", [
    ["uselib", 134, null],
    ["ustat", 136, null],
    ["sysfs", 139, null],
    ["_sysctl", 156, null],
    ["create_module", 174, null],
    ["get_kernel_syms", 177, null],
    ["query_module", 178, null],
    ["nfsservctl", 180, 42],
    ["getpmsg", 181, null],
    ["putpmsg", 182, null],
    ["afs_syscall", 183, null],
    ["tuxcall", 184, null],
    ["security", 185, null],
    ["vserver", 236, null],
    ["epoll_ctl_old", 214, null],
    ["epoll_wait_old", 215, null],
    ["lookup_dcookie", 212, 18],
    ["set_thread_area", 205, null],
    ["get_thread_area", 211, null],
  ]),
];
