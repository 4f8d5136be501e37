/**
 * The calls whose arguments decide. Constants carry the kernel's own names; each list holds what
 * language runtimes were seen to use, and everything else is refused with the error that a kernel
 * without the feature would give, so that libraries take their ordinary fallback.
 */

import { allow, deny, pretend, when } from "./decision.ts";
import type { Decision } from "./decision.ts";

const UNCHANGED = 0xffff_ffff;

/** The only uid and gid that exist in a jail's user namespace. */
const JAIL_ID = 1000;

const NEW_NAMESPACES =
  0x0000_0080 | // CLONE_NEWTIME
  0x0002_0000 | // CLONE_NEWNS
  0x0200_0000 | // CLONE_NEWCGROUP
  0x0400_0000 | // CLONE_NEWUTS
  0x0800_0000 | // CLONE_NEWIPC
  0x1000_0000 | // CLONE_NEWUSER
  0x2000_0000 | // CLONE_NEWPID
  0x4000_0000; // CLONE_NEWNET

/**
 * CLONE_NEWTIME shares its bit with the exit signal (CSIGNAL, the low byte) and clone(2) reads the
 * byte as a signal, so a time namespace cannot be asked for here; signal 128 does not exist.
 */
export const clone = when(
  "EPERM with any CLONE_NEW* flag, else allowed",
  [{ if: [{ arg: 0, any: NEW_NAMESPACES }], then: deny("EPERM") }],
  allow,
);

const PERSONALITY_QUERY = 0xffff_ffff;

export const personality = when(
  "allowed for 0 (plain Linux) and 0xffffffff (query), else EPERM",
  [{ if: [{ arg: 0, in: [0, PERSONALITY_QUERY] }], then: allow }],
  deny("EPERM"),
);

const PRCTL_ALLOWED = [
  1, // PR_SET_PDEATHSIG
  2, // PR_GET_PDEATHSIG
  3, // PR_GET_DUMPABLE
  4, // PR_SET_DUMPABLE: on the caller itself; PID 1 of the jail hides its /proc entry with it
  7, // PR_GET_KEEPCAPS
  13, // PR_GET_TIMING
  15, // PR_SET_NAME
  16, // PR_GET_NAME
  21, // PR_GET_SECCOMP
  23, // PR_CAPBSET_READ
  25, // PR_GET_TSC
  27, // PR_GET_SECUREBITS
  29, // PR_SET_TIMERSLACK
  30, // PR_GET_TIMERSLACK
  34, // PR_MCE_KILL_GET
  36, // PR_SET_CHILD_SUBREAPER
  37, // PR_GET_CHILD_SUBREAPER
  38, // PR_SET_NO_NEW_PRIVS
  39, // PR_GET_NO_NEW_PRIVS
  40, // PR_GET_TID_ADDRESS
  41, // PR_SET_THP_DISABLE
  42, // PR_GET_THP_DISABLE
  46, // PR_GET_FP_MODE
  50, // PR_SVE_SET_VL: the JVM on arm64
  51, // PR_SVE_GET_VL
  52, // PR_GET_SPECULATION_CTRL
  54, // PR_PAC_RESET_KEYS
  55, // PR_SET_TAGGED_ADDR_CTRL: glibc's memory tagging on arm64
  56, // PR_GET_TAGGED_ADDR_CTRL
  58, // PR_GET_IO_FLUSHER
  60, // PR_PAC_SET_ENABLED_KEYS
  61, // PR_PAC_GET_ENABLED_KEYS
  63, // PR_SME_SET_VL
  64, // PR_SME_GET_VL
  65, // PR_SET_MDWE: only tightens
  66, // PR_GET_MDWE
  68, // PR_GET_MEMORY_MERGE
  74, // PR_GET_SHADOW_STACK_STATUS
  0x4155_5856, // PR_GET_AUXV
  0x5356_4d41, // PR_SET_VMA: names for anonymous memory, which Go, V8 and glibc give
];

const PRCTL_REFUSED = [
  14, // PR_SET_TIMING
  22, // PR_SET_SECCOMP: hands the kernel a program to verify and compile
  24, // PR_CAPBSET_DROP
  26, // PR_SET_TSC
  28, // PR_SET_SECUREBITS
  33, // PR_MCE_KILL
  35, // PR_SET_MM: rewrites what /proc shows of the caller
  47, // PR_CAP_AMBIENT
  53, // PR_SET_SPECULATION_CTRL: can turn mitigations off
  57, // PR_SET_IO_FLUSHER
  59, // PR_SET_SYSCALL_USER_DISPATCH
  62, // PR_SCHED_CORE: groups tasks across the jail's border
  67, // PR_SET_MEMORY_MERGE: equal pages merged with another tenant's can be timed
  0x5961_6d61, // PR_SET_PTRACER
];

export const prctl = when(
  "allowed for names, queries, death signal, subreaper, dumpable, no_new_privs and other options" +
    " that touch the caller alone; EPERM for known dangerous ones; EINVAL for unknown ones",
  [
    { if: [{ arg: 0, in: PRCTL_ALLOWED }], then: allow },
    { if: [{ arg: 0, in: PRCTL_REFUSED }], then: deny("EPERM") },
  ],
  deny("EINVAL"),
);

const ARCH_PRCTL_ALLOWED = [
  0x1001, // ARCH_SET_GS
  0x1002, // ARCH_SET_FS: every thread's local storage
  0x1003, // ARCH_GET_FS
  0x1004, // ARCH_GET_GS
  0x1011, // ARCH_GET_CPUID
  0x1021, // ARCH_GET_XCOMP_SUPP
  0x1022, // ARCH_GET_XCOMP_PERM
  0x1023, // ARCH_REQ_XCOMP_PERM: AMX tiles, asked for by numeric libraries
  0x5001, // ARCH_SHSTK_ENABLE
  0x5002, // ARCH_SHSTK_DISABLE
  0x5003, // ARCH_SHSTK_LOCK
  0x5005, // ARCH_SHSTK_STATUS
];

export const archPrctl = when(
  "allowed for thread-local storage, AMX permission and shadow stacks, else EINVAL",
  [{ if: [{ arg: 0, in: ARCH_PRCTL_ALLOWED }], then: allow }],
  deny("EINVAL"),
);

const RLIMIT_CORE = 4;
const ANY_BIT = 0xffff_ffff;

/** What the jail has set stays: at any other value the kernel would start the host's crash handler, as root. */
export const setrlimit = when(
  "RLIMIT_CORE succeeds without effect, else allowed",
  [{ if: [{ arg: 0, in: [RLIMIT_CORE] }], then: pretend }],
  allow,
);

const coreOfCaller = [
  { arg: 0, in: [0] },
  { arg: 1, in: [RLIMIT_CORE] },
];

export const prlimit64 = when(
  "allowed for pid 0 (the caller), but setting RLIMIT_CORE succeeds without effect; else EPERM",
  [
    { if: [...coreOfCaller, { arg: 2, any: ANY_BIT }], then: pretend },
    { if: [...coreOfCaller, { arg: 2, any: ANY_BIT, high: true }], then: pretend },
    { if: [{ arg: 0, in: [0] }], then: allow },
  ],
  deny("EPERM"),
);

export const seccomp = when(
  "allowed for SECCOMP_GET_ACTION_AVAIL and SECCOMP_GET_NOTIF_SIZES, else EPERM",
  [{ if: [{ arg: 0, in: [2, 3] }], then: allow }],
  deny("EPERM"),
);

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_TYPE_MASK = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** EPROTONOSUPPORT also answers Go, which tries IPPROTO_MPTCP first when it listens. */
export const socket = when(
  "allowed for AF_UNIX streams, datagrams and packets and for TCP and UDP on AF_INET and" +
    " AF_INET6; EPROTONOSUPPORT for other protocols, ESOCKTNOSUPPORT for raw and other types," +
    " EAFNOSUPPORT for NETLINK, PACKET, VSOCK, ALG and every other family",
  [
    {
      if: [
        { arg: 0, in: [AF_UNIX] },
        { arg: 1, mask: SOCK_TYPE_MASK, in: [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] },
      ],
      then: allow,
    },
    {
      if: [
        { arg: 0, in: [AF_INET, AF_INET6] },
        { arg: 1, mask: SOCK_TYPE_MASK, in: [SOCK_STREAM, SOCK_DGRAM] },
        { arg: 2, in: [0, IPPROTO_TCP, IPPROTO_UDP] },
      ],
      then: allow,
    },
    {
      if: [
        { arg: 0, in: [AF_INET, AF_INET6] },
        { arg: 1, mask: SOCK_TYPE_MASK, in: [SOCK_STREAM, SOCK_DGRAM] },
      ],
      then: deny("EPROTONOSUPPORT"),
    },
    { if: [{ arg: 0, in: [AF_UNIX, AF_INET, AF_INET6] }], then: deny("ESOCKTNOSUPPORT") },
  ],
  deny("EAFNOSUPPORT"),
);

export const socketpair = when(
  "allowed for AF_UNIX, else EAFNOSUPPORT",
  [{ if: [{ arg: 0, in: [AF_UNIX] }], then: allow }],
  deny("EAFNOSUPPORT"),
);

const IP_GROUPS = [
  35, // IP_ADD_MEMBERSHIP
  37, // IP_UNBLOCK_SOURCE
  38, // IP_BLOCK_SOURCE
  39, // IP_ADD_SOURCE_MEMBERSHIP
  41, // IP_MSFILTER
  42, // MCAST_JOIN_GROUP
  43, // MCAST_BLOCK_SOURCE
  44, // MCAST_UNBLOCK_SOURCE
  46, // MCAST_JOIN_SOURCE_GROUP
  48, // MCAST_MSFILTER
];
const TCP_PRIVATE = [
  14, // TCP_MD5SIG
  31, // TCP_ULP
  32, // TCP_MD5SIG_EXT
  38, // TCP_AO_ADD_KEY
  39, // TCP_AO_DEL_KEY
  40, // TCP_AO_INFO
];
const IPV6_GROUPS = [
  20, // IPV6_JOIN_GROUP
  27, // IPV6_JOIN_ANYCAST
  42, // MCAST_JOIN_GROUP
  43, // MCAST_BLOCK_SOURCE
  44, // MCAST_UNBLOCK_SOURCE
  46, // MCAST_JOIN_SOURCE_GROUP
  48, // MCAST_MSFILTER
];

/**
 * Socket filters are programs for the kernel's compiler; the tables of netfilter are not ours. Groups
 * are kept under one lock of the whole host, which making a jail takes too: a program that joins many
 * holds up every other's start.
 *
 * A TCP socket that drops what the other end says, by its time to live, a signature or the device it
 * comes by, is not ended by that end's reset: closed with bytes unsent it outlives its jail by
 * minutes, with memory that is then nobody's.
 */
export const setsockopt = when(
  "ENODEV for multicast and anycast groups; ENOPROTOOPT for attaching BPF programs, netfilter" +
    " tables, TCP_ULP, IP_MINTTL, IPV6_MINHOPCOUNT and TCP's signatures; EPERM for binding to a" +
    " device; else allowed",
  [
    {
      if: [
        { arg: 1, in: [0] },
        { arg: 2, in: IP_GROUPS },
      ],
      then: deny("ENODEV"),
    },
    {
      if: [
        { arg: 1, in: [41] },
        { arg: 2, in: IPV6_GROUPS },
      ],
      then: deny("ENODEV"),
    },
    // SOL_SOCKET: SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and _EBPF
    {
      if: [
        { arg: 1, in: [1] },
        { arg: 2, in: [26, 50, 51, 52] },
      ],
      then: deny("ENOPROTOOPT"),
    },
    // SOL_IP and SOL_IPV6: {IPT,IP6T}_SO_SET_REPLACE and _SET_ADD_COUNTERS; ARPT 96, EBT 128
    {
      if: [
        { arg: 1, in: [0, 41] },
        { arg: 2, in: [64, 65, 96, 97, 128, 129] },
      ],
      then: deny("ENOPROTOOPT"),
    },
    {
      if: [
        { arg: 1, in: [IPPROTO_TCP] },
        { arg: 2, in: TCP_PRIVATE },
      ],
      then: deny("ENOPROTOOPT"),
    },
    // IP_MINTTL and IPV6_MINHOPCOUNT; 21 of IPv6 is to leave a group, which nobody is in
    {
      if: [
        { arg: 1, in: [0, 41] },
        { arg: 2, in: [21, 73] },
      ],
      then: deny("ENOPROTOOPT"),
    },
    // SO_BINDTODEVICE and SO_BINDTOIFINDEX
    {
      if: [
        { arg: 1, in: [1] },
        { arg: 2, in: [25, 62] },
      ],
      then: deny("EPERM"),
    },
  ],
  allow,
);

const MSG_OOB = 1;
const WITHOUT_URGENT = "EOPNOTSUPP with MSG_OOB, else allowed";

function withoutUrgentData(flagsArg: number): Decision {
  const rule = { if: [{ arg: flagsArg, any: MSG_OOB }], then: deny("EOPNOTSUPP") };
  return when(WITHOUT_URGENT, [rule], allow);
}

export const sendto = withoutUrgentData(3);
export const sendmsg = withoutUrgentData(2);
export const sendmmsg = withoutUrgentData(3);

const IOCTL_ALLOWED = [
  0x5401, // TCGETS
  0x5402, // TCSETS
  0x5403, // TCSETSW
  0x5404, // TCSETSF
  0x5405, // TCGETA
  0x5409, // TCSBRK
  0x540a, // TCXONC
  0x540b, // TCFLSH
  0x540e, // TIOCSCTTY: a shell on a pseudo terminal of its own
  0x540f, // TIOCGPGRP
  0x5410, // TIOCSPGRP
  0x5411, // TIOCOUTQ
  0x5413, // TIOCGWINSZ
  0x5414, // TIOCSWINSZ
  0x541b, // FIONREAD
  0x5421, // FIONBIO
  0x5422, // TIOCNOTTY
  0x5429, // TIOCGSID
  0x5441, // TIOCGPTPEER
  0x5450, // FIONCLEX
  0x5451, // FIOCLEX
  0x5452, // FIOASYNC
  0x5460, // FIOQSIZE
  0x8905, // SIOCATMARK
  0x8910, // SIOCGIFNAME
  0x8912, // SIOCGIFCONF: the JVM lists interfaces with these
  0x8913, // SIOCGIFFLAGS
  0x8915, // SIOCGIFADDR
  0x8919, // SIOCGIFBRDADDR
  0x891b, // SIOCGIFNETMASK
  0x8921, // SIOCGIFMTU
  0x8927, // SIOCGIFHWADDR
  0x8933, // SIOCGIFINDEX
  0x4004_5431, // TIOCSPTLCK
  0x4004_9409, // FICLONE: cp
  0x402c_542b, // TCSETS2
  0x402c_542c, // TCSETSW2
  0x402c_542d, // TCSETSF2
  0x8004_5430, // TIOCGPTN
  0x8008_6601, // FS_IOC_GETFLAGS
  0x802c_542a, // TCGETS2
];

const IOCTL_REFUSED = [
  0x5412, // TIOCSTI: types into the terminal of whoever started us
  0x541c, // TIOCLINUX: the console's paste buffer
  0x541d, // TIOCCONS
  0x5423, // TIOCSETD: loads line disciplines
];

export const ioctl = when(
  "allowed for terminal modes and sizes, non-blocking and close-on-exec flags, bytes waiting," +
    " pseudo terminals and reading interface addresses; EPERM for TIOCSTI, TIOCLINUX, TIOCCONS" +
    " and TIOCSETD; ENOTTY for the rest",
  [
    { if: [{ arg: 1, in: IOCTL_ALLOWED }], then: allow },
    { if: [{ arg: 1, in: IOCTL_REFUSED }], then: deny("EPERM") },
  ],
  deny("ENOTTY"),
);

const F_NOTIFY = 1026;

export const fcntl = when(
  "EINVAL for F_NOTIFY, else allowed",
  [{ if: [{ arg: 1, in: [F_NOTIFY] }], then: deny("EINVAL") }],
  allow,
);

const SET_ID_BITS = 0o6000;

function withoutSetId(modeArg: number): Decision {
  const rule = { if: [{ arg: modeArg, any: SET_ID_BITS }], then: deny("EPERM") };
  return when("EPERM with a setuid or setgid bit, else allowed", [rule], allow);
}

export const chmod = withoutSetId(1);
export const chmodAt = withoutSetId(2);
export const creat = withoutSetId(1);

const CREATES = 0x40 | 0x40_0000; // O_CREAT, O_TMPFILE: without them the mode is not read

function openWithoutSetId(flagsArg: number, modeArg: number): Decision {
  const tests = [
    { arg: flagsArg, any: CREATES },
    { arg: modeArg, any: SET_ID_BITS },
  ];
  const says = "EPERM when it creates with a setuid or setgid bit, else allowed";
  return when(says, [{ if: tests, then: deny("EPERM") }], allow);
}

export const open = openWithoutSetId(1, 2);
export const openat = openWithoutSetId(2, 3);

const FILE_TYPE_AND_SET_ID = 0o176000;

function plainNode(modeArg: number): Decision {
  const plain = [0, 0o100000, 0o010000]; // no type means regular; S_IFREG; S_IFIFO
  return when(
    "allowed for regular files and FIFOs without setuid or setgid bits, else EPERM",
    [{ if: [{ arg: modeArg, mask: FILE_TYPE_AND_SET_ID, in: plain }], then: allow }],
    deny("EPERM"),
  );
}

export const mknod = plainNode(1);
export const mknodat = plainNode(2);

/** RENAME_WHITEOUT leaves a device behind, 0:0, which an overlay reads as the absence of a file. */
const WHITEOUT = { if: [{ arg: 4, any: 4 }], then: deny("EINVAL") };
export const renameat2 = when("EINVAL with RENAME_WHITEOUT, else allowed", [WHITEOUT], allow);

function sameIds(count: number): Decision {
  const tests = Array.from({ length: count }, (_, arg) => ({ arg, in: [JAIL_ID, UNCHANGED] }));
  const says = `allowed as a no-op (only ${JAIL_ID} and -1), else EPERM`;
  return when(says, [{ if: tests, then: allow }], deny("EPERM"));
}

export const setOneId = sameIds(1);
export const setTwoIds = sameIds(2);
export const setThreeIds = sameIds(3);

const SCHED_RESET_ON_FORK = 0x4000_0000;

export const schedSetscheduler = when(
  "allowed for SCHED_OTHER, SCHED_BATCH and SCHED_IDLE, else EPERM",
  [{ if: [{ arg: 1, mask: ~SCHED_RESET_ON_FORK >>> 0, in: [0, 3, 5] }], then: allow }],
  deny("EPERM"),
);

export const mmap = when(
  "ENOMEM with MAP_HUGETLB, else allowed",
  [{ if: [{ arg: 3, any: 0x4_0000 }], then: deny("ENOMEM") }],
  allow,
);

export const memfdCreate = when(
  "ENOMEM with MFD_HUGETLB, else allowed",
  [{ if: [{ arg: 1, any: 4 }], then: deny("ENOMEM") }],
  allow,
);

export const shmget = when(
  "ENOMEM with SHM_HUGETLB, else allowed",
  [{ if: [{ arg: 2, any: 0o4000 }], then: deny("ENOMEM") }],
  allow,
);

const MADV_MERGEABLE = 12;

export const madvise = when(
  "EINVAL for MADV_MERGEABLE, else allowed",
  [{ if: [{ arg: 2, in: [MADV_MERGEABLE] }], then: deny("EINVAL") }],
  allow,
);

const POSIX_FADV_DONTNEED = 4;

export const fadvise64 = when(
  "POSIX_FADV_DONTNEED succeeds without effect, else allowed",
  [{ if: [{ arg: 3, in: [POSIX_FADV_DONTNEED] }], then: pretend }],
  allow,
);

const IN_ACCESS_OPEN_OR_CLOSE = 0x1 | 0x10 | 0x20; // IN_ACCESS, IN_CLOSE_NOWRITE, IN_OPEN

export const inotifyAddWatch = when(
  "EINVAL with IN_ACCESS, IN_OPEN or IN_CLOSE_NOWRITE, else allowed",
  [{ if: [{ arg: 2, any: IN_ACCESS_OPEN_OR_CLOSE }], then: deny("EINVAL") }],
  allow,
);
