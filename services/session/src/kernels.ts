// The programs that make an interpreter keep its state: which languages have one, how each is started and told what to
// do. A program is sent on the interpreter's standard input, so that no file of it lies in the tenant's way.
import { readdirSync, readFileSync } from "node:fs";

/** What an interpreter is told. */
export interface Command {
  readonly do: "run" | "answer" | "complete" | "inspect" | "check";
  /** The cell to run. */
  readonly cell?: number;
  readonly silent?: boolean;
  readonly uncounted?: boolean;
  /** To evaluate when it has run to its end, by name. */
  readonly expressions?: Readonly<Record<string, string>>;
  readonly input?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** How many bytes a word may have. */
  readonly max?: number;
  readonly code?: string;
  /** A question's number, and the place in code that it is about. */
  readonly id?: number;
  readonly cursor?: number;
  /** The answer to what a cell asks, or that there is none. */
  readonly text?: string;
  readonly end?: boolean;
}

/** How the interpreter of a language is started and spoken to. */
export interface KernelProgram {
  /** The command, of the interpreter's path: it makes that read its program from its standard input. */
  readonly command: (interpreter: string) => readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string>>;
  /** What is written to it first. */
  readonly source: Buffer;
  /** A command as it reads them. */
  readonly encode: (command: Command) => string;
}

interface Entry extends Omit<KernelProgram, "source" | "encode"> {
  readonly source: () => string;
  readonly encode?: KernelProgram["encode"];
}

// In each, the first line says how many bytes follow; what comes after them is for the program.
const pythonStart = `import os
b = b""
while not b.endswith(b"\\n"): b += os.read(0, 1)
n, b = int(b), b""
while len(b) < n: b += os.read(0, n - len(b))
exec(compile(b, "<kernel>", "exec"), {"__name__": "kernel"})`;

const nodeStart = `{
const { readSync } = require("node:fs"), { Script, constants } = require("node:vm");
let head = "", bytes = Buffer.alloc(1);
while (readSync(4, bytes, 0, 1) && bytes[0] !== 10) head += bytes;
bytes = Buffer.alloc(+head);
for (let at = 0; at < bytes.length;) at += readSync(4, bytes, at, bytes.length - at);
const options = { filename: "<kernel>", importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
new Script("(function (require, process) {" + bytes + "\\n})", options).runInThisContext()(require, process);
}`;

const bashStart = `exec {__syla_errors}>&2; export __syla_errors; exec "$0" --noprofile --norc --noediting -i 2>/dev/null`;

const rubyStart = `eval(STDIN.readpartial(1 << 20).then { |part|
  head, _, text = part.partition("\\n")
  text << STDIN.readpartial([head.to_i - text.bytesize, 65536].min) while text.bytesize < head.to_i
  text.force_encoding("UTF-8") }, nil, "<kernel>")`;

// R reads no descriptor but by a path. It gets a new one by that, and closes this.
const rStart = `local({
  commands <- fifo("/proc/self/fd/4", "r", blocking = TRUE)
  left <- as.integer(readLines(commands, 1L))
  text <- character()
  while (left > 0L) {
    text <- c(text, readLines(commands, 1L))
    left <- left - nchar(text[length(text)], "bytes") - 1L
  }
  eval(parse(text = text, keep.source = FALSE), list2env(list(commands = commands), parent = baseenv()))
})`;

const node: Entry["command"] = (interpreter) => [
  // What cells start has nothing on its standard input, and not the commands.
  ...(["/bin/sh", "-c", 'exec "$0" "$@" 4<&0 </dev/null'] as const),
  ...[interpreter, "--disable-warning=ExperimentalWarning", "-e", nodeStart],
];

const entries: Readonly<Record<string, Entry>> = {
  python: {
    command: (interpreter) => [interpreter, "-c", pythonStart],
    // What is installed while it runs goes into the user's own folder.
    env: { PYTHONNOUSERSITE: "", PYTHONUNBUFFERED: "", MPLBACKEND: "agg" },
    source: pythonSource,
  },
  javascript: { command: node, env: {}, source: () => nodeSource("javascript") },
  typescript: { command: node, env: {}, source: () => nodeSource("typescript") },
  bash: {
    command: (interpreter) => [interpreter, "-c", bashStart, interpreter],
    env: {},
    source: () => ["input", "kernel"].map((name) => textOf(`bash/${name}.bash`)).join(""),
    encode: bashLine,
  },
  ruby: {
    command: (interpreter) => [interpreter, "-e", rubyStart],
    env: {},
    source: () => textOf("ruby/kernel.rb"),
  },
  r: {
    command: (interpreter) => [
      ...(["/bin/sh", "-c", 'exec "$0" "$@" 4<&0 </dev/null'] as const),
      ...[interpreter, "--no-echo", "--no-restore", "-e", rStart],
    ],
    env: { R_LIBS_USER: "~/.local/lib/R" },
    source: rSource,
    encode: rLine,
  },
};

/** The languages that have one. */
export const kernelLanguages = Object.keys(entries);

const known = new Map<string, KernelProgram>();

/** The program of a language; undefined when it has none. */
export function kernelProgram(language: string): KernelProgram | undefined {
  const entry = Object.hasOwn(entries, language) ? entries[language] : undefined;
  if (entry === undefined) return undefined;
  const made = known.get(language) ?? programOf(entry);
  known.set(language, made);
  return made;
}

function programOf({ source: text, encode = JSON.stringify, ...rest }: Entry): KernelProgram {
  const bytes = Buffer.from(text());
  // Bash reads the lines of its program as it reads commands.
  const head = encode === bashLine ? "" : `${bytes.length}\n`;
  return { ...rest, encode, source: Buffer.concat([Buffer.from(head), bytes]) };
}

function textOf(name: string): string {
  return readFileSync(new URL(`../kernels/${name}`, import.meta.url), "utf8");
}

/** What begins as the kernel does is one program; what is seldom needed is sent as text, and compiled when it is. */
function pythonSource(): string {
  const names = readdirSync(new URL("../kernels/python/", import.meta.url));
  const parts = names.filter((name) => name.endsWith(".py") && !name.startsWith("kernel"));
  const texts = parts.map((name) => [name.slice(0, -3), textOf(`python/${name}`)]);
  const ends = ["", "_show", "_cells", "_hooks", "_serve"];
  const kernel = ends.map((end) => textOf(`python/kernel${end}.py`));
  // A text in JSON is the same text in Python.
  return [`PARTS = ${JSON.stringify(Object.fromEntries(texts))}`, ...kernel].join("\n");
}

function nodeSource(language: string): string {
  const files = ["node/imports.cjs", "node/kernel.cjs"].map(textOf);
  return [`const LANGUAGE = ${JSON.stringify(language)};`, ...files].join("\n");
}

function rSource(): string {
  const parts = ["kernel", "show", "figures", "input", "cells", "help", "serve"];
  return parts.map((part) => textOf(`r/${part}.R`)).join("");
}

/** A command as a line of R that calls list() with constants and lists: base R has no JSON. */
function rLine(command: Command): string {
  return rList(command);
}

function rList(fields: object): string {
  const parts = Object.entries(fields).map(([name, value]) => `${rText(name)}=${rConstant(value)}`);
  return `list(${parts.join()})`;
}

function rConstant(value: unknown): string {
  if (typeof value === "boolean") return value ? "TRUE" : "FALSE";
  if (typeof value === "object" && value !== null) return rList(value);
  return typeof value === "string" ? rText(value) : String(value);
}

/** By its bytes, which the program says are UTF-8: whatever the locale is by then. R has no text with a NUL in it. */
function rText(text: string): string {
  const encoded = text
    .replaceAll("\0", "\uFFFD")
    .replaceAll(/[^ !#-[\]-~]+/g, (part) =>
      [...Buffer.from(part)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""),
    );
  return `"${encoded}"`;
}

/** A command as a line of bash, in which every text is one word. */
function bashLine(command: Command): string {
  const { cell = 0, id = 0, code = "", cursor = 0, env = {}, text } = command;
  switch (command.do) {
    case "run": {
      const variables = Object.entries(env).map(([name, value]) => `${name} ${bashText(value)}`);
      const kind = command.silent === true ? "silent" : command.uncounted ? "uncounted" : "counted";
      const words = [cell, kind, bashText(code), ...variables];
      const input = command.input === true ? "&$__syla_none" : "/dev/null";
      return `__syla_begin ${words.join(" ")}; eval "$__syla_code" <${input}`;
    }
    case "check":
      return `__syla_check ${id} ${bashText(code)}`;
    case "complete":
      return `__syla_complete ${id} ${bashText([...code].slice(0, cursor).join(""))}`;
    case "inspect":
      return `__syla_nothing ${id}`;
    case "answer":
      // One that comes when nobody reads it any more is a command that does nothing.
      return text === undefined ? ": ." : `: =${bashEscaped(text)}`;
  }
}

function bashText(text: string): string {
  return `'${bashEscaped(text)}'`;
}

/** As `printf %b` reads it. */
function bashEscaped(text: string): string {
  return text.replaceAll(/[^\w.]+/g, (part) =>
    [...Buffer.from(part)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}
