/**
 * Which cgroup hierarchies this host has and where in them we are. Three kinds are met: v2 (one
 * tree), v1 (one tree per controller), and hybrid (v1 controllers plus a v2 tree that has none,
 * which counts as v1 here, since limits are what we are after).
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** Where to read; a test points these at a directory of its own. */
export interface CgroupPaths {
  /** Default /proc/self/mountinfo. */
  readonly mountinfo?: string;
  /** Default /proc/self/cgroup. */
  readonly membership?: string;
}

export type CgroupLayout =
  | { readonly kind: "v2"; readonly directory: string }
  | {
      readonly kind: "v1" | "hybrid";
      /** Our own group's directory for each controller that is there. */
      readonly directories: ReadonlyMap<Controller, string>;
    }
  | { readonly kind: "none"; readonly reason: string };

/**
 * The v1 controllers that a jail uses; memory and pids are the ones it cannot do without. The freezer is first because
 * what a dead platform left frozen has to be thawed before it can be ended.
 */
export const CONTROLLERS = ["freezer", "memory", "pids", "cpu", "cpuacct"] as const;
export type Controller = (typeof CONTROLLERS)[number];

interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

export const detectCgroups = (paths: CgroupPaths = {}): CgroupLayout => {
  const mounts = parseMounts(readFileSync(paths.mountinfo ?? "/proc/self/mountinfo", "utf8"));
  const own = parseMembership(readFileSync(paths.membership ?? "/proc/self/cgroup", "utf8"));
  const v2 = mounts.find((mount) => mount.type === "cgroup2");
  const directories = new Map<Controller, string>();
  for (const controller of CONTROLLERS) {
    const mount = mounts.find((one) => one.type === "cgroup" && one.options.includes(controller));
    const path = own.get(controller);
    if (mount && path !== undefined) directories.set(controller, directoryOf(mount, path));
  }
  if (directories.has("memory") && directories.has("pids")) {
    return { kind: v2 ? "hybrid" : "v1", directories };
  }
  const path = own.get("");
  if (v2 && path !== undefined) return { kind: "v2", directory: directoryOf(v2, path) };
  return { kind: "none", reason: "no cgroup file system with memory and pids is mounted" };
};

/** A container may see a mount whose root is its own group, and paths that begin with that root. */
const directoryOf = (mount: Mount, path: string): string => {
  const below = relative(mount.root, path);
  return below.startsWith("..") ? join(mount.point, path) : join(mount.point, below);
};

/** Lines `36 35 0:30 ROOT POINT options - TYPE source superoptions`, with octal escapes. */
const parseMounts = (text: string): Mount[] =>
  text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ");
    const fields = left?.split(" ") ?? [];
    const [type, , options] = right?.split(" ") ?? [];
    const [root, point] = [fields[3], fields[4]];
    if (root === undefined || point === undefined || type === undefined) return [];
    const mount = { root: unescape(root), point: unescape(point), type };
    return [{ ...mount, options: options?.split(",") ?? [] }];
  });

const unescape = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** Lines `4:memory,pids:/path`; v2's line has no controllers: `0::/path`. */
const parseMembership = (text: string): Map<string, string> => {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, controllers, ...path] = line.split(":");
    if (controllers === undefined) continue;
    for (const controller of controllers.split(",")) paths.set(controller, path.join(":"));
  }
  return paths;
};
