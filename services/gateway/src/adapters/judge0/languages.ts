// Judge0 CE's language numbers, which its clients have in their code, and the language of this installation that each
// gets. A number stands for a compiler of one version there; here it gets the version that comes nearest, and the name
// that is answered tells which. The numbers below 43 were archived by Judge0 before its version 1.5.
import type { Language } from "@syla/contract/syla/execution/v1/execution";

/** One of Judge0's languages that there can be here. */
interface Known {
  readonly id: number;
  /** Judge0's name, with the version it has there. */
  readonly name: string;
  /** Ours. */
  readonly language: string;
  /** What the program's file is called. */
  readonly sourceFile: string;
}

/** A number that can be used. */
export interface Offered extends Known {
  readonly own: Language;
}

/** A program of several files, which says itself how it is compiled and run; it has a number and no language. */
export const multiFileId = 89;

/** What runs a program of several files. */
const multiFile: Known = {
  id: multiFileId,
  name: "Multi-file program",
  language: "bash",
  sourceFile: ".judge0/start.sh",
};

const rows: readonly (readonly [id: number, name: string, language: string, file: string])[] = [
  [46, "Bash (5.0.0)", "bash", "script.sh"],
  [48, "C (GCC 7.4.0)", "c", "main.c"],
  [49, "C (GCC 8.3.0)", "c", "main.c"],
  [50, "C (GCC 9.2.0)", "c", "main.c"],
  [103, "C (GCC 14.1.0)", "c", "main.c"],
  [52, "C++ (GCC 7.4.0)", "cpp", "main.cpp"],
  [53, "C++ (GCC 8.3.0)", "cpp", "main.cpp"],
  [54, "C++ (GCC 9.2.0)", "cpp", "main.cpp"],
  [105, "C++ (GCC 14.1.0)", "cpp", "main.cpp"],
  [60, "Go (1.13.5)", "go", "main.go"],
  [95, "Go (1.18.5)", "go", "main.go"],
  [106, "Go (1.22.0)", "go", "main.go"],
  [107, "Go (1.23.5)", "go", "main.go"],
  [62, "Java (OpenJDK 13.0.1)", "java", "Main.java"],
  [91, "Java (JDK 17.0.6)", "java", "Main.java"],
  [63, "JavaScript (Node.js 12.14.0)", "javascript", "script.js"],
  [93, "JavaScript (Node.js 18.15.0)", "javascript", "script.js"],
  [97, "JavaScript (Node.js 20.17.0)", "javascript", "script.js"],
  [102, "JavaScript (Node.js 22.08.0)", "javascript", "script.js"],
  [64, "Lua (5.3.5)", "lua", "script.lua"],
  [68, "PHP (7.4.1)", "php", "script.php"],
  [98, "PHP (8.3.11)", "php", "script.php"],
  [71, "Python (3.8.1)", "python", "script.py"],
  [92, "Python (3.11.2)", "python", "script.py"],
  [100, "Python (3.12.5)", "python", "script.py"],
  [109, "Python (3.13.2)", "python", "script.py"],
  [85, "Perl (5.28.1)", "perl", "script.pl"],
  [80, "R (4.0.0)", "r", "script.r"],
  [99, "R (4.4.1)", "r", "script.r"],
  [72, "Ruby (2.7.0)", "ruby", "script.rb"],
  [73, "Rust (1.40.0)", "rust", "main.rs"],
  [108, "Rust (1.85.0)", "rust", "main.rs"],
  [74, "TypeScript (3.7.4)", "typescript", "script.ts"],
  [94, "TypeScript (5.0.3)", "typescript", "script.ts"],
  [101, "TypeScript (5.6.2)", "typescript", "script.ts"],
];

const table: readonly Known[] = [
  ...rows.map(([id, name, language, sourceFile]) => ({ id, name, language, sourceFile })),
  multiFile,
];

/** What a number means here: a language, one that this host does not have, or nothing. */
export function findLanguage(
  languages: readonly Language[],
  id: number,
): Offered | "archived" | undefined {
  const known = table.find((one) => one.id === id);
  if (known === undefined) return undefined;
  const own = nearest(languages, known);
  return own === undefined ? "archived" : { ...known, name: nameWith(known, own), own };
}

/** The numbers that can be used, in the order of their names as Judge0 lists them. */
export function offeredLanguages(languages: readonly Language[]): readonly Offered[] {
  return table.flatMap((known) => {
    const found = findLanguage(languages, known.id);
    return found === undefined || found === "archived" ? [] : found;
  });
}

/** The names of the numbers that this host has no language for. */
export function archivedLanguages(languages: readonly Language[]): readonly Known[] {
  return table.filter(({ id }) => findLanguage(languages, id) === "archived");
}

// Of the same minor version, else the installation's default, which is listed first.
function nearest(languages: readonly Language[], { name, language }: Known): Language | undefined {
  const same = languages.filter((one) => one.name === language);
  const [, major = "", minor = ""] = /(\d+)\.(\d+)[\d.]*\)$/.exec(name) ?? [];
  const of = (prefix: string) => same.find(({ version }) => version.startsWith(prefix));
  return of(`${major}.${minor}.`) ?? same[0];
}

function nameWith({ name }: Known, { version }: Language): string {
  return name.replace(/[\d.]+\)$/, `${version})`);
}
