// Refuses a language that the sandbox does not offer, before anything is queued, and says which ones it does.
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";

/** Throws `unknown_language` unless a language is offered at a version; `pointer` says where the spec is. */
export type LanguageCheck = (language: string, version: string, pointer: string) => Promise<void>;

interface Known {
  readonly names: readonly string[];
  readonly versionsByName: ReadonlyMap<string, readonly string[]>;
}

/** How long an answer of the sandbox holds, in milliseconds. */
const freshMs = 10_000;

/** Whether a selector, a version or the beginning of one, takes a version. */
export function versionMatches(selector: string, version: string): boolean {
  return selector === "" || selector === "*" || version === selector || version.startsWith(`${selector}.`);
}

/** The check over what a sandbox offers. */
export function languageCheck(sandbox: Client<typeof SandboxService>): LanguageCheck {
  let known: Promise<Known> | undefined;
  let readAtMs = 0;

  async function read(): Promise<Known> {
    const { languages } = await sandbox.listLanguages({});
    const versionsByName = new Map<string, string[]>();
    for (const { name, aliases, version } of languages) {
      for (const key of [name, ...aliases]) {
        versionsByName.set(key, [...(versionsByName.get(key) ?? []), version]);
      }
    }
    return { names: [...new Set(languages.map(({ name }) => name))], versionsByName };
  }

  return async (language, version, pointer) => {
    if (known === undefined || Date.now() - readAtMs > freshMs) {
      readAtMs = Date.now();
      known = read();
      known.catch(() => (known = undefined));
    }
    const { names, versionsByName } = await known;
    const versions = versionsByName.get(language.toLowerCase());
    if (versions === undefined) {
      const detail = `"${language}" is not one of ${names.join(", ")}`;
      throw new SylaError("unknown_language", `Cannot run ${detail.replace(" is not", ": it is not")}.`, {
        violations: [{ pointer: `${pointer}/language`, detail, rule: "language.known" }],
      });
    }
    if (versions.some((candidate) => versionMatches(version, candidate))) return;
    const detail = `"${version}" is not one of ${versions.join(", ")}`;
    throw new SylaError("unknown_language", `Cannot run ${language} ${version}: it is not one of ${versions.join(", ")}.`, {
      violations: [{ pointer: `${pointer}/version`, detail, rule: "language.version" }],
    });
  };
}
