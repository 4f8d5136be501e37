// The language that a request means, or why none can be had.
import { SylaError } from "@syla/kit/error";
import type { JailLanguage } from "../jail/jails.ts";
import { findLanguage, type Language, UnknownLanguageError } from "./languages.ts";
import type { Offer } from "./offer.ts";

/** The language that a name or alias and a version, or the beginning of one, select; throws `unknown_language`. */
export function offered(offer: Offer, name: string, version: string): Language {
  try {
    return findLanguage(offer.languages, name, version === "" ? "*" : version);
  } catch (error) {
    if (!(error instanceof UnknownLanguageError)) throw error;
    const { field, known } = error;
    const detail = `is not one of ${known.join(", ")}`;
    throw new SylaError("unknown_language", error.message, {
      violations: [{ pointer: `/${field}`, detail, rule: `language.${field}` }],
    });
  }
}

/** Every language's tools, and none of their interpreters started. */
export function plainLanguage({ languages }: Pick<Offer, "languages">): JailLanguage {
  const binds = languages.flatMap((language) => language.binds);
  const unique = new Map(binds.map((bind) => [bind.target, bind]));
  const sorted = [...unique.values()].toSorted((a, b) => (a.target < b.target ? -1 : 1));
  return { name: "plain", version: "", binds: sorted, env: {}, run: () => [] };
}

// Why is for the log and for the doctor; it names folders of the host.
/** The error of a host that cannot run anything. */
export function noIsolation(): SylaError {
  const remedy = "npx syla doctor says there what is missing and how to get it";
  return new SylaError(
    "sandbox_unavailable",
    `Cannot run code: this host has no working isolation; ${remedy}.`,
  );
}
