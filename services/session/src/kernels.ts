// The programs that make an interpreter keep its state: which languages have one, and how each is started. A program
// is sent on the interpreter's standard input, so that no file of it lies in the tenant's way.
import { readdirSync, readFileSync } from "node:fs";

/** How the interpreter of a language is started. */
export interface KernelProgram {
  /** Of the interpreter: they make it read its program from its standard input. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The program itself. */
  readonly source: Buffer;
}

// The first line says how many bytes follow; what comes after them is the program's to read.
const pythonStart = `import os
b = b""
while not b.endswith(b"\\n"): b += os.read(0, 1)
n, b = int(b), b""
while len(b) < n: b += os.read(0, n - len(b))
exec(compile(b, "<kernel>", "exec"), {"__name__": "kernel"})`;

const programs: Readonly<Record<string, Omit<KernelProgram, "source"> & { source: () => string }>> =
  {
    python: {
      args: ["-c", pythonStart],
      // What is installed while it runs goes into the user's own folder.
      env: { PYTHONNOUSERSITE: "", PYTHONUNBUFFERED: "", MPLBACKEND: "agg" },
      source: pythonSource,
    },
  };

/** What begins as the kernel does is one program; what is seldom needed is sent as text, and compiled when it is. */
function pythonSource(): string {
  const folder = new URL("../kernels/python/", import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".py"));
  const textOf = (name: string) => readFileSync(new URL(name, folder), "utf8");
  const parts = names.filter((name) => !name.startsWith("kernel"));
  const texts = Object.fromEntries(parts.map((name) => [name.slice(0, -3), textOf(name)]));
  const kernel = ["", "_show", "_cells", "_hooks", "_serve"].map((end) =>
    textOf(`kernel${end}.py`),
  );
  // A text in JSON is the same text in Python.
  return [`PARTS = ${JSON.stringify(texts)}`, ...kernel].join("\n");
}

const read = new Map<string, KernelProgram>();

/** The program of a language; undefined when it has none. */
export function kernelProgram(language: string): KernelProgram | undefined {
  const known = read.get(language);
  if (known !== undefined) return known;
  const entry = Object.hasOwn(programs, language) ? programs[language] : undefined;
  if (entry === undefined) return undefined;
  const program = { ...entry, source: Buffer.from(entry.source()) };
  read.set(language, program);
  return program;
}

/** The languages that have one. */
export const kernelLanguages = Object.keys(programs);
