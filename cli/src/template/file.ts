// A template as a file declares it, in TOML or JSON: the fields of the contract's TemplateSpec, sizes and times as the
// flags have them, and files that are here by their name.
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, extname, join, posix, resolve } from "node:path";
import { create, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type FileContent, FileContentSchema } from "@syla/contract/syla/sandbox/v1/file";
import { NetworkPolicySchema } from "@syla/contract/syla/sandbox/v1/network";
import { SandboxLimitsSchema } from "@syla/contract/syla/sandbox/v1/sandbox";
import { type TemplateSpec, TemplateSpecSchema } from "@syla/contract/syla/sandbox/v1/template";
import { pathFailure, usageFailure } from "../failure.ts";
import { parseNetwork } from "../network.ts";
import { parseBytes, parseCount, parseDurationMs } from "../size.ts";

/** Reads one; without a name it is called as its file. */
export async function readTemplateFile(path: string): Promise<TemplateSpec> {
  const text = await readFile(path, "utf8").catch((thrown: unknown) => {
    throw pathFailure("read", path, thrown);
  });
  const {
    files = [],
    limits,
    network,
    timeout,
    ...rest
  } = parseObject(await parse(path, text), path);
  // As the flag has it, or as the contract does.
  const isText = typeof network === "string";
  const plain = network === undefined || isText ? rest : { ...rest, network };
  const spec = readPlain(path, plain);
  if (isText) spec.network = create(NetworkPolicySchema, parseNetwork(network));
  if (spec.name === "") spec.name = basename(path, extname(path)).toLowerCase();
  if (timeout !== undefined) {
    spec.timeout = durationFromMs(parseDurationMs(textOf(timeout), "timeout"));
  }
  if (limits !== undefined) spec.limits = readLimits(parseObject(limits, "limits"));
  if (!Array.isArray(files)) throw usageFailure("Cannot read files: it is not a list.");
  for (const file of files) {
    spec.files.push(...(await readFiles(dirname(path), parseObject(file, "files"))));
  }
  return spec;
}

async function parse(path: string, text: string): Promise<unknown> {
  try {
    if (extname(path) === ".json") return JSON.parse(text);
    return (await import("smol-toml")).parse(text);
  } catch (thrown) {
    const said = thrown instanceof Error ? (thrown.message.split("\n")[0] ?? "") : String(thrown);
    throw usageFailure(`Cannot read '${path}': ${said}`);
  }
}

function readPlain(path: string, plain: JsonObject): TemplateSpec {
  try {
    return fromJson(TemplateSpecSchema, plain);
  } catch (thrown) {
    const said = thrown instanceof Error ? thrown.message : String(thrown);
    throw usageFailure(`Cannot read '${path}': ${said}.`);
  }
}

function readLimits({ memory, disk, pids, ...others }: JsonObject) {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw usageFailure(`There is no limit '${unknown}': there are memory, disk and pids.`);
  }
  return create(SandboxLimitsSchema, {
    memoryBytes: BigInt(memory === undefined ? 0 : parseBytes(textOf(memory), "limits.memory")),
    diskBytes: BigInt(disk === undefined ? 0 : parseBytes(textOf(disk), "limits.disk")),
    pids: pids === undefined ? 0 : parseCount(textOf(pids), "limits.pids"),
  });
}

/** `content` is in the declaration; `source` is a file here, or a folder with all in it. */
async function readFiles(folder: string, file: JsonObject): Promise<FileContent[]> {
  const { path, content, source, mode, ...others } = file;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw usageFailure(`A file has no '${unknown}': it has a path, content or source, and a mode.`);
  }
  if (typeof path !== "string") throw usageFailure("A file has no path.");
  const octal = mode === undefined ? 0 : Number.parseInt(textOf(mode), 8);
  if (typeof content === "string") {
    const body = { case: "content" as const, value: content };
    return [create(FileContentSchema, { path, mode: octal, body })];
  }
  if (typeof source !== "string") throw usageFailure(`The file '${path}' has no content.`);
  return readSource(resolve(folder, source), path, octal);
}

async function readSource(source: string, path: string, mode: number): Promise<FileContent[]> {
  try {
    const stats = await stat(source);
    if (!stats.isDirectory()) {
      const body = { case: "contentBase64" as const, value: await readFile(source) };
      return [create(FileContentSchema, { path, mode: mode || stats.mode & 0o777, body })];
    }
    const names = (await readdir(source)).toSorted();
    const inside = names.map((name) => readSource(join(source, name), posix.join(path, name), 0));
    return (await Promise.all(inside)).flat();
  } catch (thrown) {
    throw pathFailure("read", source, thrown);
  }
}

function parseObject(value: unknown, what: string): JsonObject {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw usageFailure(`Cannot read ${what}: it is not a table.`);
  }
  return value as JsonObject;
}

function textOf(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
