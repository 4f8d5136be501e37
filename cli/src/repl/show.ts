// What a cell does, as a person at a terminal sees it: output as it comes, values, tracebacks in colour, and pictures
// as files with names.
import { writeFile } from "node:fs/promises";
import { stripVTControlCharacters } from "node:util";
import type { CellError, CellResult, MimePart } from "@syla/contract/syla/session/v1/cell";
import type { SessionEvent } from "@syla/contract/syla/session/v1/session";
import { print, write } from "../output.ts";
import { toned } from "../render.ts";
import { bytesOf } from "../run.ts";

/** What is a file rather than text, and how such a file's name ends. */
const pictures: Readonly<Record<string, string>> = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/gif": "gif",
  "image/svg+xml": "svg",
  "application/pdf": "pdf",
};

/** Shows a session's events, and knows whether the cursor is at the beginning of a line. */
export class Show {
  readonly #interactive: boolean;
  #midLine = false;

  /** `interactive` when a person reads along; else values and pictures are not shown, as of a program. */
  constructor(interactive: boolean) {
    this.#interactive = interactive;
  }

  async event({ event, cell }: SessionEvent): Promise<void> {
    if (event.case === "stdout") await this.#output(process.stdout, bytesOf(event.value));
    if (event.case === "stderr") await this.#output(process.stderr, bytesOf(event.value));
    if (event.case === "result" || event.case === "update") await this.#result(event.value, cell);
    if (event.case === "error") await this.#error(event.value);
    if (event.case === "lostBytes") {
      await this.line(toned("faint", `… ${event.value} bytes are not kept any more`));
    }
  }

  /** A line of its own. */
  async line(text: string): Promise<void> {
    await this.freshLine();
    await print(`${text}\n`);
  }

  /** Ends a line that a program has left open. */
  async freshLine(): Promise<void> {
    if (this.#midLine && this.#interactive) await print("\n");
    this.#midLine = false;
  }

  async #output(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
    this.#midLine = typeof data === "string" ? !data.endsWith("\n") : data.at(-1) !== 0x0a;
    await write(stream, data);
  }

  async #result({ main, parts }: CellResult, cell: number): Promise<void> {
    if (main && !this.#interactive) return;
    for (const part of parts) {
      const ending = pictures[part.mimeType];
      if (ending === undefined) continue;
      const path = await save(part, cell, ending);
      return this.line(toned("faint", `saved ${path}`));
    }
    const plain = parts.find(({ mimeType }) => mimeType === "text/plain");
    if (plain !== undefined) await this.line(textOf(plain).replace(/\n$/, ""));
  }

  async #error({ name, message, traceback }: CellError): Promise<void> {
    await this.freshLine();
    const summary = message === "" ? name : `${name}: ${message}`;
    const lines =
      traceback.length === 0 ? [summary] : traceback.flatMap((part) => part.split("\n"));
    const shown = lines.map(stripVTControlCharacters).filter((line) => line !== "");
    const text = shown.map((line) => `${lookOf(line, name)}\n`).join("");
    await write(process.stderr, text);
  }
}

/** Where in the code is faint, what went wrong is not to be missed, and the code between them is as it is. */
function lookOf(line: string, name: string): string {
  const look = (tone: "bad" | "faint") => toned(tone, line, process.stderr);
  if (line.startsWith(name)) return look("bad");
  return /^(Traceback|\s+File "|\s+at )/.test(line) ? look("faint") : line;
}

function textOf({ data }: MimePart): string {
  return data.case === "text" ? data.value : "";
}

/** Writes a picture beside what is there and never over it; answers its path. */
async function save(part: MimePart, cell: number, ending: string): Promise<string> {
  const { data } = part;
  for (let copy = 1; ; copy += 1) {
    const path = `syla-${cell}${copy === 1 ? "" : `-${copy}`}.${ending}`;
    try {
      await writeFile(path, data.value ?? "", { flag: "wx" });
      return path;
    } catch (thrown) {
      if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
    }
  }
}
