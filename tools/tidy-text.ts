// The rules that hold for the text of any file written by hand: length, width, an opening comment, words that say the
// work is not done, paths of one machine, hosts of one network.
import { type Finding, lineAt, type SourceFile } from "./tidy-rules.ts";

const linesMax = 500;
const columnsMax = 120;

const sourceName = /\.(ts|js|mjs|c|h|py|proto|sql|sh)$/;
const openingComment = /^(?:#!.*\n)?\s*(?:\/\/|\/\*|#|--|""")/;
const folderNames =
  /(?:^|\/)(utils?|helpers?|common|shared|core|manager|managers|base|misc)(?:\/|$)/;

// A string cannot be broken everywhere, so a line that is mostly one may be longer.
const longLiteral = /(["'`])(?:\\.|(?!\1).){80,}\1/;

const unfinished = /\b(?:TODO|FIXME|XXX)\b/g;
const machinePath = /(?<![\w.$}~-])\/(?:root|work|home\/\w+|Users\/\w+)(?=[/\s"'`)]|$)/gm;
const registryHost =
  /\b(?:registry\.(?:npmjs|yarnpkg)\.\w+|files\.pythonhosted\.org|proxy\.golang\.org)\b|"resolved": "https?:/g;
const skippedTest =
  /\b(?:test|it|describe|suite)\.(?:skip|only|todo)\b|\{\s*(?:skip|only|todo): true/g;

/** Written by others and kept as it came, or made by a tool. */
export function isVendored(path: string): boolean {
  return (
    /^contract\/(?:gen|proto\/(?:google|buf|grpc\/reflection))\//.test(path) ||
    path === "package-lock.json"
  );
}

function matches(file: SourceFile, rule: string, pattern: RegExp, message: string): Finding[] {
  return [...file.text.matchAll(pattern)].map((match) => ({
    rule,
    path: file.path,
    line: lineAt(file.text, match.index),
    message: `${message}: ${match[0].trim()}`,
  }));
}

function checkShape(file: SourceFile): Finding[] {
  const { path, text } = file;
  if (!sourceName.test(path) || path.startsWith("examples/")) return [];
  const lines = text.split("\n");
  const found: Finding[] = lines.flatMap((line, index) =>
    line.length <= columnsMax || longLiteral.test(line)
      ? []
      : [{ rule: "columns", path, line: index + 1, message: `over ${columnsMax} columns` }],
  );
  if (lines.length > linesMax) {
    const message = `${lines.length} lines; no file has more than ${linesMax}`;
    found.push({ rule: "file-length", path, line: linesMax, message });
  }
  if (!path.endsWith(".test.ts") && text !== "" && !openingComment.test(text)) {
    const message = "does not open with a comment that tells its idea";
    found.push({ rule: "opening-comment", path, line: 1, message });
  }
  return found;
}

/** Checks one file of any kind. */
export function checkText(file: SourceFile): readonly Finding[] {
  const { path } = file;
  const found = matches(file, "registry-host", registryHost, "names a package registry's host");
  if (isVendored(path)) return found;
  found.push(...checkShape(file));
  found.push(...matches(file, "machine-path", machinePath, "names a path of one machine"));
  if (!path.endsWith(".md")) {
    found.push(...matches(file, "unfinished", unfinished, "says that it is not done"));
  }
  if (path.endsWith(".test.ts")) {
    const message = "leaves a test out; t.skip(reason) says why";
    found.push(...matches(file, "skipped-test", skippedTest, message));
  }
  const folder = folderNames.exec(path.slice(0, path.lastIndexOf("/") + 1));
  if (folder !== null) {
    const message = `"${folder[1]}" is no role that a user of the platform would name`;
    found.push({ rule: "folder-name", path, line: 1, message });
  }
  return found;
}
