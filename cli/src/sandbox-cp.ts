// `syla sandbox cp`: files and folders from here into a sandbox, and from there to here.
import { mkdir, open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import { type FileEntry, FileEntry_Type as EntryType } from "@syla/contract/syla/sandbox/v1/file";
import type { ProcessEvent } from "@syla/contract/syla/sandbox/v1/process";
import { type Syla, SylaError } from "@syla/sdk";
import { type Command, parseFlags } from "./command.ts";
import { Failure, pathFailure, platformFailure, usageFailure } from "./failure.ts";
import { interruptible } from "./interrupt.ts";
import { note } from "./output.ts";
import { connectRunning } from "./platform.ts";
import { printable } from "./render.ts";
import { bytesOf } from "./run.ts";

/** The `sandbox cp` command. */
export const cp: Command = {
  usage: "sandbox cp FROM TO",
  about: `Copies a file, or a folder with all in it, into a sandbox or out of one. The place in the sandbox
is SANDBOX:PATH; a relative path is below its working directory, which SANDBOX: alone is. What is
copied to a folder that is there, or to a path that ends with '/', keeps its name.`,
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

function parsePlace(text: string): { sandbox: string; path: string } | undefined {
  const match = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(.*)$/is.exec(text);
  return match === null ? undefined : { sandbox: match[1] ?? "", path: match[2] ?? "" };
}

// One call writes so much at most; the platform takes 4 MiB in one request, with everything around it.
const callBytesMax = 3 * 2 ** 20;
const callFilesMax = 500;
const pieceBytes = 2 ** 20;
const depthMax = 128;

interface LocalFile {
  readonly local: string;
  readonly path: string;
  readonly bytes: number;
  readonly mode: number;
}

async function copyIn(local: string, place: Place): Promise<void> {
  const stats = await stat(local).catch((thrown: unknown) => {
    throw pathFailure("read", local, thrown);
  });
  const target = await landing(place, basename(resolve(local)));
  const files: LocalFile[] = [];
  if (stats.isDirectory()) await collect(place, local, target, files);
  else files.push({ local, path: target, bytes: stats.size, mode: stats.mode & 0o777 });
  for (const batch of batches(files)) await sendBatch(place, batch);
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

async function collect(place: Place, local: string, path: string, files: LocalFile[]) {
  const { syla, sandbox, signal } = place;
  const entries = await readdir(local, { withFileTypes: true }).catch((thrown: unknown) => {
    throw pathFailure("read", local, thrown);
  });
  if (entries.length === 0) await syla.file.makeDirectory({ sandbox, path }, { signal });
  for (const entry of entries) {
    const from = join(local, entry.name);
    const to = posix.join(path, entry.name);
    if (entry.isDirectory()) {
      await collect(place, from, to, files);
    } else if (entry.isFile()) {
      const { size, mode } = await stat(from);
      files.push({ local: from, path: to, bytes: size, mode: mode & 0o777 });
    } else {
      await note(`left out '${printable(from)}': it is neither a file nor a folder`);
    }
  }
}

function batches(files: readonly LocalFile[]): LocalFile[][] {
  const all: LocalFile[][] = [];
  let bytes = Infinity;
  for (const file of files) {
    const last = all.at(-1);
    bytes += file.bytes;
    if (last === undefined || bytes > callBytesMax || last.length >= callFilesMax) {
      all.push([file]);
      bytes = file.bytes;
    } else {
      last.push(file);
    }
  }
  return all;
}

async function sendBatch({ syla, sandbox, signal }: Place, batch: readonly LocalFile[]) {
  const [first] = batch;
  if (first !== undefined && first.bytes > callBytesMax) {
    return sendLarge({ syla, sandbox, signal }, first);
  }
  const files = await Promise.all(
    batch.map(async ({ local, path, mode }) => {
      const value = await readFile(local).catch((thrown: unknown) => {
        throw pathFailure("read", local, thrown);
      });
      return { path, mode, body: { case: "contentBase64" as const, value } };
    }),
  );
  await syla.file.writeFiles({ sandbox, files }, { signal });
}

type Through = Pick<Place, "syla" | "sandbox" | "signal">;

// What no request holds goes through a process, beside its name until it is whole.
const receive = `umask 077; mkdir -p -- "$(dirname -- "$1")" && cat > "$1.part" &&
chmod "$2" "$1.part" && mv -- "$1.part" "$1"`;

async function sendLarge({ syla, sandbox, signal }: Through, file: LocalFile): Promise<void> {
  const path = file.path.startsWith("/") ? file.path : `./${file.path}`;
  const args = ["-c", receive, "receive", path, file.mode.toString(8)];
  const spec = { command: "sh", args, input: true };
  const { id } = await syla.process.startProcess({ sandbox, spec }, { signal });
  const handle = await open(file.local);
  try {
    const pieces: AsyncIterable<Buffer> = handle.createReadStream({ highWaterMark: pieceBytes });
    for await (const value of pieces) {
      const data = { case: "base64" as const, value };
      await syla.process.writeInput({ sandbox, id, data }, { signal });
    }
    await syla.process.writeInput({ sandbox, id, end: true }, { signal });
    await untilDone(syla.followProcess({ sandbox, id }, { signal }), file.path);
  } catch (thrown) {
    await syla.process.signalProcess({ sandbox, id, signal: "SIGKILL" }).catch(() => {});
    throw thrown;
  } finally {
    await handle.close();
  }
}

/** Follows a process to its end, which must be a good one. */
async function untilDone(
  events: AsyncIterable<ProcessEvent>,
  path: string,
  take: (bytes: Uint8Array) => Promise<void> = async () => {},
): Promise<void> {
  let said = "";
  for await (const { event } of events) {
    if (event.case === "stdout") await take(Buffer.from(bytesOf(event.value)));
    if (event.case === "stderr") said += Buffer.from(bytesOf(event.value)).toString();
    if (event.case === "lostBytes") throw platformFailure(`The bytes of '${path}' were lost.`);
    if (event.case === "ended" && event.value.exitCode !== 0) {
      throw platformFailure(`Cannot copy '${printable(path)}': ${printable(said)}.`);
    }
  }
}

async function copyOut(place: Place, local: string): Promise<void> {
  const { syla, sandbox, signal } = place;
  const path = place.path === "" ? "." : place.path;
  const entry = await syla.file.statFile({ sandbox, path }, { signal });
  const target = await localLanding(local, posix.basename(posix.normalize(entry.path)));
  // Of a link, what it leads to.
  if (entry.type !== EntryType.DIRECTORY) return fetchFile(place, path, entry, target);
  const listed = await syla.file.listFiles({ sandbox, path, depth: depthMax }, { signal });
  if (listed.truncated) throw platformFailure(`There is too much in '${path}' for one copy.`);
  await makeFolder(target);
  for (const each of listed.entries) {
    const to = join(target, below(entry.path, each.path));
    if (each.type === EntryType.DIRECTORY) await makeFolder(to);
    else if (each.type === EntryType.FILE) await fetchFile(place, each.path, each, to);
    else await note(`left out '${printable(each.path)}': it is neither a file nor a folder`);
  }
}

async function localLanding(local: string, name: string): Promise<string> {
  const stats = await stat(local).catch(() => undefined);
  if (stats?.isDirectory() !== true && !local.endsWith("/")) return local;
  if (name === "" || name === "." || name === "..")
    throw usageFailure("Give TO a name of its own.");
  return join(local, name);
}

// What a sandbox lists is its tenant's word, who is not to choose what is written here.
function below(root: string, path: string): string {
  const prefix = root.endsWith("/") ? root : `${root}/`;
  const rest = path.slice(prefix.length);
  if (path.startsWith(prefix) && rest !== "" && !rest.split("/").includes("..")) return rest;
  throw platformFailure(`The sandbox lists '${printable(path)}', which is not in '${root}'.`);
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
  try {
    const read = await syla.file.readFile({ sandbox, path }, { signal });
    const bytes = read.contentBase64.length > 0 ? read.contentBase64 : read.content;
    await writeFile(local, bytes, { mode });
  } catch (thrown) {
    if (!(thrown instanceof SylaError)) throw wordedFor(local, thrown);
    if (thrown.code !== "file_too_large") throw thrown;
    await fetchLarge(place, path, { local, mode });
  }
}

async function fetchLarge(place: Place, path: string, to: { local: string; mode: number }) {
  const { syla, sandbox, signal } = place;
  const handle = await open(to.local, "w", to.mode).catch((thrown: unknown) => {
    throw pathFailure("write", to.local, thrown);
  });
  try {
    const spec = { command: "cat", args: ["--", path] };
    const events = syla.followNewProcess({ sandbox, spec }, { signal });
    await untilDone(events, path, async (bytes) => {
      await handle.write(bytes);
    });
  } finally {
    await handle.close();
  }
}

function wordedFor(local: string, thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : pathFailure("write", local, thrown);
}
