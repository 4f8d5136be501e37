// The rules that hold for documentation: a link leads somewhere, a file that is named is there, and a command that a
// reader would type exists.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { type Finding, lineAt, type SourceFile } from "./tidy-rules.ts";

/** What documentation may refer to. */
export interface DocumentedThings {
  /** The scripts of the repository's package.json. */
  readonly scripts: readonly string[];
  /** The commands of the CLI. */
  readonly commands: readonly string[];
  /** The repository's files. */
  readonly files: readonly string[];
  /** The repository's folder. */
  readonly root: string;
}

const link = /(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g;
const shellBlock = /^```(?:sh|bash|console)\n([\s\S]*?)^```/gm;

/** Checks one Markdown file. */
export function checkDocs(file: SourceFile, things: DocumentedThings): readonly Finding[] {
  return [
    ...checkLinks(file, things.root),
    ...checkFiles(file, things.files),
    ...checkCommands(file, things),
  ];
}

function checkLinks({ path, text }: SourceFile, root: string): Finding[] {
  return [...text.matchAll(link)].flatMap((match) => {
    const target = match[1] ?? "";
    if (/^[a-z]+:/.test(target)) return [];
    const [file = "", anchor = ""] = target.split("#", 2);
    const resolved = file === "" ? path : normalize(join(dirname(path), file));
    const place = join(root, resolved);
    const line = lineAt(text, match.index);
    if (!existsSync(place)) {
      return [{ rule: "link", path, line, message: `${target} leads nowhere` }];
    }
    if (anchor === "" || headings(place).includes(anchor)) return [];
    return [{ rule: "link", path, line, message: `${resolved} has no heading #${anchor}` }];
  });
}

const sourcePath = /`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|c|h))`/g;

/** By the end of its path: a page about one service does not begin each with where that is. */
function checkFiles({ path, text }: SourceFile, files: readonly string[]): Finding[] {
  return [...text.matchAll(sourcePath)].flatMap((match) => {
    const name = match[1] ?? "";
    if (files.some((file) => `/${file}`.endsWith(`/${name}`))) return [];
    return [
      { rule: "file", path, line: lineAt(text, match.index), message: `there is no ${name}` },
    ];
  });
}

function headings(place: string): readonly string[] {
  return [...readFileSync(place, "utf8").matchAll(/^#{1,6} (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

function checkCommands({ path, text }: SourceFile, things: DocumentedThings): Finding[] {
  return [...text.matchAll(shellBlock)].flatMap((block) => {
    const body = block[1] ?? "";
    const from = block.index + block[0].indexOf(body);
    return [...body.matchAll(/[^\n]+/g)].flatMap((row) =>
      checkCommand(row[0], things).map((message) => ({
        rule: "command",
        path,
        line: lineAt(text, from + row.index),
        message,
      })),
    );
  });
}

// npm's own commands that a reader may type without a script of that name.
const npmCommands = new Set(["ci", "install", "rebuild", "ls"]);

function checkCommand(row: string, things: DocumentedThings): readonly string[] {
  const missing: string[] = [];
  for (const [, run, name = ""] of row.matchAll(/\bnpm (run )?([\w:-]+)/g)) {
    if (run === undefined && npmCommands.has(name)) continue;
    if (!things.scripts.includes(name)) missing.push(`there is no npm script ${name}`);
  }
  for (const [, name = ""] of row.matchAll(/\bnpx syla ([\w-]+)/g)) {
    if (!things.commands.includes(name)) missing.push(`syla has no command ${name}`);
  }
  for (const [, name = ""] of row.matchAll(/(?:^|[\s@])((?:examples|tools|docs)\/[\w./-]+)/g)) {
    if (!existsSync(join(things.root, name))) missing.push(`there is no ${name}`);
  }
  return missing;
}
