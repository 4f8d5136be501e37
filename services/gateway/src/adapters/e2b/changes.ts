// Changes in a folder, as E2B tells them.
import { posix } from "node:path";
import {
  type FileChange,
  FileChange_Type as ChangeType,
  type FileService,
} from "@syla/contract/syla/sandbox/v1/file";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { entryInfo, orMissing, stat } from "./entry.ts";
import { Refusal } from "./errors.ts";
import { inside } from "./home.ts";

/** Which changes. */
export interface Watched {
  readonly path: string;
  readonly recursive: boolean;
  /** Whether each event comes with what is then at its path. */
  readonly includeEntry: boolean;
}

/** A change as E2B tells it. */
export interface Change {
  readonly name: string;
  readonly type: string;
  readonly entry?: object;
}

const changeTypes: ReadonlyMap<ChangeType, string> = new Map([
  [ChangeType.CREATED, "EVENT_TYPE_CREATE"],
  [ChangeType.WRITTEN, "EVENT_TYPE_WRITE"],
  [ChangeType.ATTRIBUTES, "EVENT_TYPE_CHMOD"],
  [ChangeType.REMOVED, "EVENT_TYPE_REMOVE"],
  [ChangeType.MOVED, "EVENT_TYPE_RENAME"],
]);

/** The changes in a folder; the first word says that none from then on is missed. */
export async function* changes(
  files: Client<typeof FileService>,
  { sandbox, context: parent }: { sandbox: string; context: CallContext },
  { path, recursive, includeEntry }: Watched,
): AsyncGenerator<Change | "begun"> {
  const folder = inside(path);
  const told = async (found: string, type: string): Promise<Change> => {
    const name = posix.relative(folder, found);
    if (!includeEntry) return { name, type };
    const at = posix.join(path, name);
    const entry = await orMissing(stat(files, sandbox, at, parent));
    return { name, type, ...(entry === undefined ? {} : { entry: entryInfo(entry, at) }) };
  };
  const request = { sandbox, path: folder, recursive };
  for await (const change of files.watchFiles(request, { parent })) {
    if (change.type === ChangeType.BEGUN) {
      yield "begun";
    } else if (change.type === ChangeType.LOST) {
      throw new Refusal("data_loss", `there were too many changes in ${path}: look at it anew`);
    } else {
      yield* eventsOf(change, told);
    }
  }
}

// There a move is two events: one of the name that is gone, one of the name that is there.
async function* eventsOf(
  change: FileChange,
  told: (path: string, type: string) => Promise<Change>,
): AsyncGenerator<Change> {
  const type = changeTypes.get(change.type);
  if (type === undefined) return;
  yield await told(change.path, type);
  if (change.type === ChangeType.MOVED) yield await told(change.newPath, "EVENT_TYPE_CREATE");
}
