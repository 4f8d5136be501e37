// `filesystem.Filesystem`: what E2B's SDKs call for all of files but their content, over FileService.
import { FileEntry_Type as EntryType, type FileService } from "@syla/contract/syla/sandbox/v1/file";
import type { Client } from "@syla/kit/client";
import { changes } from "./changes.ts";
import { entryInfo, orMissing, stat } from "./entry.ts";
import { Refusal } from "./errors.ts";
import type { Fields } from "./fields.ts";
import { absolute, inside } from "./home.ts";
import type { Call, Methods } from "./rpc.ts";
import type { Watchers } from "./watchers.ts";

type Files = Client<typeof FileService>;

/** The methods of `filesystem.Filesystem`. */
export function filesystemMethods(files: Files, watchers: Watchers): Methods {
  return {
    unary: {
      Stat: async ({ sandbox, fields, context }) => {
        const path = pathOf(fields);
        return { entry: entryInfo(await stat(files, sandbox, path, context), path) };
      },
      ListDir: (call) => listDirectory(files, call),
      MakeDir: (call) => makeDirectory(files, call),
      Move: async ({ sandbox, fields, context: parent }) => {
        const [from, to] = [pathOf(fields, "source"), pathOf(fields, "destination")];
        const request = { sandbox, path: inside(from), newPath: inside(to) };
        return { entry: entryInfo(await files.moveFile(request, { parent }), to) };
      },
      Remove: async ({ sandbox, fields, context: parent }) => {
        const path = inside(pathOf(fields));
        // There it is no error that nothing is there.
        await orMissing(files.removeFile({ sandbox, path }, { parent }));
        return {};
      },
      CreateWatcher: async ({ sandbox, fields, context }) => {
        const path = await folderOf(files, { sandbox, fields, context });
        const events = { path, recursive: fields.flag("recursive"), includeEntry: entries(fields) };
        return {
          watcherId: await watchers.open(sandbox, (parent) => {
            return changes(files, { sandbox, context: parent }, events);
          }),
        };
      },
      GetWatcherEvents: async ({ sandbox, fields }) => {
        return { events: await watchers.take(sandbox, fields.text("watcherId")) };
      },
      RemoveWatcher: async ({ sandbox, fields }) => {
        watchers.remove(sandbox, fields.text("watcherId"));
        return {};
      },
    },
    streams: {
      WatchDir: { keepalive: { keepalive: {} }, handle: (call) => watchDirectory(files, call) },
    },
  };
}

function pathOf(fields: Fields, name = "path"): string {
  return absolute(fields.text(name));
}

function entries(fields: Fields): boolean {
  return fields.flag("includeEntry");
}

async function listDirectory(files: Files, call: Call): Promise<object> {
  const { sandbox, fields, context } = call;
  const path = await folderOf(files, call);
  const request = { sandbox, path: inside(path), depth: fields.count("depth") || 1 };
  const { entries: found, truncated } = await files.listFiles(request, { parent: context });
  if (truncated) {
    throw new Refusal("out_of_range", `there is more in ${path} than one answer holds`);
  }
  return { entries: found.map((entry) => entryInfo(entry, path)) };
}

/** The path of a folder that is there, behind links. */
async function folderOf(
  files: Files,
  { sandbox, fields, context }: Pick<Call, "sandbox" | "fields" | "context">,
): Promise<string> {
  const path = pathOf(fields);
  const { type } = await stat(files, sandbox, path, context);
  if (type === EntryType.FILE || type === EntryType.OTHER) {
    throw new Refusal("invalid_argument", `path is not a directory: ${path}`);
  }
  return path;
}

async function makeDirectory(
  files: Files,
  { sandbox, fields, context: parent }: Call,
): Promise<object> {
  const path = pathOf(fields);
  const there = await orMissing(stat(files, sandbox, path, parent));
  if (there?.type === EntryType.DIRECTORY) {
    throw new Refusal("already_exists", `directory already exists: ${path}`);
  }
  if (there !== undefined) {
    const message = `path already exists but it is not a directory: ${path}`;
    throw new Refusal("invalid_argument", message);
  }
  const made = await files.makeDirectory({ sandbox, path: inside(path) }, { parent });
  return { entry: entryInfo(made, path) };
}

async function* watchDirectory(files: Files, call: Call): AsyncGenerator<object> {
  const { fields, timeoutMs, context, sandbox } = call;
  const path = await folderOf(files, call);
  const watched = { path, recursive: fields.flag("recursive"), includeEntry: entries(fields) };
  const follower = context.child(
    timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
  );
  for await (const change of changes(files, { sandbox, context: follower }, watched)) {
    yield change === "begun" ? { start: {} } : { filesystem: change };
  }
}
