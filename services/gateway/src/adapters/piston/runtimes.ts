// The languages of this installation as Piston's runtimes: under the names that Piston's packages have, so that clients
// which look for them find them, and chosen by a semver range as Piston does, the newest that matches.
import type { Language } from "@syla/contract/syla/execution/v1/execution";
import { coerce, rcompare, satisfies, valid } from "semver";

/** A runtime as Piston lists it. */
export interface Runtime {
  readonly language: string;
  readonly version: string;
  readonly aliases: readonly string[];
  /** What it is here. */
  readonly own: Language;
}

interface Names {
  /** Piston's name, where it is another. */
  readonly language?: string;
  readonly aliases: readonly string[];
}

/** What Piston's packages provide under other names than ours (their metadata.json). */
const pistonNames: Readonly<Record<string, Names>> = {
  python: { aliases: ["py3"] },
  javascript: { aliases: ["node-javascript", "node-js"] },
  typescript: { aliases: ["node-ts", "tsc"] },
  cpp: { language: "c++", aliases: ["cpp"] },
  r: { language: "rscript", aliases: ["r"] },
};

/** A range longer than this is none. */
const selectorCharsMax = 256;

/** Every runtime of an installation. */
export function toRuntimes(languages: readonly Language[]): readonly Runtime[] {
  return languages.map((own) => {
    const { language = own.name, aliases = [] } = pistonNames[own.name] ?? {};
    const names = new Set([...own.aliases, ...aliases]);
    names.delete(language);
    return { language, version: own.version, aliases: [...names], own };
  });
}

/** The newest runtime of a name or alias whose version is in a semver range (https://semver.org, node-semver). */
export function findRuntime(
  runtimes: readonly Runtime[],
  name: string,
  selector: string,
): Runtime | undefined {
  if (selector.length > selectorCharsMax) return undefined;
  return runtimes
    .filter(({ language, aliases }) => language === name || aliases.includes(name))
    .filter(({ version }) => version === selector || satisfies(asSemver(version), selector))
    .toSorted((one, other) => rcompare(asSemver(one.version), asSemver(other.version)))[0];
}

// A compiler's version may have fewer or more parts than three.
function asSemver(version: string): string {
  return valid(version) ?? coerce(version)?.version ?? "0.0.0";
}
