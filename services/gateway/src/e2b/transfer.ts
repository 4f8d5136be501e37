// Files of any size. FileService takes and answers a file in one message; what is too large for that goes through a
// process of the sandbox, piece by piece, at the pace of both sides: a shell that writes beside the name and renames,
// or a `cat`. They are the tenant's own processes, so their paths and what they take are the tenant's.
import type { ProcessEvent, ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { outputBytes } from "./output.ts";

type Processes = Client<typeof ProcessService>;

/** How these processes are known, to be left out where processes are told. */
export const TRANSFER_TAG = "syla e2b transfer";

const env = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };
const saidCharsMax = 1000;
const folderExit = 21;
const writeScript = `
[ -d "$1" ] && exit ${folderExit}
mkdir -p "$(dirname "$1")" && part=$(mktemp "$1.XXXXXX") || exit 1
trap 'rm -f "$part"; exit 1' TERM
trap 'rm -f "$part"' EXIT
cat > "$part" && chmod "$(stat -Lc %a "$1" 2>/dev/null || echo 644)" "$part" && mv "$part" "$(realpath -m "$1")"
`;

/** Where a transfer takes place, and on behalf of whom. */
export interface Place {
  readonly sandbox: string;
  readonly path: string;
  readonly parent: CallContext;
}

/** Writes a file, whole or not at all. */
export async function writeLarge(
  processes: Processes,
  { sandbox, path, parent }: Place,
  content: AsyncIterable<Buffer>,
): Promise<void> {
  const args = ["-c", writeScript, "sh", path];
  const spec = { command: "/bin/sh", args, env, directory: "/", tag: TRANSFER_TAG, input: true };
  const process = await processes.startProcess({ sandbox, spec }, { parent });
  const at = { sandbox, id: process.id };
  try {
    for await (const value of content) {
      await processes.writeInput({ ...at, data: { case: "base64", value } }, { parent });
    }
    await processes.writeInput({ ...at, end: true }, { parent });
  } catch (thrown) {
    // It has ended already: what it said tells why.
    const closed = thrown instanceof SylaError && thrown.code === "process_input_closed";
    if (!closed) {
      // Not on behalf of the caller, who may be the one that has left.
      await processes.signalProcess({ ...at, signal: "SIGTERM" }).catch(() => undefined);
      throw thrown;
    }
  }
  const events = untilEnd(processes.watchProcess(at, { parent }), path);
  while ((await events.next()).done !== true);
}

/** What is in a file. */
export async function* readLarge(
  processes: Processes,
  { sandbox, path, parent }: Place,
): AsyncGenerator<Buffer> {
  const args = ["--", path];
  const spec = { command: "cat", args, env, directory: "/", tag: TRANSFER_TAG };
  let id: number | undefined;
  const events = processes.startProcessStream({ sandbox, spec }, { parent });
  try {
    for await (const event of untilEnd(events, path)) {
      if (event.case === "started") ({ id } = event.value);
      else if (event.case === "stdout") yield outputBytes(event.value);
    }
    id = undefined;
  } finally {
    if (id !== undefined) {
      await processes.signalProcess({ sandbox, id, signal: "SIGKILL" }).catch(() => undefined);
    }
  }
}

/** The events of a transfer to its end; throws when it failed. */
async function* untilEnd(
  events: AsyncIterable<ProcessEvent>,
  path: string,
): AsyncGenerator<ProcessEvent["event"]> {
  let said = "";
  for await (const { event } of events) {
    if (event.case === "stderr" && said.length < saidCharsMax) {
      said += outputBytes(event.value).toString("utf8");
    } else if (event.case === "lostBytes") {
      throw new SylaError("cancelled", "The reader was too slow.");
    } else if (event.case === "ended" && event.value.exitCode !== 0) {
      throw refusal(path, event.value.exitCode, said);
    }
    yield event;
  }
}

function refusal(path: string, exitCode: number | undefined, said: string): SylaError {
  if (exitCode === folderExit) {
    return new SylaError("file_conflict", `Cannot use ${path}: it is a folder.`);
  }
  if (/No space left|quota exceeded/i.test(said)) {
    return new SylaError("sandbox_disk_full", `Cannot use ${path}: the sandbox's disk is full.`);
  }
  if (/Read-only|Permission denied|not permitted/.test(said)) {
    return new SylaError("file_refused", `Cannot use ${path}: the user may not do that there.`);
  }
  return new SylaError("file_conflict", `Cannot use ${path}: ${said.trim() || "it was ended"}.`);
}
