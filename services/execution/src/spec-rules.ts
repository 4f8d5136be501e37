// What a spec must keep to and the contract's own rules cannot say, because it is about several fields together or
// about this installation. It is asked before anything is queued, so that a request that no jail could carry out is its
// caller's error and no run.
import type {
  ExecutionLimits,
  ExecutionSpec,
  SourceFile,
} from "@syla/contract/syla/execution/v1/spec";
import { toBinary } from "@bufbuild/protobuf";
import { NetworkPolicySchema } from "@syla/contract/syla/sandbox/v1/network";
import type { Violation } from "@syla/kit/error";
import { invalidRequest } from "@syla/kit/validate";
import type { ExecutionConfig } from "./config.ts";
import { secretFaults } from "./secrets.ts";

/** What Linux allows for a part of a path (NAME_MAX) and for all of it (PATH_MAX, less the working directory). */
const partBytesMax = 255;
const nameBytesMax = 4000;

/**
 * Arguments, environment and file names together: a sandbox starts a program with at most 1 MiB of them, of which a
 * language's own arguments take a little.
 */
const startBytesMax = 896 * 1024;
/** What each costs beyond its characters. */
const stringBytes = 8;

/** The most that an execution may ask for on this installation. */
export type Maxima = Pick<ExecutionConfig, "memoryBytesMax" | "pidsMax">;

/** Throws `invalid_request` with every fault; `pointer` says where the spec is in the request. */
export function checkSpec(spec: ExecutionSpec, pointer: string, maxima: Maxima): void {
  const violations = [
    ...limitFaults(spec.limits, `${pointer}/limits`, maxima),
    ...fileFaults(spec.files, `${pointer}/files`),
    ...secretFaults(spec, `${pointer}/secrets`),
    ...startFaults(spec, `${pointer}/args`),
  ];
  if (violations.length > 0) throw invalidRequest(violations);
}

function limitFaults(
  limits: ExecutionLimits | undefined,
  pointer: string,
  { memoryBytesMax, pidsMax }: Maxima,
): Violation[] {
  const asked = [
    { name: "memoryBytes", value: Number(limits?.memoryBytes ?? 0), most: memoryBytesMax },
    { name: "pids", value: limits?.pids ?? 0, most: pidsMax },
  ];
  return asked
    .filter(({ value, most }) => value > most)
    .map(({ name, most }) => ({
      pointer: `${pointer}/${name}`,
      detail: `must be at most ${most} on this installation`,
      rule: "limits.installation",
    }));
}

/** No two files in the same place, none where another has a folder, no name longer than a file system takes. */
function fileFaults(files: readonly SourceFile[], pointer: string): Violation[] {
  const names = new Map<string, number>();
  const folders = new Map<string, number>();
  const faults: Violation[] = [];
  for (const [index, { name }] of files.entries()) {
    const at = `${pointer}/${index}/name`;
    if (tooLong(name)) {
      const detail = `must have parts of at most ${partBytesMax} bytes`;
      faults.push({ pointer: at, detail, rule: "file.length" });
      continue;
    }
    const parents = foldersOf(name);
    const clash = names.get(name) ?? folders.get(name) ?? firstOf(parents, names);
    if (clash !== undefined) {
      const detail = `cannot be beside file ${clash}: both need the same place`;
      faults.push({ pointer: at, detail, rule: "file.unique" });
    }
    names.set(name, index);
    for (const parent of parents) folders.set(parent, index);
  }
  return faults;
}

function tooLong(name: string): boolean {
  const long = (text: string, bytesMax: number) => Buffer.byteLength(text) > bytesMax;
  return long(name, nameBytesMax) || name.split("/").some((part) => long(part, partBytesMax));
}

/** `a/b/c` lies in `a` and `a/b`. */
function foldersOf(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function firstOf(keys: readonly string[], map: ReadonlyMap<string, number>): number | undefined {
  return keys.map((key) => map.get(key)).find((found) => found !== undefined);
}

/** About how many bytes a spec holds in memory. */
export function specBytes(spec: ExecutionSpec): number {
  const { code, stdin, args, env, secrets, artifacts, metadata, files } = spec;
  const maps = [env, secrets, metadata].flatMap((map) => Object.entries(map).flat());
  const strings = [code, stdin, ...args, ...artifacts, ...maps, ...files.map(({ name }) => name)];
  const text = strings.reduce((sum, one) => sum + one.length + stringBytes, 0);
  const network = spec.network && toBinary(NetworkPolicySchema, spec.network).length;
  return files.reduce((sum, { body }) => sum + (body.value?.length ?? 0), text + (network ?? 0));
}

function startFaults(spec: ExecutionSpec, pointer: string): Violation[] {
  const { args, env, secrets, files } = spec;
  const variables = [env, secrets].flatMap((map) => Object.entries(map).flat());
  const strings = [...args, ...variables, ...files.map(({ name }) => name)];
  const bytes = strings.reduce((sum, text) => sum + Buffer.byteLength(text) + stringBytes, 0);
  if (bytes <= startBytesMax) return [];
  const detail = `take ${bytes} bytes with the environment and file names, more than ${startBytesMax}`;
  return [{ pointer, detail, rule: "start.size" }];
}
