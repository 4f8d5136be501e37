// Which language a file is in: what the platform knows of file endings, and the interpreter on a script's first line.
import type { Language } from "@syla/contract/syla/execution/v1/execution";
import { extname } from "node:path";
import { usageFailure } from "./failure.ts";
import { suggestion } from "./nearest.ts";

const others = "How to get others, `syla doctor` says.";

/** The language of a file by its ending, else by its first line. */
export function detectLanguage(
  path: string,
  source: Uint8Array,
  languages: readonly Language[],
): Language {
  const byEnding =
    languages.find((language) => isNamedFor(path, language)) ?? anyCase(path, languages);
  const interpreter = byEnding === undefined ? shebangOf(source) : undefined;
  const found =
    byEnding ?? (interpreter === undefined ? undefined : byName(interpreter, languages));
  if (found !== undefined) return found;
  const why =
    interpreter === undefined ? `its ending says nothing` : `'${interpreter}' is not here`;
  throw usageFailure(
    `Cannot tell the language of '${path}': ${why}. Give it with -l; there are ${names(languages)}. ${others}`,
  );
}

/** The language of a name or an alias. */
export function findLanguage(name: string, languages: readonly Language[]): Language {
  const found = byName(name.toLowerCase(), languages);
  if (found !== undefined) return found;
  const known = languages.flatMap((language) => [language.name, ...language.aliases]);
  const near = suggestion(name, known);
  throw usageFailure(
    `There is no language '${name}' here.${near} There are ${names(languages)}. ${others}`,
  );
}

/** Whether a file's name is one that the language's tools take as its own. */
export function isNamedFor(path: string, language: Language): boolean {
  return language.extensions.includes(extname(path).slice(1));
}

// Case tells `.C`, which is C++, from `.c`, but `MAIN.PY` is Python all the same.
function anyCase(path: string, languages: readonly Language[]): Language | undefined {
  const ending = extname(path).slice(1).toLowerCase();
  return languages.find(({ extensions }) => extensions.includes(ending));
}

function byName(name: string, languages: readonly Language[]): Language | undefined {
  return languages.find((language) => language.name === name || language.aliases.includes(name));
}

// `#!/usr/bin/env -S python3.11 -u` and `#!/usr/bin/python3` are both python: the version is not part of the name,
// unless the platform knows the name with it.
function shebangOf(source: Uint8Array): string | undefined {
  const line = Buffer.from(source.subarray(0, 256)).toString("latin1").split("\n", 1)[0] ?? "";
  const words = /^#!\s*(.+)$/.exec(line.trim())?.[1]?.split(/\s+/) ?? [];
  const [first = "", ...rest] = words.map((word) => word.replace(/^.*\//, ""));
  const name = first === "env" ? rest.find((word) => !/^-|=/.test(word)) : first;
  return name === undefined || name === "" ? undefined : name.replace(/[\d.]+$/, "") || name;
}

function names(languages: readonly Language[]): string {
  const known = [...new Set(languages.map(({ name }) => name))];
  return known.length === 0 ? "none" : known.join(", ");
}
