// The languages of sessions as Jupyter's kernelspecs: the names by which notebooks know them, and what front ends need
// to colour code.
import type { JsonObject } from "@bufbuild/protobuf";
import type { SessionLanguage } from "@syla/contract/syla/session/v1/language";

interface Facts {
  /** The kernelspec's name: that of the usual kernel, which is what notebooks of others ask for. */
  readonly spec: string;
  readonly title: string;
  readonly mimetype: string;
  readonly extension: string;
  readonly mode: string | { readonly name: string; readonly version: number };
  readonly lexer: string;
}

const known: Readonly<Record<string, Facts>> = {
  python: {
    ...{ spec: "python3", title: "Python", mimetype: "text/x-python", extension: ".py" },
    ...{ mode: { name: "ipython", version: 3 }, lexer: "ipython3" },
  },
  javascript: {
    ...{ spec: "javascript", title: "JavaScript", mimetype: "text/javascript", extension: ".js" },
    ...{ mode: "javascript", lexer: "javascript" },
  },
  typescript: {
    ...{ spec: "typescript", title: "TypeScript", mimetype: "text/typescript", extension: ".ts" },
    ...{ mode: "typescript", lexer: "typescript" },
  },
  bash: {
    ...{ spec: "bash", title: "Bash", mimetype: "text/x-sh", extension: ".sh" },
    ...{ mode: "shell", lexer: "bash" },
  },
  ruby: {
    ...{ spec: "ruby", title: "Ruby", mimetype: "text/x-ruby", extension: ".rb" },
    ...{ mode: "ruby", lexer: "ruby" },
  },
  r: {
    ...{ spec: "ir", title: "R", mimetype: "text/x-r-source", extension: ".r" },
    ...{ mode: "r", lexer: "r" },
  },
};

function factsOf(language: string): Facts {
  const facts = Object.hasOwn(known, language) ? known[language] : undefined;
  const plain = { mimetype: "text/plain", extension: ".txt", mode: language, lexer: "text" };
  return facts ?? { spec: language, title: language, ...plain };
}

/** The kernelspec's name of a language. */
export function specName(language: string): string {
  return factsOf(language).spec;
}

/** The language that a kernelspec's name means; also a language's own names are taken. */
export function languageOf(
  name: string,
  languages: readonly SessionLanguage[],
): SessionLanguage | undefined {
  if (name === "") return languages[0];
  return (
    languages.find((language) => specName(language.name) === name) ??
    languages.find((language) => [language.name, ...language.aliases].includes(name))
  );
}

/** The answer to who asks for kernelspecs. */
export function kernelspecs(languages: readonly SessionLanguage[]): JsonObject {
  const [first] = languages;
  const specs: JsonObject = {};
  for (const language of languages) {
    const { spec: name } = factsOf(language.name);
    specs[name] = { name, spec: specOf(language), resources: {} };
  }
  return { default: first === undefined ? "" : specName(first.name), kernelspecs: specs };
}

function specOf({ name, version }: SessionLanguage): JsonObject {
  const { title } = factsOf(name);
  return {
    // Nobody starts it by a command; clients want one to be there.
    argv: [name],
    env: {},
    display_name: `${title} ${version} (Syla)`,
    language: name,
    interrupt_mode: "message",
    metadata: {},
  };
}

/** What a kernel tells of its language. */
export function languageInfo(language: string, version: string): JsonObject {
  const { mimetype, extension, mode, lexer } = factsOf(language);
  return {
    ...{ name: language, version, mimetype, file_extension: extension },
    ...{ pygments_lexer: lexer, codemirror_mode: typeof mode === "string" ? mode : { ...mode } },
    nbconvert_exporter: language === "python" ? "python" : "script",
  };
}
