/**
 * Which languages this host can run: found once at start, in well under a second, by asking every
 * tool of languages/table.ts at the same time; and the ways by which a request names one of them.
 */

import { openHost } from "./host.ts";
import type { Host } from "./host.ts";
import { LANGUAGES } from "./table.ts";
import type { LanguageEntry } from "./table.ts";
import { type Bind, type Language, type Recipe, SYSTEM_PATH, type Tool } from "./language.ts";

export type { Language } from "./language.ts";

export interface DiscoverOptions {
  /** Where things prepared once are kept: the platform's data folder. */
  readonly cacheDirectory: string;
  readonly signal: AbortSignal;
  /** Where tools are looked for. Default: this process's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/**
 * Every language found, in the order of the table; of one language the host's default first and
 * then the newest. A version is listed once.
 */
export async function discoverLanguages(options: DiscoverOptions): Promise<Language[]> {
  const host = openHost(options);
  const found = await Promise.all(LANGUAGES.map((entry) => discover(entry, host)));
  options.signal.throwIfAborted();
  return found.flat();
}

/** The languages that a host does not have, with the line that brings each. */
export function missingLanguages(found: readonly Language[]): { name: string; remedy: string }[] {
  const names = new Set(found.map(({ name }) => name));
  return LANGUAGES.filter(({ name }) => !names.has(name)).map(({ name, packages }) => ({
    name,
    remedy: `apt-get install -y ${packages}`,
  }));
}

async function discover(entry: LanguageEntry, host: Host): Promise<Language[]> {
  const [first, ...others] = await entry.find(host);
  if (first === undefined) return [];
  others.sort((one, other) => compareVersions(other.version, one.version));
  const tools = new Map<string, Tool>();
  for (const tool of [first, ...others]) {
    if (!tools.has(tool.version)) tools.set(tool.version, tool);
  }
  return [...tools.values()].flatMap((tool) => {
    const recipe = entry.recipe(tool, host);
    return recipe === null ? [] : [language(entry, tool, recipe)];
  });
}

function language(entry: LanguageEntry, tool: Tool, recipe: Recipe): Language {
  const { name, aliases, extensions, defaultFile, hello, memoryBytesMin, pidsMin } = entry;
  const { compile, prepare, run, zygote, held, preload, heldEnv, heldDirectory } = recipe;
  const note = recipe.note ?? entry.note;
  const binds = [...tool.binds, ...(recipe.binds ?? [])];
  return {
    ...{ name, aliases, version: tool.version, extensions, defaultFile, binds, hello },
    ...{ memoryBytesMin, pidsMin, run, fileFor: entry.fileFor ?? (() => defaultFile) },
    env: { PATH: searchPath(tool, binds), LANG: "C.UTF-8", ...recipe.env },
    ...(compile === undefined ? {} : { compile }),
    ...(note === undefined ? {} : { note }),
    ...(zygote === undefined ? {} : { zygote }),
    ...(held === undefined ? {} : { held }),
    ...(preload === undefined ? {} : { preload }),
    ...(heldEnv === undefined ? {} : { heldEnv }),
    ...(heldDirectory === undefined ? {} : { heldDirectory }),
    ...(prepare === undefined
      ? {}
      : { prepare: async (options) => language(entry, tool, await prepare(options)) }),
  };
}

/** The language's own programs first: a script that starts `python3` starts the same one. */
function searchPath(tool: Tool, binds: readonly Bind[]): string {
  if (binds.length === 0 && tool.binary.startsWith("/usr/bin/")) return SYSTEM_PATH;
  return `${tool.binary.slice(0, tool.binary.lastIndexOf("/"))}:${SYSTEM_PATH}`;
}

/** Newer is greater: 3.12.1 over 3.9.18. */
export function compareVersions(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

/** What was asked for is not on this host; the message lists what is. */
export class UnknownLanguageError extends Error {
  override readonly name = "UnknownLanguageError";
  /** What could have been asked for: names, or versions of a known language. */
  readonly known: readonly string[];
  /** Which of the two words was wrong. */
  readonly field: "language" | "version";

  constructor(options: Pick<UnknownLanguageError, "message" | "known" | "field">) {
    super(options.message);
    this.known = options.known;
    this.field = options.field;
  }
}

/**
 * The language of this name or alias, whatever the case. `version` selects by its beginning, whole
 * numbers at a time ("3", "3.12", "3.x", "v3.12.1"); without it, or with "*", the host's default.
 */
export function findLanguage(
  languages: readonly Language[],
  nameOrAlias: string,
  version = "*",
): Language {
  const wanted = nameOrAlias.trim().toLowerCase();
  const named = languages.filter(
    ({ name, aliases }) => name === wanted || aliases.includes(wanted),
  );
  const [first] = named;
  if (first === undefined) {
    const known = [...new Set(languages.map(({ name }) => name))];
    throw new UnknownLanguageError({
      message: `Cannot run "${nameOrAlias}": the languages here are ${known.join(", ") || "none"}`,
      ...{ known, field: "language" },
    });
  }
  const match = named.find((candidate) => matchesVersion(candidate.version, version));
  if (match !== undefined) return match;
  const known = named.map((candidate) => candidate.version);
  throw new UnknownLanguageError({
    message: `Cannot run ${first.name} "${version}": the versions here are ${known.join(", ")}`,
    ...{ known, field: "version" },
  });
}

function matchesVersion(version: string, selector: string): boolean {
  const prefix = selector
    .trim()
    .replace(/^v/i, "")
    .replace(/^latest$/i, "")
    .replace(/\.?[x*]$/i, "");
  return (
    prefix === "" ||
    version === prefix ||
    (/^[.\-(+]/.test(version.slice(prefix.length)) && version.startsWith(prefix))
  );
}

/**
 * The name of the language that a file is written in, by its ending and else by its `#!` line; null
 * when neither tells. Knows every language of the table, found on this host or not.
 */
export function languageForFile(name: string, firstLine = ""): string | null {
  const file = name.slice(name.lastIndexOf("/") + 1);
  const ending = file.includes(".") ? file.slice(file.lastIndexOf(".") + 1) : "";
  const byEnding =
    LANGUAGES.find(({ extensions }) => extensions.includes(ending)) ??
    LANGUAGES.find(({ extensions }) => extensions.includes(ending.toLowerCase()));
  return (byEnding ?? languageOfShebang(firstLine))?.name ?? null;
}

/** `#!/usr/bin/env -S python3 -u` and `#!/bin/bash`. */
function languageOfShebang(line: string): LanguageEntry | undefined {
  const interpreter = /^#!\s*(?:\S*\/env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(\S+)/.exec(line)?.[1];
  const program = interpreter?.slice(interpreter.lastIndexOf("/") + 1) ?? "";
  const unversioned = program.replace(/[\d.]+$/, "");
  return LANGUAGES.find(
    ({ shebangs }) => shebangs.includes(program) || shebangs.includes(unversioned),
  );
}
