// Every setting of the sandbox service, with its default, its unit and its reason.
import { type ConfigOf, defineSettings } from "@syla/kit/config";

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
});

export type SandboxConfig = ConfigOf<typeof sandboxSettings>;
