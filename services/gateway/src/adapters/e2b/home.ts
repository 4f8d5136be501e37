// Where E2B's users are at home: their files are there, and relative paths begin there. A sandbox of Syla has another
// folder for that, and a link to it under E2B's name (`root.ts` of the sandbox service). So programs find their files
// by either name, and only what is told of a path is translated here: whoever asks by one name is answered by it.
import { posix } from "node:path";

export const home = "/home/user";
const work = "/work";

/** A path as E2B's user means it: absolute, without `.`, `..` and a slash at its end. */
export function absolute(path: string): string {
  const fromHome = path === "~" ? home : path.replace(/^~\//, `${home}/`);
  return posix.resolve(home, fromHome);
}

/** The same place without the link. */
export function inside(path: string): string {
  return isBelow(path, home) ? work + path.slice(home.length) : path;
}

/** What the sandbox calls `found`, by the name under which `asked` was asked for. */
export function outside(found: string, asked: string): string {
  return isBelow(asked, home) && isBelow(found, work) ? home + found.slice(work.length) : found;
}

/** A sentence that names paths, by E2B's names; who asked by the other one knows both. */
export function told(message: string): string {
  return message.replaceAll(/(?<![\w./-])\/work(?![\w-])/g, home);
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
