/**
 * What a COLLECT_TREE brings out: one file, or a folder with all that is in it, as files that another jail can be
 * given. All of it or nothing: a folder that is too large, or that holds anything but regular files, is no answer.
 */
import type { AgentFrame, JailFile, WantedTree } from "./frames.ts";

export class TreeCollection {
  readonly #wanted: WantedTree;
  readonly #resolve: (files: readonly JailFile[] | undefined) => void;
  readonly #files: JailFile[] = [];
  #open: { path: string; mode: number; content: Buffer; leftBytes: number } | undefined;
  #bytes = 0;

  constructor(wanted: WantedTree, resolve: (files: readonly JailFile[] | undefined) => void) {
    this.#wanted = wanted;
    this.#resolve = resolve;
  }

  /** "wrong": the frame is not one that was due, and the jail is not to be believed any more. */
  take(frame: AgentFrame): "more" | "done" | "wrong" {
    switch (frame.type) {
      case "treeFile":
        return this.#begin(frame);
      case "treeData":
        return this.#add(frame.data);
      case "treeEnd":
        return this.#end(frame.errno);
      default:
        return "wrong";
    }
  }

  /** Nothing more will come. */
  abandon(): void {
    this.#resolve(undefined);
  }

  #begin({ path, mode, bytes }: Extract<AgentFrame, { type: "treeFile" }>): "more" | "wrong" {
    const { name, bytesMax, entriesMax } = this.#wanted;
    this.#bytes += bytes;
    if (path !== name && !path.startsWith(`${name}/`)) return "wrong";
    if (!this.#close() || this.#bytes > bytesMax || this.#files.length >= entriesMax)
      return "wrong";
    // At once, as the sum of them is bounded: a list of pieces takes many times their bytes when each is one byte.
    const content = Buffer.allocUnsafe(bytes);
    this.#open = { path, mode: mode & 0o777, content, leftBytes: bytes };
    return "more";
  }

  #add(data: Buffer): "more" | "wrong" {
    const file = this.#open;
    if (file === undefined || data.length > file.leftBytes) return "wrong";
    data.copy(file.content, file.content.length - file.leftBytes);
    file.leftBytes -= data.length;
    return "more";
  }

  #end(errno: number): "done" | "wrong" {
    if (errno === 0 && !this.#close()) return "wrong";
    // Two names that are not UTF-8 may have become one.
    const named = this.#files.every(({ path }) => !path.includes("\u{FFFD}"));
    this.#resolve(errno === 0 && named ? this.#files : undefined);
    return "done";
  }

  /** False when not all of the file has come. */
  #close(): boolean {
    const file = this.#open;
    this.#open = undefined;
    if (file === undefined) return true;
    const { path, mode, content, leftBytes } = file;
    this.#files.push({ path, mode, content });
    return leftBytes === 0;
  }
}
