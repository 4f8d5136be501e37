// Every setting of the sandbox service, with its default, its unit and its reason.
import { totalmem } from "node:os";
import { type ConfigOf, defineSettings } from "@syla/kit/config";

const gibibyte = 1024 ** 3;

export const sandboxSettings = defineSettings({
  limits: {
    key: "sandbox.limits",
    type: "enum",
    values: ["cgroup", "rlimit"],
    default: "cgroup",
    description:
      "How programs are limited. `rlimit` is for hosts where no cgroup can be written: each process is limited, but not all of them together.",
  },
  cpus: {
    key: "sandbox.cpus",
    type: "int",
    unit: "cores",
    min: 1,
    max: 1024,
    default: 2,
    description: "How many cores one program may keep busy.",
  },
  diskInodes: {
    key: "sandbox.disk_inodes",
    type: "int",
    min: 64,
    max: 10_000_000,
    default: 20_000,
    description: "How many files and folders fit on a program's disk.",
  },
  warmInterpreters: {
    key: "sandbox.warm_interpreters",
    type: "bool",
    default: true,
    description:
      "Whether an interpreter is started in a jail that waits: Python's runs are forks of one, those of JavaScript, TypeScript, Ruby, PHP and R are given to one that is used once. Without, a program's own interpreter is started when it comes, with an address space and a hash seed that it shares with none.",
  },
  pythonPreload: {
    key: "sandbox.python_preload",
    type: "list",
    default: [],
    description:
      "Python packages, such as `numpy`, that are loaded once and then there for every program; they must be installed for the interpreter on the host. A zygote with them has none of the host's powers, but trust them: every program runs with them.",
  },
  prepare: {
    key: "sandbox.prepare",
    type: "bool",
    default: true,
    description:
      "Runs each language once at start, and builds in the background what makes some of them fast (Go's standard library, once for each version). Otherwise that is built before a language's first program.",
  },
  cacheDirectory: {
    key: "sandbox.cache_directory",
    type: "string",
    description: "Where that is kept; without it, `languages` in the data folder.",
  },
  buildCacheBytes: {
    key: "sandbox.build_cache_bytes",
    type: "bytes",
    min: 0,
    default: gibibyte / 2,
    description:
      "How much of what compilers made is kept in the data folder, so that a program that was built before is not built again. Builds are shared by all who send the same files, and one that starts at once tells that somebody did; 0 keeps none.",
  },
  poolWarm: {
    key: "sandbox.pool_warm",
    type: "int",
    unit: "slots",
    min: 0,
    max: 4000,
    default: 200,
    description:
      "The most jails that wait, made in advance, for programs to come; 0 makes each when it is asked for. How many really do follows the demand.",
  },
  poolMax: {
    key: "sandbox.pool_max",
    type: "int",
    unit: "slots",
    min: 1,
    max: 4000,
    default: 1000,
    description: "The most jails at one time, waiting or in use.",
  },
  poolTtlMs: {
    key: "sandbox.pool_ttl",
    type: "duration",
    min: 1000,
    default: 300_000,
    description: "How long a jail waits before it is made anew.",
  },
  poolWindowMs: {
    key: "sandbox.pool_window",
    type: "duration",
    min: 1000,
    default: 900_000,
    description:
      "How far back the demand is looked at: as many jails wait as were in use at one time in this window, times the scale.",
  },
  poolScalePercent: {
    key: "sandbox.pool_scale",
    type: "int",
    unit: "percent",
    min: 100,
    max: 10_000,
    default: 130,
    description: "How many jails wait, in percent of the most that were in use at one time.",
  },
  poolMemoryBytes: {
    key: "sandbox.pool_memory",
    type: "bytes",
    min: 0,
    default: Math.min(gibibyte, Math.floor(totalmem() / 8)),
    defaultNote: "an eighth of the memory, at most 1 GiB",
    description: "No further jail is made in advance while those that wait take more than this.",
  },
  keptMax: {
    key: "sandbox.kept_max",
    type: "int",
    min: 0,
    max: 4000,
    default: 500,
    description:
      "How many sandboxes may be kept at one time; one more is refused with `sandboxes_full`.",
  },
  keptLifetimeMs: {
    key: "sandbox.kept_lifetime",
    type: "duration",
    min: 1000,
    max: 86_400_000,
    default: 300_000,
    description: "How long a sandbox stays, unless it is asked for longer or extended.",
  },
  keptMemoryBytes: {
    key: "sandbox.kept_memory",
    type: "bytes",
    min: 16 * 1024 ** 2,
    default: gibibyte,
    description:
      "How much memory a sandbox may use, its disk included, unless it is asked for otherwise.",
  },
  keptPids: {
    key: "sandbox.kept_pids",
    type: "int",
    min: 8,
    max: 32_768,
    default: 512,
    description:
      "How many processes and threads a sandbox may have, unless it is asked for otherwise.",
  },
  keptDiskBytes: {
    key: "sandbox.kept_disk",
    type: "bytes",
    min: 65_536,
    default: gibibyte / 4,
    description: "How much fits on a sandbox's disk, unless it is asked for otherwise.",
  },
  processOutputBytes: {
    key: "sandbox.process_output",
    type: "bytes",
    min: 65_536,
    default: 1024 ** 2,
    description:
      "How much of each process's last output is held for those who come back to it. Who follows along misses nothing, whatever this is.",
  },
  networkDns: {
    key: "sandbox.network_dns",
    type: "list",
    default: [],
    description:
      "Addresses of the name servers that sandboxes' hosts are looked up by; without any, those of the host.",
  },
  networkDeny: {
    key: "sandbox.network_deny",
    type: "list",
    default: [],
    description:
      "Addresses and ranges, such as `198.18.7.0/24`, that no sandbox reaches whatever its policy says, beside those that are never reached: name the public addresses by which the platform itself can be reached.",
  },
  networkAllowPrivate: {
    key: "sandbox.network_allow_private",
    type: "list",
    default: [],
    description:
      "Private ranges, such as `10.1.0.0/16`, that policies may allow. Loopback, link-local and metadata addresses and the host's own are refused all the same.",
  },
  networkConnections: {
    key: "sandbox.network_connections",
    type: "int",
    min: 1,
    max: 200,
    default: 100,
    description: "How many connections one sandbox may have open to the network.",
  },
  networkConnectionsAll: {
    key: "sandbox.network_connections_all",
    type: "int",
    min: 1,
    max: 100_000,
    default: 2000,
    description: "How many connections all sandboxes together may have open to the network.",
  },
  networkIdleMs: {
    key: "sandbox.network_idle",
    type: "duration",
    min: 1000,
    max: 86_400_000,
    default: 600_000,
    description: "After how long a connection of a sandbox that nothing moves on is ended.",
  },
  snapshotBytes: {
    key: "sandbox.snapshot_bytes",
    type: "bytes",
    min: 0,
    default: 8 * gibibyte,
    description:
      "How much snapshots and templates may take in the data folder together, with the files of templates that their sandboxes share; one more is refused with `snapshots_full`.",
  },
  snapshotBytesEach: {
    key: "sandbox.snapshot_bytes_each",
    type: "bytes",
    min: 0,
    default: 2 * gibibyte,
    description:
      "How much one snapshot, template or fork may take; a larger one is refused with `snapshot_too_large`.",
  },
});

export type SandboxConfig = ConfigOf<typeof sandboxSettings>;
