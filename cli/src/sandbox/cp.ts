// `syla sandbox cp`: files and folders from here into a sandbox, and from there to here.
import { createReadStream } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import { type FileEntry, FileEntry_Type as EntryType } from "@syla/contract/syla/sandbox/v1/file";
import { type Syla, SylaError } from "@syla/sdk";
import { type Command, parseFlags } from "../command.ts";
import { pathFailure, usageFailure } from "../failure.ts";
import { interruptible } from "../interrupt.ts";
import { connectRunning } from "../platform.ts";
import { packFolder, unpackInto } from "../tar.ts";
import { parsePlace } from "./place.ts";

/** The `sandbox cp` command. */
export const cp: Command = {
  usage: "sandbox cp FROM TO",
  about: `Copies a file, or a folder with all in it, into a sandbox or out of one. The place in the sandbox
is SANDBOX:PATH; a relative path is below its working directory, which SANDBOX: alone is. What is
copied to a folder that is there, or to a path that ends with '/', keeps its name. A folder goes as one
archive, made and unpacked here by 'tar': links in it stay links.`,
  flags: {},
  examples: [
    ["syla sandbox cp main.py 0197a2c4-…:", "a file into its working directory"],
    ["syla sandbox cp src 0197a2c4-…:app/", "a folder, as app/src"],
    ["syla sandbox cp 0197a2c4-…:out/plot.png .", "a file out of it"],
  ],
  execute,
};

interface Place {
  readonly syla: Syla;
  readonly sandbox: string;
  readonly path: string;
  readonly signal: AbortSignal;
}

async function execute(args: string[]): Promise<number> {
  const { positionals } = parseFlags({}, args);
  const [from, to, extra] = positionals;
  if (from === undefined || to === undefined) throw usageFailure("FROM or TO is missing.");
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
  const inside = { from: parsePlace(from), to: parsePlace(to) };
  if ((inside.from === undefined) === (inside.to === undefined)) {
    throw usageFailure("One of FROM and TO must be in a sandbox, written SANDBOX:PATH.");
  }
  return interruptible(async ({ signal }) => {
    const { syla } = await connectRunning();
    if (inside.to !== undefined) await copyIn(from, { syla, ...inside.to, signal });
    if (inside.from !== undefined) await copyOut({ syla, ...inside.from, signal }, to);
    return 0;
  });
}

async function copyIn(local: string, place: Place): Promise<void> {
  const stats = await stat(local).catch((thrown: unknown) => {
    throw pathFailure("read", local, thrown);
  });
  const path = await landing(place, basename(resolve(local)));
  const { syla, sandbox, signal } = place;
  if (stats.isDirectory()) {
    await syla.uploadArchive({ sandbox, path }, packFolder(local), { signal });
    return;
  }
  await syla.uploadFile({ sandbox, path, mode: stats.mode & 0o777 }, bytesIn(local), { signal });
}

async function* bytesIn(local: string): AsyncGenerator<Uint8Array> {
  const pieces: AsyncIterable<Buffer> = createReadStream(local);
  try {
    yield* pieces;
  } catch (thrown) {
    throw pathFailure("read", local, thrown);
  }
}

/** Where what has a name goes: the path itself, or below it when that is a folder. */
async function landing({ syla, sandbox, path, signal }: Place, name: string): Promise<string> {
  if (path === "") return name;
  if (path.endsWith("/")) return posix.join(path, name);
  try {
    const { type } = await syla.file.statFile({ sandbox, path }, { signal });
    return type === EntryType.DIRECTORY ? posix.join(path, name) : path;
  } catch (thrown) {
    if (thrown instanceof SylaError && thrown.code === "file_not_found") return path;
    throw thrown;
  }
}

async function copyOut(place: Place, local: string): Promise<void> {
  const { syla, sandbox, signal } = place;
  const path = place.path === "" ? "." : place.path;
  const entry = await syla.file.statFile({ sandbox, path }, { signal });
  const target = await localLanding(local, posix.basename(posix.normalize(entry.path)));
  // Of a link, what it leads to.
  if (entry.type !== EntryType.DIRECTORY) return fetchFile(place, path, entry, target);
  await makeFolder(target);
  await unpackInto(target, dataOf(syla.file.downloadArchive({ sandbox, path }, { signal })));
}

async function localLanding(local: string, name: string): Promise<string> {
  const stats = await stat(local).catch(() => undefined);
  if (stats?.isDirectory() !== true && !local.endsWith("/")) return local;
  if (name === "" || name === "." || name === "..")
    throw usageFailure("Give TO a name of its own.");
  return join(local, name);
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((thrown: unknown) => {
    throw pathFailure("make", path, thrown);
  });
}

async function fetchFile(place: Place, path: string, entry: FileEntry, local: string) {
  const { syla, sandbox, signal } = place;
  const mode = entry.type === EntryType.FILE ? entry.mode & 0o777 : 0o644;
  await makeFolder(dirname(local));
  const handle = await open(local, "w", mode).catch((thrown: unknown) => {
    throw pathFailure("write", local, thrown);
  });
  try {
    for await (const data of dataOf(syla.file.downloadFile({ sandbox, path }, { signal }))) {
      await handle.writeFile(data).catch((thrown: unknown) => {
        throw pathFailure("write", local, thrown);
      });
    }
  } finally {
    await handle.close();
  }
}

async function* dataOf(
  parts: AsyncIterable<{ readonly data: Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  for await (const { data } of parts) if (data.length > 0) yield data;
}
